"""Events of every kind on real sockets: who is sent what, in which frames, and what resumes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from seenby.client import (
    Client,
    Pushed,
    ReadCount,
    ReadSelf,
    UnreadSelf,
    Withdrawn,
)
from seenby.gateway import disconnect
from seenby.model import TYPE_OF_KIND, Kind
from tests.contract.gateway.running import PING, PONG, Device, RawClient, Running, until

if TYPE_CHECKING:
    from seenby.client.frames import Item
    from seenby.gateway.session import Session
    from seenby.model import Event

KINDS = [
    Kind.RECEIPT,
    Kind.READ_SELF,
    Kind.UNREAD_SELF,
    Kind.WITHDRAWN,
    Kind.READ_SELF_UP_TO,
    Kind.COUNT,
    Kind.RECEIPT,
]
ITEMS = [Pushed, ReadSelf, UnreadSelf, Withdrawn, ReadSelf, ReadCount, Pushed]


async def every_kind(running: Running) -> list[Event]:
    """Events of all kinds that no bus has brought yet."""
    events = await running.every_kind()
    assert [event.kind for event in events] == KINDS
    return events


def only(running: Running) -> Session | None:
    """The only session there is; None where there is none."""
    sessions = [session for stream in running.hub.streams.values() for session in stream.sessions]
    assert len(sessions) <= 1
    return sessions[0] if sessions else None


class TestWhoIsSentWhat:
    async def test_live_and_later_all_kinds_come_in_order(self, running: Running) -> None:
        """To every seenby.v1 client, whatever it says of batches; live and from the backlog."""
        early = [await Device.open(running, hello={"batch": batch}) for batch in (True, False)]
        await running.live(2)
        running.feed.push(*await every_kind(running))
        hello = {"epoch": running.hub.epoch, "seq": 0}
        late = [await Device.open(running, hello={**hello, "batch": b}) for b in (True, False)]
        for device in (*early, *late):
            frames = await device.wait_events(7)
            assert [frame["type"] for frame in frames] == [TYPE_OF_KIND[kind] for kind in KINDS]
            assert [frame["seq"] for frame in frames] == list(range(1, 8))
        receipt, read, unread, withdrawn, up_to, count, last = await early[0].wait_events(7)
        assert (receipt["read"], receipt["of"]) == (1, 1)
        assert (read["unread"], unread["unread"], up_to["unread"]) == (0, 1, 0)
        assert (withdrawn["reader_id"], withdrawn["read"]) == ("reader", 0)
        assert (read.get("up_to"), up_to["up_to"]) == (None, True)
        assert (count["read"], count["of"]) == (1, 3)
        assert last["msg_id"] == "m2"

    async def test_silent_clients_are_sent_the_receipts(self, running: Running) -> None:
        """Live and from the backlog, with the two counts at the end."""
        early = await Device.open(running, device="phone")
        await running.live(1)
        running.feed.push(*await every_kind(running))
        late = await Device.open(running, device="tablet")
        for device in (early, late):
            await device.wait_seqs(1, 7)
            assert {frame["type"] for frame in device.frames} == {"read_receipt"}
            assert [*device.frames[0]][-3:] == ["seq", "read", "of"]

    async def test_kinds_that_overtake_each_other_are_put_in_order(self, running: Running) -> None:
        """They come over two topics: what is ahead waits for what is behind."""
        device = await Device.open(running, hello={})
        quiet = await Device.open(running)
        await running.live(2)
        events = await every_kind(running)
        running.feed.push(*[event for event in events if event.kind])
        running.feed.push(*[event for event in events if not event.kind])
        assert [frame["seq"] for frame in await device.wait_events(7)] == list(range(1, 8))
        await quiet.wait_seqs(1, 7)

    async def test_a_conversation_that_is_read_comes_in_few_frames(self, running: Running) -> None:
        """For whom takes batches, each at most 64 KiB long; the others get one for each."""
        batches = await Device.open(running, hello={"batch": True})
        single = await Device.open(running, hello={})
        quiet = await Device.open(running)
        await running.live(3)
        await running.register("few", *[(f"{number}".zfill(64), "sender") for number in range(500)])
        running.feed.push(*await running.read_all("reader", "few"))
        for device in (batches, single, quiet):
            await device.wait_seqs(*range(1, 501))
        assert len(batches.of("read_receipts")) == 2
        assert len(single.of("read_receipt")) == len(quiet.of("read_receipt")) == 500
        assert batches.receipts == single.receipts == quiet.receipts


class TestPositions:
    async def test_a_silent_device_that_is_shown_nothing_moves_on(self, running: Running) -> None:
        """It is asked as after a push, once a second at most; its next session begins there."""
        client = await RawClient.upgraded(running, "/ws?user_id=sender&device_id=phone")
        await running.live(1)
        await running.register("few", *[(f"b{number}", "reader") for number in range(9)])
        for number in range(9):
            running.feed.push(*await running.read("sender", f"b{number}"))
        assert await client.receive() == (PING, b"1")
        running.pass_time(1)
        assert await client.receive() == (PING, b"9")
        client.frame(b"9", PONG)
        session = only(running)
        assert session is not None
        await until("the pong has come", lambda: session.confirmed == 9)
        client.cut()
        await until("it is gone", lambda: running.hub.sessions == 0)
        await Device.open(running, device="phone")
        await running.live(1)
        again = only(running)
        assert again is not None
        assert again.confirmed == 9

    async def test_the_python_client_gets_each_once(self, running: Running) -> None:
        """As items of its own types, over a lost connection."""
        items: list[Item] = []
        client = Client(user_id="sender", device_id="pc", gateway=running.url)
        async with client:
            stream = client.receipts()
            events = await every_kind(running)
            async with asyncio.timeout(20):
                while len(items) < 4:
                    items.append(await anext(stream))
                session = only(running)
                assert session is not None
                session.close(disconnect.DRAIN)
                running.gateway.write(session)
                while len(items) < 7:
                    items.append(await anext(stream))
                running.feed.push(*events)
                await running.live(1)
                running.feed.push(*await running.withdraw("reader", "m2"))
                items.append(await anext(stream))
            client.ack(items[-1])
        assert [type(item) for item in items] == [*ITEMS, Withdrawn]
        assert [item.seq for item in items] == list(range(1, 9))
        await until("it is gone", lambda: running.hub.sessions == 0)
        await Device.open(running, device="pc", hello={})
        await running.live(1)
        again = only(running)
        assert again is not None
        assert again.confirmed == 8
