"""What operators ask: which processes run, and where the event of a receipt is.

The processes' rows are written and aged by the database's clock: no other is the same for all.
"""

# ruff: noqa: S608 -- statements are put together from our own words; values never are among them

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seenby.model import Kind
from seenby.store.connections import told
from seenby.store.statements import document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seenby.model import Receipt
    from seenby.store.connections import Connection, Connections, Row, Told
    from seenby.store.statements import Words

CLOCKS_DIFFER_MS = 10_000
"""By how much an instance's clock may differ from the database's before a batch that is still in
the outbox is not found there. A wider look would read more batches, of some kilobytes each."""


class Node(msgspec.Struct, frozen=True):
    """A process of seenby, as its row says (times in ms, by the database's clock).

    ``unseen_ms`` is how long ago the row was written; ``numbers`` is JSON (``nodes.Numbers``).
    """

    node: str
    role: str
    url: str
    ticket: str
    started: int
    seen: int
    unseen_ms: int
    numbers: str


class Waiting(msgspec.Struct, frozen=True):
    """A batch in the outbox.

    Attributes:
        created: when it was committed, by the database's clock.
        owner: who has taken it over; "" for whoever committed it.
        leased_ms: for how long nobody else may publish it; 0 or less: anyone may.
    """

    created: int
    owner: str
    leased_ms: int


class Inspecting:
    """Keeps the rows of the processes, and finds events.

    Args:
        connections: to the database.
        words: the database's.
    """

    def __init__(self, connections: Connections, words: Words) -> None:
        """Put the statements together."""
        self._connections = connections
        text, now = words.text, words.now
        self._report = text(
            "INSERT INTO nodes (node, role, url, ticket, started, seen, numbers)"
            f" SELECT :node, :role, :url, :ticket, {now} - :uptime, {now}, :numbers"
            f" {words.upsert('node, role')} url = :url, ticket = :ticket,"
            f" started = {now} - :uptime, seen = {now}, numbers = :numbers"
        )
        self._remove = text("DELETE FROM nodes WHERE node = :node AND role = :role")
        self._forget = text(f"DELETE FROM nodes WHERE seen < {now} - :unseen")
        self._nodes = text(
            f"SELECT node, role, url, ticket, started, seen, {now} - seen, numbers FROM nodes"
            " ORDER BY role, node"
        )
        # The index by time ends in the table's key: this reads what the user got in that ms.
        self.find_event = text(
            "SELECT e.seq FROM events AS e WHERE e.at = :at AND e.user_id = :user_id"
            f" AND e.msg_id = :msg_id AND e.reader_id = :reader_id AND e.kind = {Kind.RECEIPT:d}"
            " ORDER BY e.seq LIMIT 1"
        )
        self.find_batch = text(
            f"SELECT o.created, o.owner, o.lease_until - {now} FROM outbox AS o"
            " WHERE o.created BETWEEN :first AND :last AND INSTR(o.events, :named) > 0 LIMIT 1"
        )

    # Processes

    def report(
        self, node: str, role: str, *, url: str, ticket: str, uptime_ms: int, numbers: str
    ) -> None:
        """Write a process's row.

        Args:
            node: its name.
            role: what it does; one of each may bear the same name.
            url: where others may ask it.
            ticket: what they show to be answered.
            uptime_ms: for how long it runs.
            numbers: what it counts, as JSON in ASCII.
        """
        values = {"node": node, "role": role, "url": url, "ticket": ticket, "numbers": numbers}
        self._connections.run(
            lambda connection: connection.change(self._report, **values, uptime=uptime_ms)
        )

    def remove(self, node: str, role: str) -> None:
        """A process has ended in order."""
        self._connections.run(
            lambda connection: connection.change(self._remove, node=node, role=role)
        )

    def forget(self, *, unseen_ms: int) -> int:
        """Forget processes whose rows were not written for so long; how many were."""
        return self._connections.run(
            lambda connection: connection.change(self._forget, unseen=unseen_ms)
        )

    def nodes(self) -> list[Node]:
        """The processes, by role and name."""
        rows = self._connections.run(lambda connection: connection.rows(self._nodes))
        return [Node(*row) for row in rows]

    # Events

    def seqs(self, receipts: Sequence[Receipt]) -> list[int | None]:
        """The place of each receipt's event in its sender's stream.

        None where there is none: it is no longer kept, or the sender was told a count.
        """
        return [
            row[0] if row else None
            for row in self._firsts(
                [
                    told(
                        self.find_event,
                        at=receipt.read_at,
                        user_id=receipt.sender_id,
                        msg_id=receipt.msg_id,
                        reader_id=receipt.reader_id,
                    )
                    for receipt in receipts
                ]
            )
        ]

    def waiting(self, events: Sequence[tuple[str, int, int]]) -> list[Waiting | None]:
        """The batch in the outbox that has each event (user_id, seq, committed when in ms).

        None where there is none: it is published, or there is no bus.
        """
        return [
            Waiting(*row) if row else None
            for row in self._firsts(
                [
                    told(
                        self.find_batch,
                        first=at - CLOCKS_DIFFER_MS,
                        last=at + CLOCKS_DIFFER_MS,
                        # As it stands in the batch, up to the comma before the trace.
                        named=document([user_id, seq])[:-1] + ",",
                    )
                    for user_id, seq, at in events
                ]
            )
        ]

    def _firsts(self, asked: list[Told]) -> list[Row | None]:
        """The first row of each statement, in one trip to the server."""
        if not asked:
            return []

        def work(connection: Connection) -> list[Row | None]:
            return [rows[0] if rows else None for rows in connection.together(*asked)]

        return self._connections.run(work)
