"""docs/clients.md: its programs in both languages, run against seenby, print what the page says.

Blocks with a title are whole programs. The others are pieces of one program, in which alice and
bob have a client each, and the group of which the page speaks is registered.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

import pytest

import seenby
from tests.docs.pages import DOCS, blocks_of
from tests.servers.seenby import Seenby

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.docs.pages import Block

PAGE = list(blocks_of(DOCS / "clients.md"))
FOLLOW = "Connect, and hear of receipts"
PIECES = ("Mark", "Marks that wait", "Who has read it", "Unread messages")
"""The headings under which the pieces print something."""

API = "http://localhost:8080"
NODE = Path(sys.executable).with_name("node")
BUNDLE = Path(seenby.__file__).parent / "page" / "seenby.js"

IN_PYTHON = """
import ast
import asyncio
from seenby.client import Client

PIECES = {pieces!r}

async def main():
    async with (
        Client(user_id="alice", api="{api}") as alice,
        Client(user_id="bob", api="{api}") as bob,
    ):
        code = compile(PIECES, "clients.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        await eval(code, {{"alice": alice, "bob": bob}})

asyncio.run(main())
"""
IN_JAVASCRIPT = """
import {{ Seenby }} from "seenby";
const api = "{api}";
const alice = new Seenby({{ userId: "alice", api }});
const bob = new Seenby({{ userId: "bob", api }});
{pieces}
await Promise.all([alice.close(), bob.close()]);
"""


def ask(method: str, url: str, body: object) -> None:
    """Tell the API something."""
    headers = {"Content-Type": "application/json"}
    request = Request(url, json.dumps(body).encode(), headers, method=method)  # noqa: S310 -- ours
    with urlopen(request, timeout=60) as answer:  # noqa: S310 -- loopback, and our own
        assert answer.status == 200


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Seenby]:
    """A seenby that knows the group and the messages of the page."""
    found = Seenby("serve", tmp_path, {}).start()
    group = {"type": "group", "members": ["alice", "bob", "carol"]}
    ask("PUT", f"{found.api}/api/v1/conversations/team", group)
    for msg_id in ("m11", "m12", "m13"):
        message = {"msg_id": msg_id, "conversation_id": "team", "sender_id": "alice"}
        ask("POST", f"{found.api}/api/v1/messages", message)
    yield found
    found.kill()


def printed(folder: Path, *command: str | Path) -> str:
    """What a program prints as its result; one that fails is a failure."""
    done = subprocess.run(
        command, cwd=folder, check=False, capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def programs(language: str) -> list[Block]:
    """The whole programs in that language that are to be run."""
    found = [block for block in PAGE if block.language == language and block.heading == FOLLOW]
    assert all(block.title for block in found)
    return found


def pieces(language: str) -> str:
    """The pieces in that language, one behind the other."""
    found = [block for block in PAGE if block.language == language and not block.title]
    assert {block.heading for block in found} > set(PIECES)
    return "\n".join(block.text for block in found)


def shown(*headings: str) -> str:
    """What the page says is printed under these headings."""
    return "".join(
        block.text for block in PAGE if block.language == "text" and block.heading in headings
    )


def test_both_languages_are_shown_for_each_task() -> None:
    """Nobody has to guess how it is said in the other one."""
    both = {
        language: {block.heading for block in PAGE if block.language == language}
        for language in ("js", "python")
    }
    assert both["js"] - both["python"] == {"When somebody has really read it"}
    assert both["python"] <= both["js"]


def test_python_prints_what_is_shown(server: Seenby, tmp_path: Path) -> None:
    """With await and without; no warning is let pass."""
    found = programs("python")
    assert [block.title for block in found] == ["follow.py", "follow_sync.py"]
    for block in found:
        assert block.text.count(API) == 1
        program = block.text.replace(API, server.api)
        said = printed(tmp_path, sys.executable, "-W", "error", "-c", program)
        assert said == shown(FOLLOW), block.title
    text = pieces("python").replace(API, server.api)
    program = IN_PYTHON.format(api=server.api, pieces=text)
    assert printed(tmp_path, sys.executable, "-W", "error", "-c", program) == shown(*PIECES)


def test_javascript_prints_what_is_shown(server: Seenby, tmp_path: Path) -> None:
    """With the package as the pages of seenby have it."""
    package = tmp_path / "node_modules" / "seenby"
    package.mkdir(parents=True)
    shutil.copy(BUNDLE, package / "index.js")
    (package / "package.json").write_text('{"type": "module", "main": "index.js"}', "utf-8")
    [follow] = programs("js")
    assert follow.text.count(API) == 1
    file = tmp_path / follow.title
    file.write_text(follow.text.replace(API, server.api), "utf-8")
    assert printed(tmp_path, NODE, file) == shown(FOLLOW)
    file = tmp_path / "pieces.mjs"
    file.write_text(IN_JAVASCRIPT.format(api=server.api, pieces=pieces("js")), "utf-8")
    assert printed(tmp_path, NODE, file) == shown(*PIECES)
