"""The use cases: who may do what, and what is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from seenby.errors import (
    Conflict,
    Forbidden,
    NotFound,
    OwnMessage,
    PositionLost,
    StoreUnavailable,
)
from seenby.metrics import Metrics
from seenby.model import ANYONE, Caller, Mark, Position, Receipt
from seenby.recorder import Recorder
from seenby.relay import Relay
from seenby.service import Service
from seenby.store.base import Ack
from seenby.store.threads import StoreThreads
from seenby.testing import FailingStore, ManualClock
from tests.unit.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from seenby.store.base import Page, Want

READER = Caller("user456", everyone=False, expires_at=None)
SENDER = Caller("user123", everyone=False, expires_at=None)
STRANGER = Caller("eve", everyone=False, expires_at=None)


def mark(msg_id: str, reader_id: str = "user456", sender_id: str = "user123") -> Mark:
    """A mark in conversation c1."""
    return Mark(msg_id, reader_id, sender_id, "c1")


@pytest.fixture
def store() -> FailingStore:
    """A store in memory."""
    return FailingStore()


@pytest.fixture
async def service(store: FailingStore) -> AsyncIterator[Service]:
    """The use cases on that store, without a bus."""
    threads = StoreThreads(store)
    recorder = Recorder(
        threads, Relay(threads, None, Metrics(), owner="n"), Metrics(), ManualClock(1000)
    )
    recorder.start()
    yield Service(recorder, threads)
    await recorder.close()
    await threads.close()


class TestMark:
    async def test_each_mark_has_its_outcome_in_its_place(self, service: Service) -> None:
        """Refusals stand where their marks stood; the others are recorded."""
        await service.mark(ANYONE, [mark("m0", sender_id="other")])
        outcomes = await service.mark(
            READER,
            [
                mark("m1"),
                mark("m2", reader_id="eve"),
                mark("m3", sender_id="user456"),
                mark("m0"),
                mark("m4"),
            ],
        )
        kinds = [type(outcome) for outcome in outcomes]
        assert kinds == [Receipt, Forbidden, OwnMessage, Conflict, Receipt]
        assert [o.msg_id for o in outcomes if isinstance(o, Receipt)] == ["m1", "m4"]

    async def test_what_is_refused_does_not_reach_the_store(
        self, service: Service, store: FailingStore
    ) -> None:
        """A stranger costs no transaction."""
        [outcome] = await service.mark(STRANGER, [mark("m1")])
        assert str(outcome) == "reader_id must be the token's user"
        assert store.attempts == []

    async def test_whoever_may_act_for_anyone_marks_for_anyone(self, service: Service) -> None:
        """A service, or authentication is off; one's own message is still not marked."""
        outcomes = await service.mark(ANYONE, [mark("m1"), mark("m2", reader_id="user123")])
        assert [type(outcome) for outcome in outcomes] == [Receipt, OwnMessage]

    async def test_a_store_that_is_away_is_said(
        self, service: Service, store: FailingStore
    ) -> None:
        """Nothing was recorded, and the caller is not told otherwise."""
        store.failing = True
        with pytest.raises(StoreUnavailable):
            await service.mark(READER, [mark("m1")])
        store.failing = False
        assert store.receipts(["m1"], sender_id=None, after_id=0, limit=1)[0].count == 0


class TestNotKnown:
    """What a message's own conversation refuses, told to a backend and to users."""

    UNKNOWN = NotFound("this message is not known, or was not sent to this reader")

    async def test_to_users_an_unknown_message_is_a_forbidden_one(
        self, service: Service, store: FailingStore
    ) -> None:
        """They cannot find out which messages there are; a backend can."""
        store.refusals = {"unknown": self.UNKNOWN, "not sent": Forbidden(str(self.UNKNOWN))}
        marks = [mark("unknown"), mark("not sent")]
        for caller, kinds in ((READER, [Forbidden] * 2), (ANYONE, [NotFound, Forbidden])):
            outcomes = await service.mark(caller, marks)
            assert [type(outcome) for outcome in outcomes] == kinds
            assert {str(outcome) for outcome in outcomes} == {str(self.UNKNOWN)}

    @pytest.mark.parametrize(("caller", "kind"), [(READER, Forbidden), (ANYONE, NotFound)])
    async def test_who_is_told_and_who_waits_are_told_the_same(
        self, service: Service, store: FailingStore, caller: Caller, kind: type[Exception]
    ) -> None:
        """The road is no way around it."""
        store.refusals = {"unknown": self.UNKNOWN}
        told: list[object] = []
        service.take_mark(caller, mark("unknown"), told.append)
        await eventually(lambda: told)
        [[outcome]] = cast("list[list[object]]", told)
        assert (type(outcome), str(outcome)) == (kind, str(self.UNKNOWN))


class TestTakeMark:
    async def test_the_outcome_is_told(self, service: Service) -> None:
        """Once, after the commit."""
        told: list[object] = []
        service.take_mark(READER, mark("m1"), told.append)
        assert told == []
        await eventually(lambda: told)
        assert told == [await service.mark(READER, [mark("m1")])]

    @pytest.mark.parametrize(
        ("caller", "sender_id", "error"),
        [(STRANGER, "user123", Forbidden), (ANYONE, "user456", OwnMessage)],
    )
    async def test_a_refusal_is_raised_at_once(
        self,
        service: Service,
        store: FailingStore,
        caller: Caller,
        sender_id: str,
        error: type[Exception],
    ) -> None:
        """The same rules as for those who wait, without a transaction."""
        told: list[object] = []
        with pytest.raises(error):
            service.take_mark(caller, mark("m1", sender_id=sender_id), told.append)
        assert told == []
        assert store.attempts == []


class TestMissed:
    @pytest.fixture(autouse=True)
    async def five_events(self, service: Service) -> None:
        """User123's stream has seqs 1 to 5."""
        await service.mark(ANYONE, [mark(f"m{number}") for number in range(1, 6)])

    async def test_pages_follow_one_another_to_the_head(self, service: Service) -> None:
        """next_after leads on, and is missing at the end."""
        seqs: list[int] = []
        after: int | None = 0
        while after is not None:
            missed = await service.missed(SENDER, "user123", after=after, epoch="epoch-1", limit=2)
            assert (missed.epoch, missed.head) == ("epoch-1", 5)
            seqs += [event.seq for event in missed.events]
            after = missed.next_after
        assert seqs == [1, 2, 3, 4, 5]

    async def test_at_the_head_nothing_was_missed(self, service: Service) -> None:
        """An empty page, and no next one."""
        missed = await service.missed(SENDER, "user123", after=5, epoch="epoch-1", limit=2)
        assert (missed.events, missed.next_after) == ([], None)

    @pytest.mark.parametrize(
        ("after", "epoch"), [(6, "epoch-1"), (3, "epoch-0"), (3, None), (0, None)]
    )
    async def test_a_position_that_says_nothing_here_is_lost(
        self, service: Service, after: int, epoch: str | None
    ) -> None:
        """Above the head, of another epoch, or of none; the error says where to go on."""
        with pytest.raises(PositionLost) as lost:
            await service.missed(SENDER, "user123", after=after, epoch=epoch, limit=2)
        assert (lost.value.epoch, lost.value.seq) == ("epoch-1", 5)

    async def test_what_was_trimmed_is_lost(self, service: Service, store: FailingStore) -> None:
        """Never a silent hole; the oldest event kept is where one can begin."""
        store.trim(before=2**60, limit=2)
        with pytest.raises(PositionLost):
            await service.missed(SENDER, "user123", after=1, epoch="epoch-1", limit=9)
        for after, epoch in ((2, "epoch-1"), (None, None)):
            missed = await service.missed(SENDER, "user123", after=after, epoch=epoch, limit=9)
            assert [event.seq for event in missed.events] == [3, 4, 5]

    @pytest.mark.parametrize("left", [0, 2])
    async def test_what_is_trimmed_meanwhile(
        self, service: Service, store: FailingStore, monkeypatch: pytest.MonkeyPatch, left: int
    ) -> None:
        """Between the look at the ends and the page: a position is lost, the oldest is not."""
        pages = store.pages

        def trimmed(wants: list[Want]) -> list[Page]:
            store.trim(before=2**60, limit=5 - left)
            return pages(wants)

        monkeypatch.setattr(store, "pages", trimmed)
        missed = await service.missed(SENDER, "user123", after=None, epoch=None, limit=9)
        assert [event.seq for event in missed.events] == [4, 5][: left or 0]
        assert missed.next_after is None
        await service.mark(ANYONE, [mark("m6")])
        with pytest.raises(PositionLost):
            await service.missed(SENDER, "user123", after=5 - left, epoch="epoch-1", limit=9)

    async def test_a_stream_is_read_by_its_user_only(self, service: Service) -> None:
        """Or by whoever may act for anyone."""
        with pytest.raises(Forbidden):
            await service.missed(READER, "user123", after=None, epoch=None, limit=1)
        await service.missed(ANYONE, "user123", after=None, epoch=None, limit=1)

    async def test_a_user_without_a_stream_has_missed_nothing(self, service: Service) -> None:
        """Not an error: nobody has read a message of theirs yet."""
        missed = await service.missed(ANYONE, "nobody", after=0, epoch="epoch-1", limit=1)
        assert (missed.head, missed.events, missed.next_after) == (0, [], None)


class TestDevices:
    async def test_a_device_is_known_from_its_first_acknowledgement(self, service: Service) -> None:
        """Where it stands, and when it was last seen; its own user signs it off, once."""
        await service.mark(ANYONE, [mark("m1")])
        position = Position("epoch-1", 1)
        await service.acknowledge([Ack("user123", "phone", position)], now=7)
        assert await service.positions([("user123", "phone"), ("user123", "x")]) == {
            ("user123", "phone"): position
        }
        [device] = await service.devices(SENDER, "user123")
        assert (device.device_id, device.position, device.last_seen) == ("phone", position, 7)
        await service.sign_off(SENDER, "user123", "phone")
        assert await service.devices(SENDER, "user123") == []
        with pytest.raises(NotFound):
            await service.sign_off(SENDER, "user123", "phone")

    async def test_devices_are_their_users_only(self, service: Service) -> None:
        """Neither seen nor signed off by others."""
        with pytest.raises(Forbidden):
            await service.devices(STRANGER, "user123")
        with pytest.raises(Forbidden):
            await service.sign_off(STRANGER, "user123", "phone")


async def test_ready_is_the_stores_answer(service: Service, store: FailingStore) -> None:
    """Alive is not ready."""
    await service.ready()
    store.failing = True
    with pytest.raises(StoreUnavailable):
        await service.ready()
