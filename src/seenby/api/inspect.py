"""The endpoints for operators: what runs, where a user's devices stand, where a receipt is.

They read, and change nothing. With authentication on they are for services only. Names of readers
who hide are not among what is answered, to operators neither.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from seenby import inputs
from seenby.api import journey, schemas, sights
from seenby.api.answers import Answer
from seenby.api.asking import Asking
from seenby.api.overview import overview
from seenby.bus.partitions import partition_of
from seenby.model import SELF_KINDS, TYPE_OF_KIND
from seenby.store.base import Want

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from seenby.api.asking import Answered
    from seenby.api.routes import BusView, Call
    from seenby.model import Event, Receipt
    from seenby.store.base import Head
    from seenby.store.inspecting import Waiting
    from seenby.store.sql import SqlStore
    from seenby.store.threads import StoreThreads

RECENT = 20
"""Events of a stream that are shown."""

RECEIPTS = 20
"""Receipts of one page: for each of them all devices of its sender are looked for."""


class InspectRoutes:
    """The endpoints.

    Args:
        threads: the store and its threads.
        bus: None where there is none.
        partitions: of the topic, while the bus does not say.
        answer: what this process answers to others (see ``presence``).
        asking: asks the others.
        wall: seconds since the Unix epoch.
    """

    def __init__(
        self,
        threads: StoreThreads[SqlStore],
        *,
        bus: BusView | None,
        partitions: int,
        answer: Callable[[str, str], bytes],
        asking: Asking | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._threads = threads
        self._bus = bus
        self._partitions = partitions
        self._answer = answer
        self._asking = asking or Asking()
        self._wall = wall

    async def close(self) -> None:
        """Close what is open to other processes."""
        await self._asking.close()

    async def overview(self, call: Call) -> Answer:
        """``GET /api/v1/inspect/overview``."""
        call.caller.must_be_service()
        store, read = self._threads.store, self._threads.read
        nodes = await read(store.inspecting.nodes)
        outbox = await read(store.outbox)
        epoch = await read(store.epoch)
        now = int(self._wall() * 1000)
        found = overview(nodes, outbox, epoch=epoch, now=now, bus=self._bus is not None)
        return Answer(schemas.encode(found))

    async def user(self, call: Call) -> Answer:
        """``GET /api/v1/inspect/users/{user_id}``."""
        call.caller.must_be_service()
        user_id = inputs.user_id(call.path("user_id"))
        asked = await self._ask([user_id], [])
        epoch, ends = await self._threads.read(self._threads.store.heads, [user_id])
        stream = await self._stream(user_id, epoch, ends[user_id], asked)
        known = (self._bus and self._bus.partitions) or self._partitions
        found = sights.UserSight(
            user_id=user_id,
            epoch=epoch,
            head=stream.head,
            floor=ends[user_id].floor,
            partition=partition_of(user_id, known),
            devices=journey.devices(stream),
            recent=await self._recent(user_id, ends[user_id]),
            missing=_missing(asked),
        )
        return Answer(schemas.encode(found))

    async def message(self, call: Call) -> Answer:
        """``GET /api/v1/inspect/messages/{msg_id}``."""
        call.caller.must_be_service()
        msg_id = inputs.msg_id(call.path("msg_id"))
        after_id = schemas.cursor_query(call.request.query)
        store, read = self._threads.store, self._threads.read
        [page] = await read(
            store.receipts, [msg_id], sender_id=None, after_id=after_id, limit=RECEIPTS
        )
        registered = (await read(store.reading.messages, [msg_id])).get(msg_id)
        receipts = page.receipts
        senders = {receipt.sender_id for receipt in receipts}
        asked = await self._ask(senders, {receipt.read_at for receipt in receipts})
        found = sights.MessageSight(
            msg_id=msg_id,
            registered=None
            if registered is None
            else sights.Registered(
                conversation_id=registered.conversation_id,
                sender_id=registered.sender_id,
                sent_at=sights.stamp(registered.sent_at),
                member_count=registered.audience,
                readers=registered.readers,
            ),
            count=page.count,
            receipts=await self._journeys(receipts, asked),
            next_cursor=str(receipts[-1].id) if len(receipts) == RECEIPTS else None,
            missing=_missing(asked),
        )
        return Answer(schemas.encode(found))

    async def node(self, call: Call) -> Answer:
        """``GET /inspect/node``: for other processes, which show this one's ticket."""
        request = call.request
        authorization = request.headers.get("Authorization", "")
        return Answer(self._answer(request.query_string, authorization))

    # Inside

    async def _ask(self, users: Collection[str], times: Collection[int]) -> list[Answered]:
        """What all processes tell."""
        if not users:
            return []
        nodes = await self._threads.read(self._threads.store.inspecting.nodes)
        return await self._asking.ask(nodes, users=users, times=times)

    async def _stream(
        self, user_id: str, epoch: str, ends: Head, asked: Sequence[Answered]
    ) -> journey.Stream:
        devices = await self._threads.read(self._threads.store.devices, user_id)
        sessions = [
            journey.Here(each.node.node, session)
            for each in asked
            if each.told is not None
            for user in each.told.users
            if user.user_id == user_id
            for session in user.sessions
        ]
        return journey.Stream(epoch, ends.head, devices, sessions)

    async def _recent(self, user_id: str, ends: Head) -> list[sights.EventSight]:
        want = Want(user_id, max(ends.floor, ends.head - RECENT), RECENT)
        [page] = await self._threads.read(self._threads.store.pages, [want])
        return [_event(event) for event in reversed(page.events)]

    async def _journeys(
        self, receipts: Sequence[Receipt], asked: Sequence[Answered]
    ) -> list[sights.ReceiptSight]:
        store, read = self._threads.store, self._threads.read
        seqs = await read(store.inspecting.seqs, receipts)
        places = [
            (receipt.sender_id, seq or 0, receipt.read_at)
            for receipt, seq in zip(receipts, seqs, strict=True)
        ]
        batches = await read(store.inspecting.waiting, places)
        senders = sorted({receipt.sender_id for receipt in receipts})
        epoch, ends = await read(store.heads, senders)
        streams = {
            sender: await self._stream(sender, epoch, ends[sender], asked) for sender in senders
        }
        published = {
            at: when for each in asked if each.told is not None for at, when in each.told.published
        }
        return [
            sights.ReceiptSight(
                reader_id=receipt.reader_id,
                sender_id=receipt.sender_id,
                conversation_id=receipt.conversation_id,
                recorded_at=sights.stamp(receipt.read_at),
                seq=seq,
                published=self._published(seq, published.get(receipt.read_at), batch),
                devices=[] if seq is None else journey.steps(seq, streams[receipt.sender_id]),
            )
            for receipt, seq, batch in zip(receipts, seqs, batches, strict=True)
        ]

    def _published(
        self, seq: int | None, at: int | None, batch: Waiting | None
    ) -> sights.Published:
        """What is known of an event's publishing; a memory of it outweighs a row not yet gone."""
        if seq is None:
            return sights.Published("unknown")
        if at is not None:
            return sights.Published("published", at=sights.stamp(at))
        if batch is not None:
            return sights.Published(
                "waiting",
                since=sights.stamp(batch.created),
                by=batch.owner.partition("#")[0] if batch.leased_ms > 0 else None,
            )
        return sights.Published("published" if self._bus is not None else "no_bus")


def _event(event: Event) -> sights.EventSight:
    """An event; of those for the reader's own devices only that it is there."""
    kind, at = TYPE_OF_KIND[event.kind], sights.stamp(event.at)
    if event.kind in SELF_KINDS:
        return sights.EventSight(event.seq, kind, at)
    if not event.msg_id:
        return sights.EventSight(event.seq, "erased", at)
    return sights.EventSight(event.seq, kind, at, event.msg_id, event.reader_id or None)


def _missing(asked: Sequence[Answered]) -> list[sights.Missing]:
    return [
        sights.Missing(each.node.node, each.node.role, each.why)
        for each in asked
        if each.told is None
    ]
