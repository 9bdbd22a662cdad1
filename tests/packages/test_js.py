"""clients/js: its own tests file by file, its checks, and what is built of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seenby import __version__

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients/js"
PAGE = ROOT / "src/seenby/page"
TESTS = sorted((CLIENT / "tests").rglob("*.test.ts"))
NODE = Path(sys.executable).with_name("node")
VITEST = CLIENT / "node_modules/vitest/vitest.mjs"

# Compilers run, and servers are started and killed: a busy machine takes its time. What hangs is
# said by vitest, sooner than this.
pytestmark = pytest.mark.timeout(600)


def run(*command: str) -> str:
    """What a command in clients/js says; the test fails with it where the command fails."""
    if not VITEST.exists():
        pytest.fail("clients/js/node_modules is missing: make setup-js installs it")
    bin_first = f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=CLIENT,
        env={**os.environ, "PATH": bin_first, "NO_COLOR": "1"},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        pytest.fail(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}")
    return done.stdout


def test_there_are_tests() -> None:
    """A folder that was moved does not pass for tests that hold."""
    assert len(TESTS) > 5


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.relative_to(CLIENT / "tests").name)
def test_its_own_tests(file: Path, tmp_path: Path) -> None:
    """The client keeps what it promises; a file without a test that ran is a failure."""
    report = tmp_path / "report.json"
    options = ("--reporter=default", "--reporter=json", f"--outputFile.json={report}")
    name = file.relative_to(CLIENT).as_posix()
    said = run(str(NODE), str(VITEST), "run", *options, name)
    counted = json.loads(report.read_text(encoding="utf-8"))
    passed, every = counted["numPassedTests"], counted["numTotalTests"]
    assert (passed > 0, passed) == (True, every), said


def test_types_and_form() -> None:
    """The sources, and the pages that use them, have the right types and one form."""
    run("npm", "run", "check")


def test_it_stays_small() -> None:
    """A page that follows receipts loads at most 10 KB for it."""
    assert "client: " in run("npm", "run", "size")


def test_what_is_served_is_what_is_built(tmp_path: Path) -> None:
    """The bundles in the package are those that `npm run build` makes of the sources."""
    run(str(NODE), "scripts/build.js", "--pages", str(tmp_path))
    built = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(built) == ["seenby-element.js", "seenby.js"]
    assert {name: (PAGE / name).read_bytes() for name in built} == built


def test_the_lock_names_no_registry() -> None:
    """The lock file pins what is installed, by its hash, wherever it is fetched from."""
    packages = json.loads((CLIENT / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    fetched = {name: package for name, package in packages.items() if name}
    assert [name for name, package in fetched.items() if "resolved" in package] == []
    assert [name for name, package in fetched.items() if "integrity" not in package] == []


def test_both_packages_have_one_version() -> None:
    """The client and the server it fits are released together."""
    package = json.loads((CLIENT / "package.json").read_text(encoding="utf-8"))
    lock = json.loads((CLIENT / "package-lock.json").read_text(encoding="utf-8"))
    assert package["version"] == lock["version"] == __version__
