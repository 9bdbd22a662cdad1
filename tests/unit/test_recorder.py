"""Group commit: who shares a transaction, who is answered what, and when."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from seenby import recorder as module
from seenby.errors import (
    Conflict,
    Draining,
    NotFound,
    Overloaded,
    OwnMessage,
    SeenbyError,
    StoreRefused,
    StoreUnavailable,
)
from seenby.metrics import Metrics
from seenby.model import Mark, Receipt
from seenby.recorder import MAX_BATCH, Recorder
from seenby.store.base import Recorded
from seenby.store.threads import StoreThreads
from seenby.testing import FailingStore, ManualClock
from tests.unit.eventually import all_waiting, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from seenby.recorder import Outcome

NOW = 1_704_067_200.5


def mark(msg_id: str, **changes: str) -> Mark:
    """A mark of user456's for a message of user123's."""
    fields = {"reader_id": "user456", "sender_id": "user123", "conversation_id": "c1"} | changes
    return Mark(msg_id, fields["reader_id"], fields["sender_id"], fields["conversation_id"])


def marks(*msg_ids: str) -> list[Mark]:
    """One mark per message."""
    return [mark(msg_id) for msg_id in msg_ids]


class Outlet:
    """Keeps what is committed; nothing of it is published unless a test says so."""

    def __init__(self) -> None:
        self.lease: float | None = 30.0
        self.done: list[int] = []
        self.batches: list[Recorded] = []
        self.discarded: list[int] = []
        self.then: Callable[[], None] = lambda: None

    def published(self) -> Sequence[int]:
        """Rows to delete along with the next commit."""
        return tuple(self.done)

    def committed(self, recorded: Recorded, *, discarded: Sequence[int]) -> None:
        """Keep it."""
        self.batches.append(recorded)
        self.discarded += discarded
        self.done = [number for number in self.done if number not in discarded]
        self.then()


class Bench:
    """A recorder on a store that does what the test wants."""

    def __init__(self) -> None:
        self.store = FailingStore()
        self.threads = StoreThreads(self.store)
        self.outlet = Outlet()
        self.metrics = Metrics()
        self.recorder = Recorder(self.threads, self.outlet, self.metrics, ManualClock(NOW))

    def begin(self, given: Sequence[Mark]) -> asyncio.Task[list[Outcome]]:
        """A request that records these marks."""
        return asyncio.create_task(self.recorder.record(given))

    async def in_flight(self, *given: Mark) -> asyncio.Task[list[Outcome]]:
        """A request whose commit hangs until store.answering is set."""
        self.store.answering.clear()
        attempts = len(self.store.attempts)
        request = self.begin(given or marks("m0"))
        await eventually(lambda: len(self.store.attempts) > attempts)
        return request


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """A recorder that runs."""
    async with running() as bench:
        yield bench


@asynccontextmanager
async def running() -> AsyncIterator[Bench]:
    """A recorder that runs until the block ends."""
    bench = Bench()
    bench.recorder.start()
    try:
        yield bench
    finally:
        bench.store.answering.set()
        await bench.recorder.close()
        await bench.threads.close()


def ids(outcomes: Sequence[Outcome]) -> list[str]:
    """The messages of the receipts, or the codes of the refusals."""
    return [o.msg_id if isinstance(o, Receipt) else o.code for o in outcomes]


class TestBatches:
    async def test_a_single_mark_is_recorded_at_once(self, bench: Bench) -> None:
        """No timer: an idle system commits what comes, when it comes."""
        [receipt] = await bench.recorder.record(marks("m1"))
        assert receipt == Receipt(
            1, "m1", "user456", "user123", "c1", "private", 1_704_067_200_500, ""
        )

    async def test_marks_in_flight_share_the_next_commit(self, bench: Bench) -> None:
        """What arrives while a commit is in flight is one transaction, in the order of arrival."""
        first = await bench.in_flight()
        others = [bench.begin(marks(f"m{number}")) for number in range(1, 50)]
        await all_waiting()
        bench.store.answering.set()
        assert ids(await first) == ["m0"]
        answers = await asyncio.gather(*others)
        assert [ids(answer) for answer in answers] == [[f"m{n}"] for n in range(1, 50)]
        assert [[one.msg_id for one in batch] for batch in bench.store.commits] == [
            ["m0"],
            [f"m{number}" for number in range(1, 50)],
        ]

    async def test_nobody_is_answered_before_the_commit(self, bench: Bench) -> None:
        """An answer is a promise."""
        request = await bench.in_flight()
        await all_waiting()
        assert not request.done()
        assert not bench.outlet.batches
        bench.store.answering.set()
        await request
        assert len(bench.outlet.batches) == 1

    async def test_each_request_gets_its_own_outcomes(self, bench: Bench) -> None:
        """Whatever the sizes: nobody reads a neighbour's answer."""
        await bench.recorder.record([mark("seen", sender_id="x")])
        hanging = await bench.in_flight()
        requests = [
            bench.begin(marks("a", "b")),
            bench.begin([mark("own", sender_id="user456"), mark("c")]),
            bench.begin(marks("seen", "d", "a")),
        ]
        await all_waiting()
        bench.store.answering.set()
        first, second, third = await asyncio.gather(*requests)
        await hanging
        assert ids(first) == ["a", "b"]
        assert ids(second) == [OwnMessage.code, "c"]
        assert ids(third) == [Conflict.code, "d", "a"]
        assert third[2] == first[0]

    async def test_a_transaction_has_a_bounded_size(self, bench: Bench) -> None:
        """Past some hundred marks it only takes longer; requests stay whole."""
        hanging = await bench.in_flight()
        requests = [
            bench.begin(marks(*(f"{number}-{item}" for item in range(200)))) for number in range(5)
        ]
        await all_waiting()
        bench.store.answering.set()
        await asyncio.gather(hanging, *requests)
        assert [len(batch) for batch in bench.store.commits] == [1, 400, 400, 200]

    async def test_a_large_request_is_one_transaction(self, bench: Bench) -> None:
        """A batch request of the contract's full size, behind others and before others."""
        hanging = await bench.in_flight()
        before = bench.begin(marks("before"))
        large = bench.begin(marks(*(f"m{number}" for number in range(1000))))
        after = bench.begin(marks("after"))
        await all_waiting()
        bench.store.answering.set()
        await asyncio.gather(hanging, before, after)
        assert ids(await large) == [f"m{number}" for number in range(1000)]
        assert [len(batch) for batch in bench.store.commits] == [1, 1, 1000, 1]

    async def test_no_marks_are_no_transaction(self, bench: Bench) -> None:
        """An empty batch request is answered at once."""
        assert await bench.recorder.record([]) == []
        assert bench.store.attempts == []

    async def test_batches_and_marks_are_counted(self, bench: Bench) -> None:
        """A repeat is an answered mark, and no new receipt."""
        await bench.recorder.record(marks("a", "b"))
        await bench.recorder.record(marks("a"))
        shown = bench.metrics.render()[0].decode()
        assert "seenby_marks_total 3.0" in shown
        assert "seenby_receipts_total 2.0" in shown
        assert "seenby_commit_marks_count 2.0" in shown


class TestTelling:
    async def test_who_does_not_wait_is_told(self, bench: Bench) -> None:
        """Once each, after the commit, with their own outcomes: as those are who wait."""
        hanging = await bench.in_flight()
        told: list[list[str] | SeenbyError] = []

        def tell(outcome: list[Outcome] | SeenbyError) -> None:
            told.append(outcome if isinstance(outcome, SeenbyError) else ids(outcome))

        bench.recorder.take(marks("a"), tell)
        waiting = bench.begin(marks("b"))
        bench.recorder.take(marks("c", "d"), tell)
        await all_waiting()
        assert told == []
        bench.store.answering.set()
        await asyncio.gather(hanging, waiting)
        assert told == [["a"], ["c", "d"]]

    async def test_who_does_not_wait_is_told_of_failures(self, bench: Bench) -> None:
        """The error that all of a batch share, once."""
        told: list[object] = []
        bench.store.failing = True
        bench.recorder.take(marks("a"), told.append)
        await eventually(lambda: told)
        assert [type(outcome) for outcome in told] == [StoreUnavailable]

    async def test_who_cannot_be_told_keeps_nobody_waiting(self, bench: Bench) -> None:
        """It is logged; the others of the batch, and the next batch, have their answers."""

        def broken(_: object) -> None:
            raise ZeroDivisionError

        hanging = await bench.in_flight()
        bench.recorder.take(marks("a"), broken)
        others = bench.begin(marks("b"))
        await all_waiting()
        with capture_logs() as logs:
            bench.store.answering.set()
            await asyncio.gather(hanging, others)
        assert ids(await bench.recorder.record(marks("c"))) == ["c"]
        assert [line["event"] for line in logs] == ["answer_failed"]


class TestOutlet:
    async def test_each_commit_is_handed_on(self, bench: Bench) -> None:
        """With the events that are new, and the row that keeps them."""
        await bench.recorder.record(marks("a"))
        await bench.recorder.record(marks("a", "b"))
        assert [[e.msg_id for e in batch.events] for batch in bench.outlet.batches] == [
            ["a"],
            ["b"],
        ]
        assert [batch.outbox_id for batch in bench.outlet.batches] == [1, 2]

    async def test_published_rows_go_along_with_the_next_commit(self, bench: Bench) -> None:
        """One transaction for both; the outlet is told which are gone."""
        await bench.recorder.record(marks("a"))
        bench.outlet.done = [1]
        await bench.recorder.record(marks("b"))
        assert bench.outlet.discarded == [1]
        assert bench.store.outbox().rows == 1

    async def test_a_failed_commit_deletes_nothing(self, bench: Bench) -> None:
        """What is still there must not be forgotten."""
        await bench.recorder.record(marks("a"))
        bench.outlet.done = [1]
        bench.store.failing = True
        with pytest.raises(StoreUnavailable):
            await bench.recorder.record(marks("b"))
        assert bench.outlet.done == [1]
        assert bench.outlet.discarded == []

    async def test_a_halved_batch_deletes_each_row_once(self, bench: Bench) -> None:
        """The rows go with the first part that is committed."""
        await bench.recorder.record(marks("a"))
        bench.outlet.done = [1]
        bench.store.refused = {"bad"}
        await bench.recorder.record(marks("bad", "b", "c"))
        assert bench.outlet.discarded == [1]

    async def test_without_a_bus_there_is_no_row(self, bench: Bench) -> None:
        """No lease, no outbox: gateways read the database."""
        bench.outlet.lease = None
        await bench.recorder.record(marks("a"))
        assert bench.outlet.batches[0].outbox_id is None


class Work:
    """Work of the store's that makes events; keeps how it was called."""

    def __init__(self, *, receipts: int = 0, due: int | None = None) -> None:
        self.recorded = Recorded([], [], None, "epoch-1", receipts, due)
        self.called: list[tuple[int, float | None, Sequence[int]]] = []
        self.may_end = threading.Event()
        self.may_end.set()
        self.error: Exception | None = None

    def __call__(self, *, now: int, lease: float | None, published: Sequence[int]) -> Work:
        """Do it, or fail."""
        self.called.append((now, lease, published))
        assert self.may_end.wait(60)
        if self.error is not None:
            raise self.error
        return self


class TestCarryOut:
    async def test_other_work_is_done_as_a_batch_is(self, bench: Bench) -> None:
        """At the recorder's time, under the outlet's lease, along with rows that are done."""
        bench.outlet.done = [7]
        work = Work()
        assert await bench.recorder.carry_out(work) is work
        assert work.called == [(int(NOW * 1000), 30.0, (7,))]
        assert bench.outlet.batches == [work.recorded]
        assert (bench.outlet.done, bench.outlet.discarded) == ([], [7])

    async def test_receipts_are_counted_where_there_are_any(self, bench: Bench) -> None:
        """A conversation that is read is so many marks; what is taken back is none."""
        await bench.recorder.carry_out(Work(receipts=3))
        await bench.recorder.carry_out(Work())
        text = bench.metrics.render()[0].decode()
        assert "seenby_receipts_total 3.0" in text
        assert "seenby_marks_total 3.0" in text
        assert "seenby_commit_marks_count 1.0" in text

    @pytest.mark.parametrize("error", [StoreUnavailable("away"), NotFound("no such receipt")])
    async def test_work_that_fails_hands_nothing_on(self, bench: Bench, error: Exception) -> None:
        """What was refused is told, and what was to be deleted along with it is still there."""
        bench.outlet.done = [7]
        work = Work()
        work.error = error
        with pytest.raises(type(error)):
            await bench.recorder.carry_out(work)
        assert bench.outlet.batches == []
        assert (bench.outlet.done, bench.outlet.discarded) == ([7], [])

    async def test_a_recorder_that_is_closed_does_no_more(self) -> None:
        """Its events might be nobody's to publish."""
        async with running() as bench:
            await bench.recorder.close()
            work = Work()
            with pytest.raises(Draining):
                await bench.recorder.carry_out(work)
            assert work.called == []

    async def test_what_is_committed_is_published_though_nobody_waits(self) -> None:
        """Neither a caller who is gone nor a recorder that closes leaves it to the sweeper."""
        async with running() as bench:
            work = Work(due=5)
            work.may_end.clear()
            caller = asyncio.create_task(bench.recorder.carry_out(work))
            await eventually(lambda: work.called)
            caller.cancel()
            with pytest.raises(asyncio.CancelledError):
                await caller
            closing = asyncio.create_task(bench.recorder.close())
            await all_waiting()
            work.may_end.set()
            await closing
            assert bench.outlet.batches == [work.recorded]

    async def test_whoever_serves_counts_is_told_when_the_next_is_due(self, bench: Bench) -> None:
        """So that it need not look for what is not there."""
        due: list[int] = []
        bench.recorder.tell_of_counts(due.append)
        await bench.recorder.carry_out(Work(due=5))
        await bench.recorder.carry_out(Work())
        assert due == [5]


class TestRefused:
    @pytest.mark.parametrize("bad", [0, 1, 57, 98, 99])
    async def test_the_bad_mark_stands_alone(self, bench: Bench, bad: int) -> None:
        """The others of its batch are recorded, and everyone is answered in their place."""
        hanging = await bench.in_flight(mark("hanging"))
        bench.store.refused = {f"m{bad}"}
        requests = [bench.begin(marks(f"m{number}")) for number in range(100)]
        await all_waiting()
        bench.store.answering.set()
        answers = [ids(answer) for answer in await asyncio.gather(*requests)]
        await hanging
        assert answers.pop(bad) == [StoreRefused.code]
        assert answers == [[f"m{number}"] for number in range(100) if number != bad]
        assert sum(map(len, bench.store.commits)) == 1 + 99

    async def test_several_bad_marks(self, bench: Bench) -> None:
        """However many there are, and wherever."""
        bench.store.refused = {"b", "c", "e"}
        outcomes = await bench.recorder.record(marks("a", "b", "c", "d", "e"))
        assert ids(outcomes) == ["a", "store_refused", "store_refused", "d", "store_refused"]

    async def test_only_bad_marks(self, bench: Bench) -> None:
        """Nothing is recorded, and the next request is not troubled."""
        bench.store.refused = {"a", "b"}
        assert ids(await bench.recorder.record(marks("a", "b"))) == ["store_refused"] * 2
        assert ids(await bench.recorder.record(marks("c"))) == ["c"]

    async def test_the_order_of_marks_stays(self, bench: Bench) -> None:
        """Parts are committed from left to right: a sender's seqs follow the arrival."""
        bench.store.refused = {"m3"}
        await bench.recorder.record(marks("m1", "m2", "m3", "m4", "m5"))
        events = [event for batch in bench.outlet.batches for event in batch.events]
        assert [(event.msg_id, event.seq) for event in events] == [
            ("m1", 1),
            ("m2", 2),
            ("m4", 3),
            ("m5", 4),
        ]

    async def test_a_store_that_goes_away_in_between_spoils_no_answer(self, bench: Bench) -> None:
        """What a first part recorded is answered as recorded, the rest as not."""
        bench.store.refused = {"bad"}
        bench.outlet.then = lambda: setattr(bench.store, "failing", True)
        outcomes = await bench.recorder.record(marks("a", "b", "bad", "c"))
        assert ids(outcomes) == ["a", "b", "store_unavailable", "store_unavailable"]


class TestUnavailable:
    async def test_nothing_is_recorded_and_all_are_told(self, bench: Bench) -> None:
        """503 for everyone in the batch, and for those who have waited behind it as well."""
        first = await bench.in_flight(mark("m0"))
        behind = [
            bench.begin(marks(*(f"{number}-{item}" for item in range(MAX_BATCH))))
            for number in range(4)
        ]
        await all_waiting()
        bench.store.failing = True
        bench.store.answering.set()
        for request in (first, *behind):
            with pytest.raises(StoreUnavailable):
                await request
        assert bench.store.commits == []
        assert len(bench.store.attempts) == 1

    async def test_after_it_all_goes_on(self, bench: Bench) -> None:
        """A failed batch is followed by others, again and again."""
        for number in range(3):
            bench.store.failing = True
            with pytest.raises(StoreUnavailable):
                await bench.recorder.record(marks(f"bad-{number}"))
            bench.store.failing = False
            assert ids(await bench.recorder.record(marks(f"m{number}"))) == [f"m{number}"]

    async def test_room_is_made_again(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """Those who were told no longer count as waiting."""
        monkeypatch.setattr(module, "MAX_WAITING", 10)
        for _ in range(5):
            hanging = await bench.in_flight()
            waiting = bench.begin(marks(*"abcdefghij"))
            await all_waiting()
            bench.store.failing = True
            bench.store.answering.set()
            for request in (hanging, waiting):
                with pytest.raises(StoreUnavailable):
                    await request
            bench.store.failing = False

    async def test_a_fault_of_ours_does_not_end_the_loop(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever waits is told in a sentence; the next batch is recorded."""
        with monkeypatch.context() as patched:
            patched.setattr(bench.store, "_record", None)
            with pytest.raises(SeenbyError, match="could not be recorded"):
                await bench.recorder.record(marks("a"))
        assert ids(await bench.recorder.record(marks("a"))) == ["a"]


class TestOverload:
    async def test_too_many_waiting_marks_are_refused_at_once(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Memory is bounded; those who wait already are not troubled."""
        monkeypatch.setattr(module, "MAX_WAITING", 10)
        hanging = await bench.in_flight()
        waiting = [bench.begin(marks(f"m{number}")) for number in range(10)]
        await all_waiting()
        for given in (marks("x"), marks(*"xyz")):
            with pytest.raises(Overloaded, match="nothing was recorded"):
                await bench.recorder.record(given)
        bench.store.answering.set()
        await asyncio.gather(hanging, *waiting)
        assert ids(await bench.recorder.record(marks(*"abcdefghij"))) == [*"abcdefghij"]
        assert not any(one.msg_id == "x" for batch in bench.store.commits for one in batch)


class TestCancelled:
    async def test_who_stops_waiting_troubles_nobody(self, bench: Bench) -> None:
        """In the batch in flight or in the next one; the others get their own answers."""
        gone = await bench.in_flight(*marks("gone", "gone-too"))
        before, leaves, after = (
            bench.begin(marks(*msg_ids)) for msg_ids in (["a"], ["b", "c"], ["d"])
        )
        await all_waiting()
        for request in (gone, leaves):
            request.cancel()
        await asyncio.wait([gone, leaves])
        bench.store.answering.set()
        assert ids(await before) == ["a"]
        assert ids(await after) == ["d"]

    async def test_the_marks_of_who_left_are_recorded(self, bench: Bench) -> None:
        """A client that hung up has marked all the same; a repeat gets the first receipt."""
        gone = await bench.in_flight(mark("gone"))
        gone.cancel()
        await asyncio.wait([gone])
        bench.store.answering.set()
        await bench.recorder.record(marks("gone"))
        assert [event.msg_id for batch in bench.outlet.batches for event in batch.events] == [
            "gone"
        ]

    async def test_a_failure_finds_nobody_to_tell(self, bench: Bench) -> None:
        """The loop goes on when all who waited have left."""
        gone = await bench.in_flight()
        gone.cancel()
        await asyncio.wait([gone])
        bench.store.failing = True
        bench.store.answering.set()
        await eventually(lambda: bench.recorder._arrived.is_set() is False)
        bench.store.failing = False
        assert ids(await bench.recorder.record(marks("a"))) == ["a"]


class TestClose:
    async def test_what_waits_is_recorded(self) -> None:
        """A drain loses nothing that was accepted."""
        async with running() as bench:
            hanging = await bench.in_flight()
            waiting = [bench.begin(marks(f"m{number}")) for number in range(1, 5)]
            await all_waiting()
            closing = asyncio.create_task(bench.recorder.close())
            await all_waiting()
            assert not closing.done()
            bench.store.answering.set()
            await closing
            assert [task.done() for task in (hanging, *waiting)] == [True] * 5
            assert ids(await waiting[-1]) == ["m4"]

    async def test_nothing_more_is_accepted(self) -> None:
        """Not left waiting for ever: refused at once, to be asked elsewhere."""
        async with running() as bench:
            await bench.recorder.close()
            with pytest.raises(Draining):
                await bench.recorder.record(marks("a"))

    async def test_a_store_that_is_away_does_not_hold_it_up(self) -> None:
        """All who wait are told after one try, not after one try each."""
        async with running() as bench:
            hanging = await bench.in_flight()
            waiting = [bench.begin(marks(*(f"{n}-{i}" for i in range(400)))) for n in range(10)]
            await all_waiting()
            bench.store.failing = True
            closing = asyncio.create_task(bench.recorder.close())
            bench.store.answering.set()
            await closing
            outcomes = await asyncio.gather(hanging, *waiting, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
            assert len(bench.store.attempts) == 1

    async def test_an_idle_recorder_closes_at_once(self) -> None:
        """Started or not, and more than once."""
        async with running() as bench:
            await bench.recorder.close()
            await bench.recorder.close()
        never = Bench()
        await never.recorder.close()
        await never.threads.close()
