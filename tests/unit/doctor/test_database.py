"""The database: an SQLite file in every state, and what a server's answers mean."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from seenby import config
from seenby.doctor import database
from seenby.store.base import OutboxState
from seenby.store.schema import migrate

if TYPE_CHECKING:
    from pathlib import Path

    from seenby.doctor import Finding


def look(url: str, **environ: str) -> dict[str, Finding]:
    """What is found, by check."""
    found = database.look(config.read({"SEENBY_DATABASE_URL": url, **environ})[0])
    return {item.check: item for item in found}


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database with the current schema."""
    found = f"sqlite:///{tmp_path}/seenby.db"
    migrate(found)
    return found


def set_revision(tmp_path: Path, revision: str) -> None:
    """Let the schema be another version's."""
    with closing(sqlite3.connect(tmp_path / "seenby.db")) as connection, connection:
        connection.execute("UPDATE seenby_version SET version_num = ?", [revision])


def test_a_good_file(url: str) -> None:
    """Everything is found well, and the kind and version of the database are told."""
    found = look(url)
    assert {item.level for item in found.values()} == {"ok"}
    assert set(found) == {"database", "commits", "schema", "outbox"}
    assert f"SQLite {sqlite3.sqlite_version}" in found["database"].found


def test_no_file_yet(tmp_path: Path) -> None:
    """It is not made by looking, and the command that makes it is named."""
    found = look(f"sqlite:///{tmp_path}/seenby.db")
    assert found["database"].level == "warning"
    assert "seenby migrate" in found["database"].todo
    assert list(tmp_path.iterdir()) == []


def test_no_folder(tmp_path: Path) -> None:
    """It has to be made first."""
    found = look(f"sqlite:///{tmp_path}/none/seenby.db")
    assert found["database"].level == "error"
    assert "does not exist" in found["database"].found


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """A wrong path must not end in a traceback."""
    (tmp_path / "seenby.db").write_text("dear diary, " * 100, encoding="utf-8")
    found = look(f"sqlite:///{tmp_path}/seenby.db")
    assert found["database"].level == "error"
    assert "not a database" in found["database"].found


def test_no_tables(tmp_path: Path) -> None:
    """The command that makes them is named."""
    with closing(sqlite3.connect(tmp_path / "seenby.db")) as connection, connection:
        connection.execute("CREATE TABLE other (id)")
    found = look(f"sqlite:///{tmp_path}/seenby.db")
    assert (found["schema"].level, found["schema"].todo) == ("error", "seenby migrate")
    assert "outbox" not in found


def test_an_old_schema(url: str, tmp_path: Path) -> None:
    """The command that brings it up to date is named."""
    set_revision(tmp_path, "0001")
    found = look(url)
    assert (found["schema"].level, found["schema"].todo) == ("error", "seenby migrate")
    assert "older" in found["schema"].found


def test_a_schema_of_the_future(url: str, tmp_path: Path) -> None:
    """It needs the newer program."""
    set_revision(tmp_path, "9999")
    found = look(url)
    assert found["schema"].level == "error"
    assert found["schema"].todo == "start that newer seenby"


def test_what_may_lose_commits() -> None:
    """Each sentence of the store, split into what is and what to do."""
    [found] = database.flushing(["sync_binlog is 0: a replica may lack commits; set it to 1"])
    assert found.level == "warning"
    assert found.found == "sync_binlog is 0: a replica may lack commits"
    assert found.todo.startswith("set it to 1, in the server's configuration")


@pytest.mark.parametrize(
    ("ahead", "level", "words"),
    [
        (0.0, "ok", "0 ms"),
        (-0.4, "ok", "400 ms"),
        (1.5, "warning", "1.5 s ahead of"),
        (-1.5, "warning", "1.5 s behind"),
        (60.0, "error", "60.0 s ahead of"),
        (-3600.0, "error", "3600.0 s behind"),
    ],
)
def test_a_clock_that_differs(ahead: float, level: str, words: str) -> None:
    """By how much, and in which direction."""
    found = database.about_clock(ahead)
    assert found.level == level
    assert words in found.found
    assert bool(found.todo) == (level != "ok")


@pytest.mark.parametrize(("level", "wanted"), [("READ-COMMITTED", "ok"), ("", "error")])
def test_the_isolation_of_a_session(level: str, wanted: str) -> None:
    """A proxy may take it away."""
    assert database.about_isolation(level).level == wanted


@pytest.mark.parametrize(
    ("state", "level", "words"),
    [
        (OutboxState(0, 0.0), "ok", "nothing waits"),
        (OutboxState(1, 3.0), "ok", "1 batch waits to be published, the oldest for 3 s"),
        (OutboxState(1200, 90.0), "warning", "1,200 batches wait"),
    ],
)
def test_what_waits_to_be_published(state: OutboxState, level: str, words: str) -> None:
    """Old rows mean that nobody publishes them."""
    found = database.about_outbox(state, kafka=True)
    assert found.level == level
    assert words in found.found
    assert ("Kafka" in found.todo) == (level == "warning")
