"""docs/howto, the chat backends: each page is followed as it stands, against a real seenby.

Beyond their page they are held to one rule that it states and does not show: a call that seenby
refuses for good does not hold up those behind it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.docs.pages import DOCS, ROOT, blocks_of, files_of
from tests.docs.reader import Reader
from tests.servers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Follow = Callable[[str, str], Reader]

AWAY = "When seenby is away"


@pytest.fixture
def follow(tmp_path: Path) -> Iterator[Follow]:
    """``follow(page, chat)``: one who has done what a page says; *chat* is what goes on there."""
    readers: list[Reader] = []

    def all_of(page: str, chat: str) -> Reader:
        api, gateway, port = free_port(), free_port(), free_port()
        reader = Reader(
            tmp_path,
            {"localhost:8080": f"localhost:{api}", "localhost:3000": f"localhost:{port}"},
            {"seenby serve": (api, gateway), chat: (port,), "tell_seenby": (), "rb jobs": ()},
            path=[str(Path(sys.executable).parent)],
            settings={
                "CHAT_SEENBY": f"http://localhost:{api}",
                "SEENBY_API_PORT": str(api),
                "SEENBY_GATEWAY_PORT": str(gateway),
                "SEENBY_DRAIN_SECONDS": "0.5",
                "CHAT_PORT": str(port),
            },
            later=[AWAY],
        )
        readers.append(reader)
        blocks = list(blocks_of(DOCS / "howto" / page))
        away = next(place for place, block in enumerate(blocks) if block.heading == AWAY)
        reader.follow(blocks[:away])
        reader.stop("seenby serve")
        reader.follow(blocks[away:])
        return reader

    yield all_of
    for reader in readers:
        reader.close()


def refuse_one(reader: Reader, send: str, refused: str, taken: str) -> None:
    """Send two messages, the first of which seenby has under another group; the second is told.

    Args:
        reader: who has followed a page.
        send: the command that sends a message in the group ``team``.
        refused: the id of the message that is sent next.
        taken: the id of the one after it.
    """

    def call(words: str) -> dict[str, Any]:
        command = f'curl -s -H "Authorization: Bearer $(seenby token --service)" {words}'
        found: dict[str, Any] = json.loads(reader.run(reader.mine(command)))
        return found

    api = "http://localhost:8080/api/v1"
    other = {"msg_id": refused, "conversation_id": "other", "sender_id": "zoe"}
    call(f"""-X PUT {api}/conversations/other --json '{{"type": "group", "members": ["zoe"]}}'""")
    assert call(f"{api}/messages --json '{json.dumps(other)}'")["success"]
    for _ in range(2):
        reader.run(reader.mine(send))
    told = call(f'"{api}/messages/receipts?msg_id={refused}&msg_id={taken}"')["messages"]
    assert [message["member_count"] for message in told] == [0, told[1]["member_count"]]
    assert told[1]["member_count"] >= 9


SEND = """
curl http://localhost:3000/groups/team/messages -H "X-User: alice" --json '{"text": "?"}'
"""


def test_node(follow: Follow) -> None:
    """The chat in Node does what its page shows; what is refused holds up nothing."""
    refuse_one(follow("node.md", "node chat.mjs"), SEND, "m3", "m4")


def test_django(follow: Follow) -> None:
    """The chat in Django does what its page shows; what is refused holds up nothing."""
    refuse_one(follow("django.md", "manage.py runserver"), SEND, "3", "4")


def test_rails(follow: Follow) -> None:
    """The models and the job for Rails do what their page shows; a refusal holds up nothing."""
    reader = follow("rails.md", "a server that is not there")
    refuse_one(reader, "ruby try.rb post team alice '?'", "3", "4")


@pytest.mark.parametrize("name", ["django", "node", "rails"])
def test_the_examples_are_the_pages(name: str) -> None:
    """examples/ holds the files that the page shows, and no other."""
    folder = ROOT / "examples" / name
    files = {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files == files_of(DOCS / "howto" / f"{name}.md")
