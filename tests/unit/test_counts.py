"""Counts that were held back are told when they are due, and never lost."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from structlog.testing import capture_logs

from seenby import counts as module
from seenby.counts import Counts
from seenby.errors import StoreUnavailable
from seenby.metrics import Metrics
from seenby.model import Kind, Mark, NewMessage
from seenby.recorder import Recorder
from seenby.relay import Relay
from seenby.rules import Rules
from seenby.store.conversations import NewConversation
from seenby.store.schema import migrate
from seenby.store.sql import SqlStore, open_store
from seenby.store.threads import StoreThreads
from seenby.tally import TELL_EVERY_MS
from seenby.testing import FailingPublisher, ManualClock
from tests.unit.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

NOW = 1_704_067_200
READERS = [f"r{number}" for number in range(5)]


class Bench:
    """A large group, whose first reader has been told of at NOW."""

    def __init__(self, folder: Path) -> None:
        url = f"sqlite:///{folder}/seenby.db"
        migrate(url)
        self.clock = ManualClock(NOW)
        self.store = open_store(url, rules=Rules(aggregate_over=3, sync_reader=False))
        self.bus = FailingPublisher()
        self.threads: StoreThreads[SqlStore] = StoreThreads(self.store)
        metrics = Metrics()
        self.relay = Relay(self.threads, self.bus, metrics, owner="here")
        self.recorder = Recorder(self.threads, self.relay, metrics, self.clock)
        self.counts = Counts(self.recorder, self.threads, self.clock)

    def fill(self, *msg_ids: str) -> None:
        """Messages of ann to all."""
        self.store.conversations.put([NewConversation("c", "group", ["ann", *READERS])])
        self.store.conversations.register(
            [NewMessage(msg_id, "c", "ann") for msg_id in msg_ids], now=NOW * 1000
        )

    def read(self, reader_id: str, *msg_ids: str) -> int | None:
        """What the recorder does; when the first count that is held back is due."""
        marks = [Mark(msg_id, reader_id, "", "") for msg_id in msg_ids]
        return self.store.record(marks, now=int(self.clock() * 1000), lease=None).due

    @property
    def published(self) -> list[tuple[str, int | None]]:
        """The counts that went to the bus."""
        return [
            (event.msg_id, event.count)
            for event, _ in self.bus.published
            if event.kind == Kind.COUNT
        ]


@asynccontextmanager
async def benched(folder: Path) -> AsyncIterator[Bench]:
    """A bench, and its orderly end."""
    bench = Bench(folder)
    try:
        yield bench
    finally:
        await bench.counts.close()
        await bench.relay.close()
        await bench.threads.close()


async def test_what_was_held_back_is_told_when_it_is_due(tmp_path: Path) -> None:
    """Not before, once, and as it is then."""
    async with benched(tmp_path) as bench:
        bench.fill("m")
        assert bench.read("r0", "m") is None
        assert [bench.read(reader, "m") for reader in ("r1", "r2")] == [
            NOW * 1000 + TELL_EVERY_MS
        ] * 2
        bench.clock.advance(TELL_EVERY_MS / 1000 - 0.001)
        await bench.counts.tell()
        assert bench.published == []
        bench.clock.advance(0.001)
        for _ in range(2):
            await bench.counts.tell()
            await eventually(lambda: bench.published == [("m", 3)])


async def test_all_that_is_due_is_told_however_much_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Piece by piece, and nothing waits for the next look."""
    monkeypatch.setattr(module, "PIECE", 2)
    async with benched(tmp_path) as bench:
        msg_ids = [f"m{number}" for number in range(5)]
        bench.fill(*msg_ids)
        bench.read("r0", *msg_ids)
        bench.read("r1", *msg_ids)
        bench.clock.advance(TELL_EVERY_MS / 1000)
        await bench.counts.tell()
        await eventually(lambda: sorted(bench.published) == [(msg_id, 2) for msg_id in msg_ids])


async def test_it_looks_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever held it back may be dead: what stands in the database is told."""
    monkeypatch.setattr(module, "EVERY", 0.001)
    async with benched(tmp_path) as bench:
        bench.fill("m")
        bench.read("r0", "m")
        bench.read("r1", "m")
        bench.counts.start()
        bench.clock.advance(TELL_EVERY_MS / 1000)
        await eventually(lambda: bench.published == [("m", 2)])


async def test_who_is_told_that_something_is_due_looks_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At that time, however long the pause between two looks is."""
    monkeypatch.setattr(module, "EVERY", 3600.0)
    async with benched(tmp_path) as bench:
        bench.fill("m")
        bench.read("r0", "m")
        due = bench.read("r1", "m")
        assert due is not None
        with monkeypatch.context() as patched:
            looks: list[object] = []
            run = bench.store.connections.run

            def looking(work: Any, **how: bool) -> object:
                looks.append(work)
                return run(work, **how)

            patched.setattr(bench.store.connections, "run", looking)
            bench.counts.start()
            await eventually(lambda: looks)
        bench.clock.advance(TELL_EVERY_MS / 1000 + 1)
        assert bench.published == []
        bench.counts.held_back(due + 10_000_000)
        bench.counts.held_back(due)
        await eventually(lambda: bench.published == [("m", 2)])


async def test_a_store_that_is_away_is_waited_for_longer_and_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to a limit; and when it is back all is told."""
    monkeypatch.setattr(module, "EVERY", 0.001)
    monkeypatch.setattr(module, "MAX_BACKOFF", 0.004)
    async with benched(tmp_path) as bench:
        bench.fill("m")
        bench.read("r0", "m")
        bench.read("r1", "m")
        bench.clock.advance(TELL_EVERY_MS / 1000)
        run = bench.store.connections.run
        errors: list[Exception] = [StoreUnavailable("away"), RuntimeError("a fault of ours")] * 2

        def failing(*_: object, **__: object) -> object:
            if len(errors) > 0:
                raise errors.pop(0)
            monkeypatch.setattr(bench.store.connections, "run", run)
            raise StoreUnavailable("away")

        monkeypatch.setattr(bench.store.connections, "run", failing)
        with capture_logs() as logs:
            bench.counts.start()
            await eventually(lambda: bench.published == [("m", 2)])
    waits = [line["next_in"] for line in logs if line["event"].startswith("counts")]
    assert waits == [0.002, 0.004, 0.004, 0.004, 0.004]


async def test_it_ends_when_told_to(tmp_path: Path) -> None:
    """Before it began, while it waits, and twice."""
    async with benched(tmp_path) as bench:
        await bench.counts.close()
        bench.counts.start()
        await asyncio.sleep(0)
        await bench.counts.close()
        await bench.counts.close()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "counts"]
