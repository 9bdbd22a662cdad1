"""The store on an SQL database: the port's methods, each one statement or one transaction.

What the database is told stands in ``statements``, how it is told again after a passing failure
in ``connections``. Here is what happens in between, and how rows become values.
"""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING, Any

from seenby.model import Event, Position, Receipt
from seenby.rules import DEFAULT as DEFAULT_RULES
from seenby.store.base import (
    NO_STREAM,
    Device,
    Head,
    OutboxBatch,
    OutboxState,
    Page,
    ReceiptPage,
)
from seenby.store.connections import Connections, told
from seenby.store.conversations import Conversations
from seenby.store.erasing import Erasing
from seenby.store.inspecting import Inspecting
from seenby.store.preferences import Preferences
from seenby.store.reading import Reading
from seenby.store.recording import Recording
from seenby.store.retention import Retention
from seenby.store.statements import Statements, document, milliseconds, singles, the_epoch
from seenby.store.tables import OWNER_MAX
from seenby.store.url import database_at
from seenby.store.verifying import Verifying
from seenby.store.writing import Writing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seenby.model import Mark
    from seenby.rules import Rules
    from seenby.store.base import Ack, Recorded, Want
    from seenby.store.connections import Connection
    from seenby.store.url import Database

    Key = tuple[str, str]


def open_store(url: str, *, retry_seconds: float = 5.0, rules: Rules = DEFAULT_RULES) -> SqlStore:
    """The store at *url*. Nothing is opened yet, so the database may still be away.

    Args:
        url: ``sqlite:///file``, ``mysql://...`` or ``mariadb://...`` (see ``store.url``).
        retry_seconds: for how long a call is tried again before StoreUnavailable is raised.
        rules: who is told what.

    Raises:
        ConfigError: the address has another form, or its driver is not installed.
    """
    return SqlStore(database_at(url), retry_seconds=retry_seconds, rules=rules)


class SqlStore:
    """The store on an SQL database. Any thread may call it; each keeps a connection of its own.

    Args:
        database: which kind, and where.
        retry_seconds: for how long a call is tried again before StoreUnavailable is raised.
        rules: who is told what.
    """

    def __init__(
        self, database: Database, *, retry_seconds: float, rules: Rules = DEFAULT_RULES
    ) -> None:
        """Nothing is opened before it is needed."""
        self._database = database
        self._statements = Statements(database)
        self.connections = Connections(database, retry_seconds=retry_seconds)
        writing = Writing(self.connections, database, self._statements, rules)
        self.recording = Recording(writing, database, rules)
        self.conversations = Conversations(self.connections, database, self._statements)
        self.reading = Reading(self.connections, database)
        self.verifying = Verifying(self.connections, database)
        self.preferences = Preferences(self.connections, database)
        self.inspecting = Inspecting(self.connections, database)
        self.erasing = Erasing(writing, database, self.conversations)
        self.retention = Retention(writing, database)

    # Marks

    def record(
        self, marks: Sequence[Mark], *, now: int, lease: float | None, published: Sequence[int] = ()
    ) -> Recorded:
        """Record marks in one transaction: receipts, events, heads, outbox row."""
        return self.recording.record(marks, now=now, lease=lease, published=published)

    # The epoch

    def epoch(self) -> str:
        """The epoch in force."""
        return self.connections.run(self._epoch)

    def new_epoch(self) -> str:
        """Start a new epoch (after a restore from a backup) and return it."""
        epoch = secrets.token_hex(8)

        def work(connection: Connection) -> None:
            with connection.transaction():
                self._epoch(connection)
                connection.change(self._statements.set_epoch, epoch=epoch)

        self.connections.run(work)
        return epoch

    def _epoch(self, connection: Connection) -> str:
        return the_epoch(connection.rows(self._statements.epoch))

    # Streams

    def heads(self, user_ids: Sequence[str]) -> tuple[str, dict[str, Head]]:
        """The epoch, and the ends of each user's stream (users without a stream: Head(0, 0))."""
        if not user_ids:
            return self.epoch(), {}
        rows = self.connections.run(
            lambda connection: connection.rows(
                self._statements.heads, users=document(singles(user_ids))
            )
        )
        found = {
            user_id: Head(head or 0, floor or 0, at or 0) for user_id, head, floor, at, _ in rows
        }
        return rows[0][4], {user_id: found.get(user_id, NO_STREAM) for user_id in user_ids}

    def pages(self, wants: Sequence[Want]) -> list[Page]:
        """One page per want, in order, in one statement for all."""
        if not wants:
            return []
        places = [(place, want.user_id, want.after, want.limit) for place, want in enumerate(wants)]
        rows = self.connections.run(
            lambda connection: connection.rows(self._statements.pages, wants=document(places))
        )
        pages: list[Page] = []
        for place, head, floor, *columns in rows:
            if place == len(pages):
                pages.append(Page(head or 0, floor or 0, []))
            if columns[1] is not None:
                pages[place].events.append(event(columns))
        return pages

    def trim(self, *, before: int, limit: int) -> int:
        """Delete at most *limit* events committed before *before* (ms); how many were."""
        window = limit
        while True:
            found, gone = self.connections.run(
                partial(self._trim, before=before, window=window, limit=limit)
            )
            if gone or found < window or not found:
                return gone
            # All of these stand behind an event from a clock that ran ahead.
            window *= 10

    def _trim(
        self, connection: Connection, *, before: int, window: int, limit: int
    ) -> tuple[int, int]:
        """Of the *window* oldest events: how many are old, and how many were deleted.

        A stream is trimmed up to its first event that is not old, whatever clock gave the time
        of those behind it: what is deleted is always a prefix.
        """
        statements = self._statements
        old: dict[str, int] = dict(connection.rows(statements.find_old, before=before, most=window))
        if not old:
            return 0, 0
        floors: list[tuple[str, int]] = []
        gone: list[tuple[str, int]] = []
        with connection.transaction():
            connection.rows(statements.lock_streams, users=document(singles(sorted(old))))
            for user_id, head, floor, stays in connection.rows(
                statements.find_staying, streams=document(list(old.items())), before=before
            ):
                end = min(head if stays is None else stays - 1, floor + limit - len(gone))
                if end > floor:
                    floors.append((user_id, end))
                    gone.extend((user_id, seq) for seq in range(floor + 1, end + 1))
            if floors:
                connection.change(statements.raise_floors, floors=document(floors))
                connection.change(statements.delete_events, events=document(gone))
        return sum(old.values()), len(gone)

    # Devices

    def positions(self, devices: Sequence[Key]) -> dict[Key, Position]:
        """Stored positions of (user_id, device_id) pairs; unknown devices are absent."""
        if not devices:
            return {}
        rows = self.connections.run(
            lambda connection: connection.rows(
                self._statements.positions, devices=document(devices)
            )
        )
        return {
            (user_id, device_id): Position(epoch, seq) for user_id, device_id, epoch, seq in rows
        }

    def acknowledge(self, acks: Sequence[Ack], *, now: int) -> None:
        """Store positions, never lowered within an epoch; those of another epoch are ignored."""
        highest: dict[tuple[str, str, str], int] = {}
        for ack in acks:
            key = (ack.user_id, ack.device_id, ack.position.epoch)
            highest[key] = max(ack.position.seq, highest.get(key, 0))
        if not highest:
            return
        # Sorted: gateways that store the same devices lock them in the same order.
        rows = [(*key, seq) for key, seq in sorted(highest.items())]
        self.connections.run(
            lambda connection: connection.change(
                self._statements.acknowledge, acks=document(rows), now=now
            )
        )

    def devices(self, user_id: str) -> list[Device]:
        """Known devices of a user, by device_id."""
        rows = self.connections.run(
            lambda connection: connection.rows(self._statements.devices, user_id=user_id)
        )
        return [
            Device(device_id, Position(epoch, seq), last_seen)
            for device_id, epoch, seq, last_seen in rows
        ]

    def forget_device(self, user_id: str, device_id: str) -> bool:
        """Forget one device; False when it was not known."""
        known = False

        def work(connection: Connection) -> bool:
            nonlocal known
            # Asked first: if the answer to the DELETE is lost, it was there all the same.
            found = connection.rows(
                self._statements.positions, devices=document([(user_id, device_id)])
            )
            known = known or bool(found)
            connection.change(self._statements.forget_device, user_id=user_id, device_id=device_id)
            return known

        return self.connections.run(work)

    def forget_devices(self, *, unseen_since: int, limit: int) -> int:
        """Forget at most *limit* devices last seen before *unseen_since* (ms); how many were."""

        def work(connection: Connection) -> int:
            unseen = connection.rows(self._statements.find_unseen, since=unseen_since, most=limit)
            if not unseen:
                return 0
            return connection.change(
                self._statements.forget_unseen,
                devices=document(sorted(unseen)),
                since=unseen_since,
            )

        return self.connections.run(work)

    # Receipts of messages

    def receipts(
        self, msg_ids: Sequence[str], *, sender_id: str | None, after_id: int, limit: int
    ) -> list[ReceiptPage]:
        """Receipts per message with id > *after_id*; only those of *sender_id* when given."""
        if not msg_ids:
            return []
        counts, page = self._statements.count_receipts, self._statements.receipts
        whose: dict[str, object] = {}
        if sender_id is not None:
            counts = self._statements.count_receipts_of_sender
            page = self._statements.receipts_of_sender
            whose["sender_id"] = sender_id
        asked = list(dict.fromkeys(msg_ids))
        counted, *found = self.connections.run(
            lambda connection: connection.together(
                told(counts, messages=document(singles(asked)), **whose),
                *(
                    told(page, msg_id=msg_id, after=after_id, most=limit, **whose)
                    for msg_id in asked
                ),
            )
        )
        receipts = dict(zip(asked, found, strict=True))
        pages = {
            msg_id: ReceiptPage(msg_id, count, [Receipt(*row) for row in receipts[msg_id]], of)
            for msg_id, of, count in counted
        }
        return [pages[msg_id] for msg_id in msg_ids]

    # The outbox

    def claim(self, *, owner: str, lease: float, limit: int) -> list[OutboxBatch]:
        """Take over batches whose lease has run out, oldest first, for *lease* seconds."""

        # Two sweepers may find the same rows; the UPDATE gives each row to one of them, and the
        # name under which it does so is used this once. No lock is held afterwards.
        def work(connection: Connection) -> list[OutboxBatch]:
            found = connection.rows(self._statements.find_expired, most=limit)
            if not found:
                return []
            token = f"{owner}#{secrets.token_hex(8)}"[-OWNER_MAX:]
            connection.change(
                self._statements.claim,
                ids=document(found),
                owner=token,
                lease=milliseconds(lease),
            )
            batches: dict[int, OutboxBatch] = {}
            for outbox_id, trace, *columns in connection.rows(
                self._statements.read_claimed, first=found[0][0], last=found[-1][0], owner=token
            ):
                batch = batches.setdefault(outbox_id, OutboxBatch(outbox_id, []))
                if columns[1] is not None:
                    batch.events.append(event(columns, trace))
            return list(batches.values())

        return self.connections.run(work)

    def release(self, outbox_ids: Sequence[int]) -> None:
        """End the lease of batches, so that any sweeper may take them at once."""
        if outbox_ids:
            self.connections.run(
                lambda connection: connection.change(
                    self._statements.release, ids=document(singles(outbox_ids))
                )
            )

    def discard(self, outbox_ids: Sequence[int]) -> None:
        """Delete published batches."""
        if outbox_ids:
            self.connections.run(
                lambda connection: connection.together(
                    told(self._statements.discard, ids=singles(outbox_ids))
                )
            )

    def outbox(self) -> OutboxState:
        """How much is still to be published."""
        [(rows, oldest)] = self.connections.run(
            lambda connection: connection.rows(self._statements.outbox_state)
        )
        return OutboxState(rows, max(0.0, float(oldest) / 1000))

    # The database itself

    def ping(self) -> None:
        """Return when the database answers."""
        self.connections.run(lambda connection: connection.rows(self._statements.ping))

    def durability_warnings(self) -> Sequence[str]:
        """Sentences about server settings under which a commit may be lost on power failure."""
        return self.connections.run(self._database.durability_warnings)

    def close(self) -> None:
        """Close every connection."""
        self.connections.close()


def event(columns: Sequence[Any], trace: str = "") -> Event:
    """An event from its columns (``statements.EVENT``); what was erased is NULL there."""
    user_id, seq, msg_id, reader_id, conversation_id, read_at, at, device_id, *counted = columns
    return Event(
        user_id,
        seq,
        msg_id or "",
        reader_id or "",
        conversation_id or "",
        read_at,
        at,
        device_id or "",
        trace,
        *counted,
    )
