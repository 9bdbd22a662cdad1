"""From the outbox to the bus: every committed batch is published, whatever goes wrong."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from seenby import relay as module
from seenby.errors import StoreUnavailable
from seenby.metrics import Metrics
from seenby.model import Mark
from seenby.recorder import Recorder
from seenby.relay import LEASE, MAX_BACKOFF, SWEEP_BATCHES, SWEEP_EVERY, Relay
from seenby.store.schema import migrate
from seenby.store.sql import open_store
from seenby.store.threads import StoreThreads
from seenby.testing import FailingPublisher, FailingStore, ManualClock
from tests.unit.eventually import all_waiting, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from seenby.model import Event
    from seenby.store.base import Recorded

NOW = 1_704_067_200_000


class Bench:
    """A relay between a store and a bus that do what the test wants."""

    def __init__(self) -> None:
        self.clock = ManualClock(1000.0)
        self.store = FailingStore(self.clock)
        self.bus = FailingPublisher()
        self.metrics = Metrics()
        self.threads = StoreThreads(self.store)
        self.relay = Relay(self.threads, self.bus, self.metrics, owner="here")

    def commit(self, *msg_ids: str, lease: float | None = LEASE) -> Recorded:
        """What the recorder does in its transaction."""
        marks = [Mark(msg_id, "reader", "sender", "c") for msg_id in msg_ids]
        return self.store.record(
            marks, now=NOW, lease=lease, published=tuple(self.relay.published())
        )

    def left(self, *msg_ids: str) -> None:
        """A batch of an instance that has died: its lease has run out."""
        self.commit(*msg_ids, lease=LEASE)
        self.clock.advance(LEASE + 1)

    @property
    def published(self) -> list[str]:
        """The messages whose events the bus has acknowledged."""
        return [event.msg_id for event, _ in self.bus.published]

    @property
    def rows(self) -> int:
        """How many rows the outbox has."""
        return self.store.outbox().rows

    def counted(self, status: str) -> float:
        """What the metrics say was published with that status."""
        name = f'read_receipt_events_published_total{{status="{status}"}} '
        lines = self.metrics.render()[0].decode().splitlines()
        return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))


@asynccontextmanager
async def benched() -> AsyncIterator[Bench]:
    """A bench, and its orderly end."""
    bench = Bench()
    try:
        yield bench
    finally:
        bench.store.failing = False
        await bench.relay.close()
        await bench.threads.close()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """A relay whose sweeper does not run by itself."""
    async with benched() as made:
        yield made


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flush and sweep at once."""
    monkeypatch.setattr(module, "FLUSH_AFTER", 0.0)
    monkeypatch.setattr(module, "SWEEP_EVERY", 0.001)


async def test_a_committed_batch_is_published_at_once(bench: Bench) -> None:
    """In the batch's own order and under its epoch; nobody has to sweep for it."""
    recorded = bench.commit("m1", "m2", "m3")
    bench.relay.committed(recorded, discarded=())
    await eventually(lambda: len(bench.bus.published) == 3)
    assert bench.bus.published == [(event, recorded.epoch) for event in recorded.events]
    await eventually(lambda: bench.counted("ok") == 3)


async def test_nothing_is_published_before_the_commit(tmp_path: Path) -> None:
    """On a real database: at the moment of publishing, another connection sees the receipt."""
    url = f"sqlite:///{tmp_path}/seenby.db"
    migrate(url)
    threads, other = StoreThreads(open_store(url)), open_store(url)

    class Looking(FailingPublisher):
        async def publish(self, events: Sequence[Event], *, epoch: str) -> None:
            pages = other.receipts(
                [event.msg_id for event in events], sender_id=None, after_id=0, limit=1
            )
            assert [page.count for page in pages] == [1] * len(events)
            await super().publish(events, epoch=epoch)

    bus = Looking()
    relay = Relay(threads, bus, Metrics(), owner="here")
    recorder = Recorder(threads, relay, Metrics())
    recorder.start()
    await recorder.record([Mark("m1", "reader", "sender", "c")])
    await eventually(lambda: bus.published)
    assert other.outbox().rows == 1
    await recorder.record([Mark("m2", "reader", "sender", "c")])
    # The first row went with the second commit.
    assert other.outbox().rows == 1

    await recorder.close()
    await relay.close()
    assert [event.seq for event, _ in bus.published] == [1, 2]
    assert other.outbox().rows == 0
    other.close()
    await threads.close()


async def test_the_next_commit_takes_exactly_the_published_rows_along(bench: Bench) -> None:
    """A row whose events are not acknowledged yet stays."""
    first = bench.commit("m1")
    bench.relay.committed(first, discarded=())
    await eventually(bench.relay.published)
    bench.bus.acknowledging.clear()
    second = bench.commit("m2", lease=LEASE)
    assert bench.relay.published() == (first.outbox_id,)
    bench.relay.committed(second, discarded=(first.outbox_id or 0,))
    await all_waiting()
    assert bench.relay.published() == ()
    bench.commit("m3")
    # m2 waits for its acknowledgement, m3 for its relay; m1 is gone.
    assert bench.rows == 2
    bench.bus.acknowledging.set()


@pytest.mark.usefixtures("hurried")
async def test_without_another_commit_the_row_is_deleted_all_the_same(bench: Bench) -> None:
    """The outbox of an idle instance is empty."""
    bench.relay.committed(bench.commit("m1"), discarded=())
    await eventually(lambda: bench.rows == 0)
    assert bench.published == ["m1"]
    await eventually(lambda: bench.relay.published() == ())


@pytest.mark.usefixtures("hurried")
async def test_a_batch_that_fails_is_given_back_and_swept(bench: Bench) -> None:
    """It does not wait for its lease: the clock stands still here."""
    bench.bus.failing = True
    bench.relay.committed(bench.commit("m1"), discarded=())
    await eventually(lambda: bench.counted("error") == 1)
    assert bench.rows == 1
    bench.bus.failing = False
    bench.relay.start()
    await eventually(lambda: bench.rows == 0)
    assert bench.published == ["m1"]
    assert bench.counted("swept") == 1


@pytest.mark.usefixtures("hurried")
async def test_an_error_nobody_foresaw_gives_the_batch_back_too(bench: Bench) -> None:
    """Whatever ended the attempt, the events were not acknowledged."""

    class Broken(FailingPublisher):
        async def publish(self, events: Sequence[Event], *, epoch: str) -> None:
            if self.failing:
                raise ValueError("nobody foresaw this")
            await super().publish(events, epoch=epoch)

    bus = Broken()
    bus.failing = True
    relay = Relay(bench.threads, bus, bench.metrics, owner="here")
    with capture_logs() as logged:
        relay.committed(bench.commit("m1"), discarded=())
        await eventually(lambda: bench.counted("error") == 1)
    assert [line["event"] for line in logged] == ["publish_failed"]
    bus.failing = False
    relay.start()
    await eventually(lambda: bench.rows == 0)
    assert [event.msg_id for event, _ in bus.published] == ["m1"]
    await relay.close()


async def test_a_running_lease_is_another_instances(bench: Bench) -> None:
    """Swept is only what nobody can be publishing any more."""
    bench.commit("m1", lease=LEASE)
    assert await bench.relay._sweep() == 0
    bench.clock.advance(LEASE + 1)
    assert await bench.relay._sweep() == 1
    assert bench.published == ["m1"]
    assert bench.rows == 0


async def test_batches_are_swept_in_the_order_of_their_commits(bench: Bench) -> None:
    """Oldest first, a bounded number at once."""
    for number in range(SWEEP_BATCHES + 1):
        bench.commit(f"m{number}", lease=0)
    assert await bench.relay._sweep() == SWEEP_BATCHES
    assert await bench.relay._sweep() == 1
    assert bench.published == [f"m{number}" for number in range(SWEEP_BATCHES + 1)]


async def test_a_sweep_that_fails_in_the_middle_keeps_both_halves(bench: Bench) -> None:
    """What was acknowledged is deleted; the rest is free again at once, for any instance."""
    for msg_id in ("m1", "m2", "m3"):
        bench.left(msg_id)

    class FailsAtSecond(FailingPublisher):
        async def publish(self, events: Sequence[Event], *, epoch: str) -> None:
            self.failing = len(self.published) == 1
            await super().publish(events, epoch=epoch)

    relay = Relay(bench.threads, FailsAtSecond(), bench.metrics, owner="other")
    with pytest.raises(Exception, match="told to fail"):
        await relay._sweep()
    assert bench.rows == 2
    assert await bench.relay._sweep() == 2
    assert bench.published == ["m2", "m3"]
    await relay.close()


async def test_a_sweep_whose_store_fails_gives_back_what_it_claimed(bench: Bench) -> None:
    """Between claim and publication nothing is forgotten."""
    bench.left("m1")

    class NoEpoch(FailingStore):
        def epoch(self) -> str:
            raise StoreUnavailable("not now")

    store = NoEpoch(bench.clock)
    threads = StoreThreads(store)
    relay = Relay(threads, bench.bus, bench.metrics, owner="here")
    store.record([Mark("m1", "reader", "sender", "c")], now=NOW, lease=0)
    with pytest.raises(StoreUnavailable):
        await relay._sweep()
    assert [batch.events[0].msg_id for batch in store.claim(owner="x", lease=1, limit=9)] == ["m1"]
    await threads.close()


@pytest.mark.usefixtures("hurried")
async def test_while_the_bus_is_away_nothing_is_produced(bench: Bench) -> None:
    """Rows pile up in the database, not in memory; all go out when the bus is back."""
    bench.bus.healthy = False
    bench.relay.start()
    bench.relay.committed(bench.commit("m1", lease=bench.relay.lease), discarded=())
    bench.relay.committed(bench.commit("m2", lease=bench.relay.lease), discarded=())
    await eventually(lambda: b"seenby_outbox_rows 2.0" in bench.metrics.render()[0])
    assert bench.published == []
    bench.bus.healthy = True
    await eventually(lambda: bench.rows == 0)
    assert bench.published == ["m1", "m2"]


@pytest.mark.usefixtures("hurried")
async def test_a_bus_that_went_during_the_commit_costs_no_lease(bench: Bench) -> None:
    """The row was given a full lease, and nobody publishes it: it is given back."""
    recorded = bench.commit("m1", lease=LEASE)
    bench.bus.healthy = False
    bench.relay.committed(recorded, discarded=())
    bench.relay.start()
    bench.bus.healthy = True
    await eventually(lambda: bench.rows == 0)
    assert bench.published == ["m1"]


async def test_the_lease_says_who_publishes(bench: Bench) -> None:
    """A while for ourselves; none while the bus is away; no row at all without a bus."""
    assert bench.relay.lease == 30.0
    bench.bus.healthy = False
    assert bench.relay.lease == 0.0
    alone = Relay(bench.threads, None, bench.metrics, owner="here")
    assert alone.lease is None


async def test_without_a_bus_there_is_nothing_to_do(bench: Bench) -> None:
    """Marks are recorded, gateways read the database, and the sweeper claims nothing."""
    alone = Relay(bench.threads, None, bench.metrics, owner="here")
    alone.committed(bench.commit("m1", lease=None), discarded=())
    bench.left("m2")
    assert await alone._sweep() == 0
    assert bench.rows == 1
    await alone.close()


async def test_a_batch_without_news_is_not_published(bench: Bench) -> None:
    """A repeat has no event and no outbox row."""
    bench.relay.committed(bench.commit("m1"), discarded=())
    bench.relay.committed(bench.commit("m1"), discarded=())
    await all_waiting()
    assert bench.published == ["m1"]


@pytest.mark.usefixtures("hurried")
async def test_a_store_that_is_away_delays_the_tidying_only(bench: Bench) -> None:
    """What is published is deleted when the store is back, and never published again."""
    recorded = bench.commit("m1")
    bench.store.failing = True
    bench.relay.committed(recorded, discarded=())
    bench.relay.start()
    await eventually(lambda: bench.store.failures > 1)
    bench.clock.advance(LEASE + 1)
    bench.store.failing = False
    await eventually(lambda: bench.rows == 0)
    assert bench.published == ["m1"]


class TestBackoff:
    """How long a sweeper pauses."""

    @pytest.fixture
    def pauses(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """What the sweeper sleeps, while it does not; at the 10th time it stops."""
        slept: list[float] = []
        yielding = asyncio.sleep

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            if len(slept) == 10:
                raise asyncio.CancelledError
            await yielding(0)

        monkeypatch.setattr(asyncio, "sleep", sleep)
        return slept

    async def swept(self, bench: Bench) -> None:
        """Let the sweeper run to its last pause."""
        with pytest.raises(asyncio.CancelledError):
            await bench.relay._sweep_forever()

    async def test_failures_make_it_longer_up_to_a_limit(
        self, bench: Bench, pauses: list[float]
    ) -> None:
        """A database that is away is not asked every second by every instance."""
        bench.store.failing = True
        await self.swept(bench)
        assert pauses[:5] == [1.0, 2.0, 4.0, 8.0, 10.0]
        assert pauses[-1] == MAX_BACKOFF

    async def test_a_failure_amid_a_long_outbox_does_not_spin(
        self, bench: Bench, pauses: list[float]
    ) -> None:
        """After a full sweep the next follows at once; after a failure it does not."""
        for number in range(SWEEP_BATCHES):
            bench.commit(f"m{number}", lease=0)

        class FailsLater(FailingPublisher):
            async def publish(self, events: Sequence[Event], *, epoch: str) -> None:
                await super().publish(events, epoch=epoch)
                if len(self.published) == SWEEP_BATCHES:
                    bench.store.failing = True

        bench.relay._publisher = FailsLater()
        await self.swept(bench)
        assert pauses[:4] == [SWEEP_EVERY, 0.0, 2.0, 4.0]

    async def test_success_makes_it_short_again(
        self, bench: Bench, pauses: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The pause belongs to the failure, not to the day."""
        bench.store.failing = True
        real = bench.store.outbox

        def recovers() -> object:
            bench.store.failing = bench.store.failures < 3
            return real()

        monkeypatch.setattr(bench.store, "outbox", recovers)
        await self.swept(bench)
        assert pauses[:6] == [1.0, 2.0, 4.0, 8.0, 1.0, 1.0]

    async def test_an_error_nobody_foresaw_does_not_end_it(
        self, bench: Bench, pauses: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A sweeper that is gone would leave batches behind for good."""

        def broken() -> object:
            raise ValueError("nobody foresaw this")

        monkeypatch.setattr(bench.store, "outbox", broken)
        with capture_logs() as logged:
            await self.swept(bench)
        assert pauses[:4] == [1.0, 2.0, 4.0, 8.0]
        assert {(line["event"], line["log_level"]) for line in logged} == {
            ("sweep_failed", "error")
        }


class TestDrain:
    """What close() leaves behind."""

    async def test_what_is_on_its_way_arrives(self) -> None:
        """The bus is waited for; the outbox is tidy afterwards; the bus is closed."""
        async with benched() as bench:
            bench.bus.acknowledging.clear()
            bench.relay.committed(bench.commit("m1"), discarded=())
            await all_waiting()
            closing = asyncio.create_task(bench.relay.close())
            await all_waiting()
            assert not closing.done()
            bench.bus.acknowledging.set()
            await closing
            assert bench.published == ["m1"]
            assert bench.rows == 0
            assert bench.bus.closed

    async def test_a_bus_that_hangs_is_not_waited_for(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What it did not take is given back, and nothing runs on after the close."""
        monkeypatch.setattr(module, "DRAIN_WITHIN", 0.01)
        async with benched() as bench:
            bench.bus.acknowledging.clear()
            bench.relay.committed(bench.commit("m1"), discarded=())
            await all_waiting()
            await bench.relay.close()
            assert bench.relay._tasks == set()
            assert len(bench.store.claim(owner="other", lease=LEASE, limit=1)) == 1

    @pytest.mark.usefixtures("hurried")
    async def test_a_sweep_under_way_gives_back_what_it_claimed(self) -> None:
        """The other instances need not wait for the lease of one that has stopped."""
        reached = asyncio.Event()

        class Hanging(FailingPublisher):
            async def publish(self, events: Sequence[Event], *, epoch: str) -> None:
                reached.set()
                await super().publish(events, epoch=epoch)

        async with benched() as bench:
            bench.left("m1")
            bus = bench.relay._publisher = Hanging()
            bus.acknowledging.clear()
            bench.relay.start()
            await reached.wait()
            await bench.relay.close()
            assert len(bench.store.claim(owner="other", lease=LEASE, limit=1)) == 1


async def test_when_the_bus_had_it_is_remembered(bench: Bench, hurried: None) -> None:
    """By the time of the commit, of what was published at once and of what was swept."""
    wall = ManualClock(2_000_000_000.0)
    relay = Relay(bench.threads, bench.bus, bench.metrics, owner="there", wall=wall)
    relay.committed(bench.commit("m1", "m2"), discarded=())
    await eventually(lambda: relay.published_at(NOW) is not None)
    assert relay.published_at(NOW) == 2_000_000_000_000
    assert relay.published_at(NOW + 1) is None
    wall.advance(5.0)
    bench.left("m3")
    relay.start()
    await eventually(lambda: relay.published_at(NOW) == 2_000_000_005_000)
    await relay.close()


async def test_what_the_bus_refused_is_not_remembered(bench: Bench) -> None:
    """It was not published."""
    bench.bus.failing = True
    bench.relay.committed(bench.commit("m1"), discarded=())
    await eventually(lambda: bench.counted("error") == 1)
    assert bench.relay.published_at(NOW) is None


async def test_so_many_commits_are_remembered(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest are forgotten; one that comes again is not among them."""
    monkeypatch.setattr(module, "REMEMBERED", 2)
    for number, at in enumerate((NOW, NOW + 1, NOW, NOW + 2)):
        mark = Mark(f"m{number}", "reader", "sender", "c")
        recorded = bench.store.record([mark], now=at, lease=LEASE)
        bench.relay.committed(recorded, discarded=())
        count = len(bench.bus.published) + 1
        await eventually(lambda: len(bench.bus.published) == count)  # noqa: B023 -- awaited at once
    await eventually(lambda: bench.counted("ok") == 4)
    known = [bench.relay.published_at(at) is not None for at in (NOW, NOW + 1, NOW + 2)]
    assert known == [True, False, True]
