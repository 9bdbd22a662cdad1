"""`seenby verify`: what differs, what becomes of it, and how far it is."""

from __future__ import annotations

import io
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from typer.testing import CliRunner

from seenby import cli
from seenby.cli import databases, progress
from seenby.settings import variables
from seenby.store.conversations import NewConversation
from seenby.store.schema import migrate
from seenby.store.sql import open_store
from seenby.store.verifying import Verifying

if TYPE_CHECKING:
    from pathlib import Path


COUNT = 7


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A database with some conversations, one of which has a wrong count of members."""
    for variable in variables():
        monkeypatch.delenv(variable.name, raising=False)
    found = f"sqlite:///{tmp_path}/seenby.db"
    monkeypatch.setenv("SEENBY_DATABASE_URL", found)
    migrate(found)
    with closing(open_store(found)) as store:
        store.conversations.put(
            [NewConversation(f"c{number}", "group", ["alice", "bob"]) for number in range(COUNT)]
        )
        wrong = "UPDATE conversations SET members = 9 WHERE conversation_id = 'c3'"
        store.connections.run(lambda connection: connection.change(wrong))
    return found


def verify(*arguments: str) -> tuple[str, int]:
    """What the command prints, and how it ends."""
    result = CliRunner().invoke(cli.app, ["verify", *arguments])
    return result.stdout, result.exit_code


@pytest.mark.usefixtures("url")
def test_what_differs_is_told_and_put_right() -> None:
    """It ends with 1 as long as something is left."""
    line = "c3: conversations.members of c3 is 9, should be 2\n"
    found, status = verify()
    assert found.startswith(line)
    assert (
        "7 conversations, 1 difference, left as found; to put right: seenby verify --repair\n"
        in found
    )
    assert status == 1
    found, status = verify("--repair")
    assert found.startswith(line)
    assert status == 0
    assert verify() == ("7 conversations, 0 differences\n", 0)


@pytest.mark.usefixtures("url")
@pytest.mark.parametrize("looked_at", [True, False])
def test_whoever_looks_sees_of_how_many(
    monkeypatch: pytest.MonkeyPatch, *, looked_at: bool
) -> None:
    """Elsewhere they are not even counted."""
    asked: list[int] = []
    count = Verifying.count

    def counting(verifying: Verifying) -> int:
        asked.append(count(verifying))
        return asked[-1]

    monkeypatch.setattr(Verifying, "count", counting)
    file = io.StringIO()
    shown = partial(progress.progress, console=Console(file=file, force_terminal=looked_at))
    monkeypatch.setattr(progress, "progress", shown)
    monkeypatch.setattr(databases, "PIECE", 1)
    verify()
    assert (f"/{COUNT}" in file.getvalue()) is looked_at
    assert asked == ([COUNT] if looked_at else [])
