"""Between bus, store and hub: orders in which things may happen, and what must not be lost."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from seenby.errors import StoreUnavailable
from seenby.gateway import disconnect
from seenby.gateway.session import Session, State
from seenby.model import TYPE_OF_KIND, Kind, Position
from seenby.store.base import Ack
from seenby.testing import FailingStore
from tests.unit.gateway.clients import event, seqs, types
from tests.unit.gateway.stations import Station, live, station, turn

AT = 1_704_067_200_000


def delivered(here: Station) -> dict[str, float]:
    """How many events were delivered, by how many devices took each."""
    found: dict[str, float] = {}
    for line in here.metrics.render()[0].decode().splitlines():
        name, _, value = line.partition(" ")
        if name.startswith("read_receipt_delivered_total{") and float(value):
            found[name.split('"')[1]] = float(value)
    return found


class TestArrivals:
    async def test_the_partition_is_read_before_the_head(self) -> None:
        """In this order nothing falls between; events on the way are held."""
        async with station() as here:
            here.source.add("sender", 3)
            here.feed.answering.clear()
            session = here.connect(device="phone")
            await turn()
            assert "heads" not in here.source.calls[1:]
            here.feed.answering.set()
            await turn()
            assert here.feed.joined == {0}
            assert seqs(here.written[session]) == [1, 2, 3]

    async def test_many_arrive_in_three_queries(self) -> None:
        """Heads, positions and pages are read for all of them."""
        async with station() as here:
            for user in range(40):
                here.source.add(f"u{user}", 5)
            here.source.calls.clear()
            sessions = [here.connect(f"u{user}", "phone") for user in range(40)]
            await turn(100)
            assert live(*sessions)
            assert Counter(here.source.calls) == {"heads": 1, "positions": 1, "pages": 1}

    @pytest.mark.parametrize("call", ["heads", "positions", "pages"])
    async def test_one_that_leaves_meanwhile_spoils_nobodys_arrival(self, call: str) -> None:
        """Whichever answer it does not wait for; it leaves nothing behind."""
        async with station() as here:
            here.source.add("stays", 3)
            here.source.add("sender", 3, at=AT)
            here.source.calls.clear()
            here.source.answering.clear()
            leaves = here.connect("sender", at=AT - 1)
            stays = here.connect("stays", "phone")
            for _ in range(10):
                await turn()
                if here.source.calls[-1] == call:
                    break
                here.source.answering.set()
                here.source.answering.clear()
            assert here.source.calls[-1] == call
            here.leave(leaves)
            here.source.answering.set()
            await turn()
            assert seqs(here.written[stays]) == [1, 2, 3]
            assert (here.hub.sessions, list(here.hub.streams)) == (1, ["stays"])

    async def test_one_that_leaves_and_comes_back_while_a_partition_is_joined(self) -> None:
        """The partition stays, the old session is nobody."""
        async with station() as here:
            here.source.add("sender", 3)
            here.feed.answering.clear()
            first = here.connect(device="phone")
            await turn()
            here.leave(first)
            second = here.connect(device="phone")
            here.feed.answering.set()
            await turn()
            assert live(second)
            assert here.hub.sessions == 1
            here.feed.push(*here.source.add("sender"))
            assert seqs(here.written[second]) == [1, 2, 3, 4]
            assert here.written[first] == []
            await asyncio.sleep(120)
            assert here.feed.joined == {0}

    async def test_the_second_session_of_a_user_begins_where_it_came(self) -> None:
        """Also when the first has just made the stream known: neither gets what was before."""
        async with station() as here:
            here.source.add("sender", 300, at=AT)
            here.source.answering.clear()
            first = here.connect(at=AT + 1)
            await turn()
            second = here.connect(at=AT + 1)
            here.source.answering.set()
            await turn()
            assert live(first, second)
            here.feed.push(*here.source.add("sender"))
            assert seqs(here.written[first]) == seqs(here.written[second]) == [301]

    async def test_without_a_device_nothing_after_the_connection_is_missed(self) -> None:
        """What was committed while the store was asked has come after it."""
        async with station() as here:
            here.source.add("sender", 5, at=AT)
            here.source.add("sender", 2, at=AT + 10)
            session = here.connect(at=AT + 5)
            await turn()
            assert seqs(here.written[session]) == [6, 7]

    async def test_a_store_that_is_away_only_delays(self) -> None:
        """Nobody is sent away, and none is forgotten."""
        async with station() as here:
            here.source.add("sender", 2)
            here.source.store.failing = True
            sessions = [here.connect(device="phone"), here.connect(seq=0, epoch="epoch-1")]
            await asyncio.sleep(10)
            assert all(session.state is State.JOINING for session in sessions)
            assert health(here) == (False, True)
            here.source.store.failing = False
            await asyncio.sleep(2)
            assert health(here) == (True, True)
            assert live(*sessions)
            assert [seqs(here.written[session]) for session in sessions] == [[1, 2], [1, 2]]

    async def test_a_failure_nobody_thought_of_ends_these_and_no_others(self) -> None:
        """They are told to come back; the next one is served."""
        async with station() as here:
            heads = here.source.heads
            here.source.heads = None  # type: ignore[assignment, method-assign]
            unlucky = here.connect()
            await turn()
            assert here.written[unlucky] == [disconnect.TRY_LATER]
            here.source.heads = heads  # type: ignore[method-assign]
            lucky = here.connect()
            await asyncio.sleep(1)
            assert live(lucky)

    async def test_a_bus_that_is_away_holds_nobody_up(self) -> None:
        """Sessions are served from the store alone, every second."""
        async with station() as here:
            here.feed.failing = True
            session = here.connect(device="phone")
            await turn()
            assert live(session)
            here.source.add("sender", 3)
            await asyncio.sleep(3)
            assert seqs(here.written[session]) == [1, 2, 3]
            assert here.metric("seenby_rescued_total") == 3

    async def test_pushes_may_be_off(self) -> None:
        """Sessions are welcome and get nothing."""
        async with station(pushes=False) as here:
            session = here.connect(batch=True)
            here.write(session)
            assert (live(session), types(here.written[session])) == (True, ["welcome"])
            here.feed.push(*here.source.add("sender"))
            await asyncio.sleep(60)
            assert seqs(here.written[session]) == []
            here.leave(session)


class TestPages:
    async def test_a_long_backlog_comes_in_pages(self) -> None:
        """In order, with live events behind it."""
        async with station() as here:
            here.source.add("sender", 1000)
            session = here.connect(device="phone")
            await turn(8)
            here.feed.push(*here.source.add("sender", 5))
            await turn(100)
            assert live(session)
            assert seqs(here.written[session]) == list(range(1, 1006))

    async def test_what_the_socket_does_not_take_is_not_read(self) -> None:
        """It goes on when the socket takes data again."""
        async with station() as here:
            here.source.add("sender", 1000)
            session = here.connect(device="phone")
            session.congested = True
            await turn(100)
            assert seqs(here.written[session]) == list(range(1, 201))
            asked = here.source.calls.count("pages")
            await asyncio.sleep(5)
            assert here.source.calls.count("pages") == asked
            session.congested = False
            here.dispatcher.writable(session)
            await turn(100)
            assert seqs(here.written[session]) == list(range(1, 1001))

    async def test_one_that_leaves_while_its_page_is_read(self) -> None:
        """Disturbs neither the user's other session nor anybody's page."""
        async with station() as here:
            here.source.add("sender", 500)
            other = here.connect(device="pc")
            leaves = here.connect(device="phone")
            while "pages" not in here.source.calls:
                await turn(1)
            here.source.answering.clear()
            await turn()
            here.leave(leaves)
            here.source.answering.set()
            await turn(100)
            assert live(other)
            assert seqs(here.written[other]) == list(range(1, 501))
            assert not here.dispatcher._behind
            calls = len(here.source.calls)
            await turn(100)
            assert len(here.source.calls) == calls

    async def test_a_backlog_holds_every_kind_in_order(self) -> None:
        """Silent clients are sent the receipts of it; all are live at the end."""
        async with station() as here:
            kinds = [*Kind] * 50
            here.source.store.tell([event(0, kind=kind) for kind in kinds])
            talks = here.connect(seq=0, epoch=here.hub.epoch, batch=True)
            quiet = here.connect(device="phone")
            await turn(100)
            assert live(talks, quiet)
            names = [TYPE_OF_KIND[kind] for kind in kinds]
            assert types(here.written[talks]) == ["welcome", *names]
            assert [frame["seq"] for frame in here.written[talks][1:]] == list(range(1, 301))
            assert types(here.written[quiet]) == ["read_receipt"] * 50
            assert quiet.position == 300

    async def test_receipts_of_one_delivery_are_one_frame(self) -> None:
        """For whom takes batches: a conversation that is read comes as few frames."""
        async with station() as here:
            batches, single = here.connect(batch=True), here.connect(batch=False)
            await turn()
            here.feed.push(*here.source.add("sender", 300))
            assert types(here.written[batches]) == ["welcome", "read_receipts"]
            assert types(here.written[single]) == ["welcome", *["read_receipt"] * 300]
            assert seqs(here.written[batches]) == seqs(here.written[single])

    async def test_every_kind_that_is_pushed_counts_as_a_delivery(self) -> None:
        """To those who were sent it: silent clients that pass over it are none of them."""
        async with station() as here:
            here.connect()
            await turn()
            here.feed.push(*here.source.store.tell([event(0, kind=Kind.COUNT)]))
            assert delivered(here) == {}
            here.connect(batch=True)
            await turn()
            here.feed.push(*here.source.store.tell([event(0, kind=kind) for kind in Kind]))
            assert delivered(here) == {"1": 5.0, "2": 1.0}

    async def test_what_a_silent_client_missed_is_counted(self) -> None:
        """It cannot be told."""
        async with station() as here:
            here.source.add("sender", 10, at=AT)
            here.source.add("sender", 5, at=AT + 1000)
            here.source.store.acknowledge([ack("phone", 4)], now=AT)
            here.source.store.trim(before=AT + 1, limit=100)
            session = here.connect(device="phone")
            await turn()
            assert seqs(here.written[session]) == [11, 12, 13, 14, 15]
            assert here.metric("seenby_lost_total") == 6


def ack(device: str, seq: int) -> Ack:
    """What the store is told of a device of the sender."""
    return Ack("sender", device, Position("epoch-1", seq))


def health(here: Station) -> tuple[bool, bool]:
    """Whether the store and the bus answer."""
    return here.dispatcher.store_answers, here.dispatcher.bus_answers


class TestEpochs:
    async def test_a_new_epoch_sends_all_away_and_serves_them_again(self) -> None:
        """Even those that come back before the others' sockets are gone."""
        async with station() as here:
            here.source.add("sender", 50)
            old = here.connect(device="phone")
            await turn(100)
            restored = FailingStore()
            restored.new_epoch()
            here.source.store = restored
            here.source.add("sender", 3)
            await asyncio.sleep(31)
            assert here.written[old][-1] == disconnect.EPOCH_CHANGED
            assert (here.hub.sessions, here.feed.epoch) == (0, "epoch-2")
            new = here.connect(device="pc")
            await turn(100)
            here.leave(old, clean=True)
            here.feed.push(*here.source.add("sender"))
            assert live(new)
            assert seqs(here.written[new]) == [1, 2, 3, 4]
            assert here.hub.sessions == 1

    async def test_what_a_device_had_before_is_no_position_afterwards(self) -> None:
        """A clean close, or a late pong, of the epoch before says nothing about this one."""
        async with station() as here:
            here.source.add("sender", 50)
            phone = here.connect(device="phone")
            await turn(100)
            here.source.store.new_epoch()
            await asyncio.sleep(31)
            here.dispatcher.acknowledged(phone, 40)
            here.leave(phone, clean=True)
            await asyncio.sleep(2)
            stored = here.source.store.positions([("sender", "phone")])
            assert all(position.epoch == "epoch-1" for position in stored.values())
            again = here.connect(device="phone")
            await turn(100)
            assert seqs(here.written[again]) == list(range(1, 51))
            here.dispatcher.acknowledged(phone, 40)
            here.dispatcher.acknowledged(again, 5)
            await asyncio.sleep(2)
            device = ("sender", "phone")
            assert here.source.store.positions([device]) == {device: Position("epoch-2", 5)}

    async def test_an_epoch_that_changes_while_a_session_arrives(self) -> None:
        """It is sent away as all others, and finds its place when it comes back."""
        async with station() as here:
            here.source.answering.clear()
            session = here.connect(device="phone")
            await turn()
            here.source.store.new_epoch()
            here.source.answering.set()
            await turn()
            assert here.written[session] == [disconnect.EPOCH_CHANGED]
            again = here.connect(device="phone")
            await turn()
            assert live(again)


class TestPositions:
    async def test_they_are_stored_once_a_second_in_one_write(self) -> None:
        """The highest of each device."""
        async with station() as here:
            here.source.add("sender", 9)
            session = here.connect(device="phone", batch=True)
            await turn()
            await asyncio.sleep(2)
            here.source.calls.clear()
            for seq in (3, 7, 5):
                here.dispatcher.acknowledged(session, seq)
            await asyncio.sleep(1.1)
            assert here.source.calls.count("acknowledge") == 1
            assert stored(here, "phone") == 7

    async def test_what_could_not_be_stored_is_kept(self) -> None:
        """And never lowered by what came later."""
        async with station() as here:
            here.source.add("sender", 9)
            session = here.connect(device="phone", batch=True)
            await asyncio.sleep(2)
            here.source.store.failing = True
            here.dispatcher.acknowledged(session, 7)
            await asyncio.sleep(3)
            here.dispatcher.acknowledged(session, 5)
            here.source.store.failing = False
            await asyncio.sleep(3)
            assert stored(here, "phone") == 7

    async def test_they_count_before_they_are_stored(self) -> None:
        """A device that comes back at once is not sent the same again."""
        async with station() as here:
            here.source.add("sender", 9)
            session = here.connect(device="phone", batch=True)
            await turn()
            here.dispatcher.acknowledged(session, 7)
            here.leave(session)
            again = here.connect(device="phone", batch=True)
            await turn()
            assert seqs(here.written[again]) == [8, 9]

    async def test_one_that_has_left_may_come_back_elsewhere(self) -> None:
        """Its position is stored soon, and many of them in one write."""
        async with station() as here:
            here.source.add("sender", 9)
            sessions = [here.connect(device=f"d{n}", batch=True) for n in range(5)]
            await asyncio.sleep(2)
            here.source.calls.clear()
            for session in sessions:
                here.dispatcher.acknowledged(session, 7)
                here.leave(session)
            await asyncio.sleep(0.11)
            assert here.source.calls.count("acknowledge") == 1
            assert [stored(here, f"d{n}") for n in range(5)] == [7] * 5

    async def test_the_last_ones_are_stored_at_the_end(self) -> None:
        """A drain loses none."""
        async with station() as here:
            here.source.add("sender", 9)
            session = here.connect(device="phone", batch=True)
            await turn()
            here.dispatcher.acknowledged(session, 7)
        assert stored(here, "phone") == 7

    @pytest.mark.parametrize("turns", range(4))
    async def test_a_device_that_leaves_at_the_end_does_not_hold_it_up(self, turns: int) -> None:
        """However close the two moments are: the end comes, and its position is stored."""
        here = Station()
        await here.dispatcher.start()
        here.source.add("sender", 9)
        session = here.connect(device="phone", batch=True)
        await asyncio.sleep(1.5)
        here.dispatcher.acknowledged(session, 7)
        here.leave(session)
        await turn(turns)
        async with asyncio.timeout(5):
            await here.dispatcher.close()
        assert stored(here, "phone") == 7

    async def test_a_store_that_is_away_does_not_hold_up_the_end(self) -> None:
        """The devices will get some receipts again."""
        async with station() as here:
            here.source.add("sender", 9)
            session = here.connect(device="phone", batch=True)
            await turn()
            here.dispatcher.acknowledged(session, 7)
            here.source.store.failing = True
        assert len(here.dispatcher._positions) == 1

    async def test_a_silent_device_has_what_was_written_before_a_clean_close(self) -> None:
        """And nothing that came after it was closed."""
        async with station() as here:
            here.source.add("sender", 3)
            session = here.connect(device="phone")
            await turn()
            here.close(session, disconnect.DRAIN)
            here.feed.push(*here.source.add("sender", 2))
            here.leave(session, clean=True)
            await asyncio.sleep(2)
            assert stored(here, "phone") == 3

    async def test_what_comes_while_a_device_arrives_is_not_had_yet(self) -> None:
        """It is written as soon as the device has its place, and may never be read."""
        async with station() as here:
            here.source.add("sender", 3)
            here.connect(device="pc")
            await turn()
            here.source.answering.clear()
            phone = here.connect(device="phone", epoch="epoch-1", seq=3)
            await turn()
            here.feed.push(*here.source.add("sender", 2))
            here.source.answering.set()
            await turn()
            assert live(phone)
            assert seqs(here.written[phone]) == [4, 5]
            here.leave(phone)
            await asyncio.sleep(2)
            assert stored(here, "phone") == 3

    async def test_a_cut_is_no_position(self) -> None:
        """What was on the way may be lost."""
        async with station() as here:
            here.source.add("sender", 3)
            session = here.connect(device="phone")
            await turn()
            here.leave(session)
            await asyncio.sleep(2)
            assert stored(here, "phone") == 0


def stored(here: Station, device: str) -> int:
    """Where the store says a device of the sender is."""
    return here.source.store.positions([("sender", device)])["sender", device].seq


class TestWriting:
    async def test_a_socket_that_breaks_keeps_nothing_from_the_others(self) -> None:
        """Each is written to, and can be written to again."""
        async with station() as here:
            broken, fine = here.connect(), here.connect()
            await turn()
            write = here.write

            def breaks(session: Session) -> None:
                if session is broken:
                    raise OSError
                write(session)

            here.dispatcher._write = breaks
            for _ in range(2):
                here.feed.push(*here.source.add("sender"))
            assert seqs(here.written[fine]) == [1, 2]

    async def test_health_is_that_of_store_and_bus(self) -> None:
        """A store that is being asked right now is not away."""
        async with station() as here:
            assert health(here) == (True, True)
            here.source.answering.clear()
            await asyncio.sleep(2)
            assert health(here) == (True, True)
            await asyncio.sleep(2)
            assert health(here) == (False, True)
            here.source.answering.set()
            here.feed.healthy = False
            await turn()
            assert health(here) == (True, False)

    async def test_a_start_without_a_store_is_refused(self) -> None:
        """There is nothing to serve from."""
        here = Station()
        here.source.store.failing = True
        with pytest.raises(StoreUnavailable):
            await here.dispatcher.start()

    async def test_what_a_device_may_acknowledge(self) -> None:
        """Up to the highest seq heard of."""
        async with station() as here:
            here.source.add("sender", 3)
            here.connect(device="phone")
            assert here.dispatcher.head("sender") == 0
            await turn()
            assert (here.dispatcher.head("sender"), here.dispatcher.head("nobody")) == (3, 0)
            here.hub.dispatch([event(9)], 0.0, 0.0)
            assert here.dispatcher.head("sender") == 9
            assert (here.dispatcher.sessions_of("sender"), here.dispatcher.sessions_of("x")) == (
                1,
                0,
            )
