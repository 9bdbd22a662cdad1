"""Each block of code in the documentation is what it says it is, and can be what it is for.

Most of them are run, where their page has a test of its own: the tutorial, the guides for backends
and the clients' page. Here is what holds for the blocks of all pages.
"""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from seenby import cli
from tests.docs.pages import ALL_PAGES, ROOT, Block, all_blocks, blocks_of, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCKS = all_blocks()
# It has no types, and what is asked of it needs none.
yaml: Any = importlib.import_module("yaml")
NODE = Path(sys.executable).with_name("node")

LANGUAGES = {
    "text",
    # Looked at below.
    "css",
    "html",
    "js",
    "json",
    "jsx",
    "python",
    "ruby",
    "sh",
    "ts",
    "yaml",
    # Looked at where the programs that read them are started.
    "ini",
    "nginx",
    "properties",
    "sql",
    "vue",
}

# A command may stand within another one, so the words behind it are only looked at.
SEENBY = re.compile(
    r"(?:^|[(;&|]|\bbin/|^(?:[A-Z_]+=\S* )+) *seenby(?=((?: +[^\s|;&)<>]+)+))", re.MULTILINE
)
SCRIPT = re.compile(r"<script type=\"(?P<type>[a-z]+)\">\n(?P<text>.*?)</script>", re.DOTALL)


def written_in(*languages: str) -> list[Block]:
    """The blocks in one of these languages; there must be some."""
    found = [block for block in BLOCKS if block.language in languages]
    assert found
    return found


def complaints(block: Block, text: str, *command: str | Path) -> Iterator[str]:
    """What a program says of a text that it does not accept."""
    done = subprocess.run(command, input=text, check=False, capture_output=True, text=True)
    if done.returncode:
        yield f"{block.name}\n{done.stderr}"


@pytest.mark.parametrize("page", ALL_PAGES, ids=name_of)
def test_each_block_has_a_language(page: Path) -> None:
    """A block says how it is to be read, in a word that is known here."""
    assert [block.name for block in blocks_of(page) if block.language not in LANGUAGES] == []


@pytest.mark.parametrize("page", ALL_PAGES, ids=name_of)
def test_each_block_is_found(page: Path) -> None:
    """No block hides from these tests: all backticks at the start of a line belong to one."""
    text = page.read_text(encoding="utf-8")
    fences = re.findall(r"^ *(?:```|~~~)", text, re.MULTILINE)
    assert len(fences) == 2 * len(list(blocks_of(page)))


def test_json_and_yaml_parse() -> None:
    """What is shown as JSON is one document, or one for each line; what as YAML, some documents."""
    for block in written_in("json", "yaml"):
        if block.language == "yaml":
            assert list(yaml.safe_load_all(block.text)), block.name
            continue
        try:
            json.loads(block.text)
        except ValueError:
            for line in block.text.splitlines():
                json.loads(line)


def test_python_compiles() -> None:
    """What is shown as Python compiles; a piece of a program may await at its top."""
    for block in written_in("python"):
        compile(block.text, block.name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_javascript_parses() -> None:
    """What is shown as JavaScript is a module that Node can read; scripts in pages as well."""
    scripts = [(block, block.text) for block in written_in("js")]
    for block in written_in("html"):
        for script in SCRIPT.finditer(block.text):
            if script["type"] == "module":
                scripts.append((block, script["text"]))
            else:
                assert script["type"] == "importmap"
                json.loads(script["text"])
    check = (NODE, "--check", "--input-type=module", "-")
    assert [said for block, text in scripts for said in complaints(block, text, *check)] == []


@pytest.mark.parametrize("language", sorted({b.language for b in BLOCKS} & {"css", "jsx", "ts"}))
def test_what_is_bundled_parses(language: str) -> None:
    """What is shown as TypeScript, JSX or CSS is accepted by a bundler, without a warning."""
    esbuild = ROOT / "clients/js/node_modules/.bin/esbuild"
    loader = (esbuild, f"--loader={language}", "--log-level=warning")
    for block in written_in(language):
        done = subprocess.run(loader, input=block.text, check=False, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), block.name


def test_ruby_parses() -> None:
    """What is shown as Ruby is accepted by Ruby, without a warning."""
    found = written_in("ruby")
    assert [said for b in found for said in complaints(b, b.text, "ruby", "-W2", "-c")] == []


def test_shell_parses() -> None:
    """What is shown as commands is accepted by bash."""
    found = written_in("sh")
    assert [said for block in found for said in complaints(block, block.text, "bash", "-n")] == []


def test_commands_and_options_exist() -> None:
    """Each seenby command in the documentation exists, with each option that it is given."""
    found = [
        (block, words)
        for block in written_in("sh")
        for words in SEENBY.findall(block.text.replace("\\\n", ""))
    ]
    assert len(found) > 20
    assert [f"{b.name}: {unknown}" for b, words in found for unknown in unknown_words(words)] == []


def unknown_words(words: str) -> Iterator[str]:
    """The options, or the command, that the command line does not know."""
    command: Any = typer.main.get_command(cli.app)
    for word in words.split():
        below: dict[str, Any] = getattr(command, "commands", {})
        if word.startswith("-"):
            name = word.partition("=")[0].strip("\"'")
            options = {name for parameter in command.params for name in parameter.opts}
            negated = {name for parameter in command.params for name in parameter.secondary_opts}
            if name not in options | negated | {"--help"}:
                yield name
        elif word in below:
            command = below[word]
        elif below:
            yield word
