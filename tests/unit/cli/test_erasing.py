"""`seenby erase`: a person is gone, and only if that is meant."""

from __future__ import annotations

import io
import time
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from seenby import cli
from seenby.cli import erasing, progress
from seenby.cli.progress import Work
from seenby.errors import BadInput, SchemaError
from seenby.model import Mark
from seenby.settings import variables
from seenby.store.erasing import Erasure, Stage
from seenby.store.schema import migrate
from seenby.store.sql import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A database in which bob has read two of alice's messages."""
    for variable in variables():
        monkeypatch.delenv(variable.name, raising=False)
    monkeypatch.chdir(tmp_path)
    found = f"sqlite:///{tmp_path}/seenby.db"
    migrate(found)
    with closing(open_store(found)) as store:
        marks = [
            Mark(msg_id, "bob", "alice", "c1", "private", "", "0" * 32) for msg_id in ("m1", "m2")
        ]
        store.record(marks, now=int(time.time() * 1000), lease=None)
    return found


def receipts(url: str) -> int:
    """How many receipts there are of both messages."""
    with closing(open_store(url)) as store:
        pages = store.receipts(["m1", "m2"], sender_id=None, after_id=0, limit=10)
    return sum(page.count for page in pages)


def erase(*arguments: str, answer: str | None = None) -> Result:
    """Run the command; raises what it raises."""
    result = CliRunner().invoke(cli.app, ["erase", *arguments], input=answer)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_person_is_erased(url: str) -> None:
    """With --yes nobody is asked; a second time there is nothing to do."""
    assert receipts(url) == 2
    for _ in range(2):
        assert erase("bob", "--yes").stdout == "bob is erased\n"
        assert receipts(url) == 0


def test_whoever_looks_sees_how_far_it_is(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Part by part; of receipts, which are the most, with how many there are."""
    with closing(open_store(url)) as store:
        marks = [
            Mark(f"n{number}", f"r{number % 9}", "alice", "c1", "private", "", "0" * 32)
            for number in range(60)
        ]
        store.record(marks, now=int(time.time() * 1000), lease=None)
    told: list[tuple[str, float, float | None]] = []

    class Told(Work):
        def at(self, what: str, done: float, total: float | None) -> None:
            super().at(what, done, total)
            told.append((what, done, total))

    monkeypatch.setattr(progress, "Work", Told)
    console = Console(file=io.StringIO(), force_terminal=True)
    shown = partial(progress.progress, console=console)
    monkeypatch.setattr(progress, "progress", shown)
    monkeypatch.setattr(erasing, "PIECE", 1)
    assert erase("bob", "--yes").stdout == "bob is erased\n"

    read = [(done, total) for what, done, total in told if what == "erasing, receipts"]
    [total] = {total for _, total in read}
    assert total is not None
    assert read[0][0] == 0 < read[1][0] < total
    assert read == sorted(read)
    others = {what: total for what, _, total in told if what != "erasing, receipts"}
    assert {"erasing, events, pieces", "erasing, latest receipts, pieces"} <= set(others)
    assert set(others.values()) == {None}


def test_a_beginning_at_a_high_id_is_no_progress() -> None:
    """Where old receipts are gone the first piece leads far, and nothing was read."""
    told: list[tuple[float, float | None]] = []

    class Told:
        def at(self, _: str, done: float, total: float | None) -> None:
            told.append((done, total))

    work: Any = Told()
    shown = erasing._Shown(work)
    for number in (0, 9_000_000, 9_500_000, 10_000_000, 10_000_100):
        shown.step(Erasure("bob", Stage.RECEIPTS, "10000000", number))
    assert told == [(0, 1e6), (5e5, 1e6), (1e6, 1e6), (1e6 + 100, 1e6 + 100)]


def test_nobody_is_erased_by_a_slip(url: str) -> None:
    """Where nobody can be asked, --yes must be given."""
    with pytest.raises(BadInput, match="--yes must be given"):
        erase("bob")
    assert receipts(url) == 2


@pytest.mark.parametrize(("answer", "left"), [("n\n", 2), ("\n", 2), ("y\n", 0)])
def test_who_sits_at_a_terminal_is_asked(
    url: str, monkeypatch: pytest.MonkeyPatch, answer: str, left: int
) -> None:
    """And the default is no."""
    monkeypatch.setattr(erasing, "_can_ask", lambda: True)
    result = erase("bob", answer=answer)
    assert "Erase bob? This cannot be undone." in result.stderr
    assert result.exit_code == (1 if left else 0)
    assert receipts(url) == left


def test_what_cannot_be_a_user_is_refused(url: str) -> None:
    """By the argument's name."""
    with pytest.raises(BadInput, match="USER must be"):
        erase("a b", "--yes")


def test_without_tables_nothing_is_done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The sentence says what to run."""
    monkeypatch.setenv("SEENBY_DATABASE_URL", f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(SchemaError, match="seenby migrate"):
        erase("bob", "--yes")
