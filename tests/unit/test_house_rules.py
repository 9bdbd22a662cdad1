"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))

LINES_MAX = 500
VAGUE = re.compile(r"(manager|handler|helper|util|processor|engine|common|misc|data|info)s?")
# Folders of one person's machine. Written so that this file does not find itself.
MACHINE_PATH = re.compile(r"(?<![\w.~$}/-])/(?:home|root|Users|work)/\w")


def name_of(path: Path) -> str:
    """The path as it is written in the repository."""
    return path.relative_to(ROOT).as_posix()


def reads_environment(tree: ast.AST) -> bool:
    """Whether the code uses os.environ or os.getenv, by whatever road."""
    names = {"environ", "environb", "getenv", "getenvb"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in names:
            return True
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            return any(alias.name in names for alias in node.names)
    return False


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_module_stays_readable(path: Path) -> None:
    """No module has more than 500 lines: past that it owns more than one thing."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES_MAX


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_module_says_what_it_owns(path: Path) -> None:
    """A module begins with a sentence on what it owns."""
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_names_say_what_is_inside() -> None:
    """No file or folder has a name that fits everything."""
    vague = [
        name_of(path)
        for path in (ROOT / "src").rglob("*")
        # What the pages' looks have in common.
        if path.name != "common.css"
        and any(VAGUE.fullmatch(word) for word in path.stem.lower().split("_"))
    ]
    assert vague == []


def test_only_config_reads_the_environment() -> None:
    """Every setting goes through config.py, so that it is checked, documented and passed on."""
    readers = [
        name_of(path)
        for path in SOURCES
        if reads_environment(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert [reader for reader in readers if reader != "src/seenby/config.py"] == []


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_a_test_states_its_rule(path: Path) -> None:
    """Each test has a docstring: the rule that is broken when it fails."""
    silent = [
        node.name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


def test_nothing_depends_on_one_machine() -> None:
    """No path of somebody's machine is in the repository."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=False, text=True
    )
    # An unpacked source archive is no git checkout: then the sources and tests are looked at.
    files = [ROOT / name for name in listed.stdout.split("\0") if name] or [*SOURCES, *TESTS]
    found = [
        f"{name_of(path)}: {line.strip()}"
        for path in files
        if path.is_file() and path.suffix not in {".ico", ".jpg", ".png", ".woff2"}
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
        if MACHINE_PATH.search(line)
    ]
    assert found == []
