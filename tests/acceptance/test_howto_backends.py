"""docs/howto, the chat backends: each page is followed as it stands, against a real seenby."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.docs.pages import DOCS, ROOT, blocks_of, files_of
from tests.docs.reader import Reader
from tests.servers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Follow = Callable[..., None]

AWAY = "When seenby is away"


@pytest.fixture
def follow(tmp_path: Path) -> Iterator[Follow]:
    """``follow(page, chat)``: be a reader of a page whose chat is started by that command."""
    readers: list[Reader] = []

    def all_of(page: str, chat: str) -> None:
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

    yield all_of
    for reader in readers:
        reader.close()


def test_node(follow: Follow) -> None:
    """The chat in Node answers what its page shows, also after seenby was away."""
    follow("node.md", "node chat.mjs")


def test_django(follow: Follow) -> None:
    """The chat in Django answers what its page shows, also after seenby was away."""
    follow("django.md", "manage.py runserver")


def test_rails(follow: Follow) -> None:
    """The models and the job for Rails do what their page shows, also after seenby was away."""
    follow("rails.md", "a server that is not there")


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
