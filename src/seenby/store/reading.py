"""What is asked about registered messages: whom they were sent to, and who has not read them."""

# ruff: noqa: S608 -- statements are put together from our own words; values never are among them

from __future__ import annotations

import heapq
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from seenby.model import ConversationType
from seenby.rules import Shown
from seenby.store.connections import told
from seenby.store.statements import singles
from seenby.store.writing import MESSAGE, NOT_READ
from seenby.tally import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seenby.store.connections import Connection, Connections
    from seenby.store.statements import Words


TOGETHER = 200
"""Conversations that are asked in one trip to the server."""


class UnreadCount(msgspec.Struct, frozen=True, gc=False):
    """How many messages of a conversation a user has not read."""

    conversation_id: str
    type: ConversationType
    count: int


class Reading:
    """Answers questions; changes nothing.

    Args:
        connections: to the database.
        words: the database's.
    """

    def __init__(self, connections: Connections, words: Words) -> None:
        """Put the statements together."""
        self._connections = connections
        text, join = words.text, words.join
        among = words.among("m.msg_id", "messages")
        self._messages = text(f"SELECT {MESSAGE} FROM messages AS m WHERE {among}")
        self._sent_to = text(
            f"SELECT m.msg_id FROM messages AS m {join} members AS i"
            " ON i.conversation_id = m.conversation_id AND i.user_id = :user_id"
            " AND i.since < m.number AND (i.until IS NULL OR m.number <= i.until)"
            f" WHERE {among} AND m.sender_id <> :user_id"
        )
        self._not_read = text(
            f"SELECT i.user_id FROM messages AS m {join} members AS i"
            " ON i.conversation_id = m.conversation_id AND i.user_id > :after"
            " AND i.since < m.number AND i.until IS NULL AND i.user_id <> m.sender_id"
            " LEFT JOIN receipts AS r ON r.msg_id = m.msg_id AND r.reader_id = i.user_id"
            f" AND r.hidden = {Shown.NAMED:d} WHERE m.msg_id = :msg_id AND r.id IS NULL"
            " ORDER BY i.user_id LIMIT :most"
        )
        some_unread = "c.last - i.base - i.done > 0"
        mine = (
            f"FROM members AS i {join} conversations AS c ON c.conversation_id = i.conversation_id"
        )
        this_user = "i.user_id = :user_id AND i.until IS NULL"
        self._unread_counts = text(
            f"SELECT c.conversation_id, c.type, c.last - i.base - i.done {mine}"
            f" WHERE {this_user} AND {some_unread} ORDER BY i.conversation_id"
        )
        # One conversation after the other: MariaDB seeks the base only where it is a value, and
        # not a column; it would read each conversation from its start.
        self._bases = text(
            f"SELECT i.conversation_id, i.base {mine} WHERE {this_user} AND {some_unread}"
        )
        self._base_here = self._bases + text(" AND i.conversation_id = :conversation_id")
        self._unread = text(
            f"SELECT {MESSAGE} {NOT_READ} WHERE m.conversation_id = :conversation_id"
            " AND m.number > :base AND m.sender_id <> :user_id AND r.id IS NULL"
            " ORDER BY m.number LIMIT :most"
        )

    def messages(self, msg_ids: Sequence[str]) -> dict[str, Message]:
        """Those of these messages that are registered."""
        if not msg_ids:
            return {}
        [rows] = self._connections.run(
            lambda connection: connection.together(told(self._messages, messages=singles(msg_ids)))
        )
        return {row[0]: Message(*row) for row in rows}

    def sent_to(self, user_id: str, msg_ids: Sequence[str]) -> set[str]:
        """Those of these messages that were sent to a user, who was a member at the time."""
        if not msg_ids:
            return set()
        [rows] = self._connections.run(
            lambda connection: connection.together(
                told(self._sent_to, user_id=user_id, messages=singles(msg_ids))
            )
        )
        return {msg_id for (msg_id,) in rows}

    def not_read(self, msg_id: str, *, after: str, limit: int) -> list[str]:
        """At most *limit* members whom a message was sent to and who are not shown as readers.

        In order, from *after* on ("": all). Who has left is not among them; who hides is.
        """
        rows = self._connections.run(
            lambda connection: connection.rows(
                self._not_read, msg_id=msg_id, after=after, most=limit
            )
        )
        return [user_id for (user_id,) in rows]

    def unread_counts(self, user_id: str) -> list[UnreadCount]:
        """How much a user has not read, by conversation; those that are read are left out.

        Looks at no message: the counters say it.
        """
        rows = self._connections.run(
            lambda connection: connection.rows(self._unread_counts, user_id=user_id)
        )
        return [UnreadCount(*row) for row in rows]

    def unread(
        self, user_id: str, *, conversation_id: str | None, limit: int, offset: int
    ) -> list[Message]:
        """What a user has not read: the oldest first, each conversation in its own order.

        So of each conversation only its first unread messages are looked at, and none where it is
        read to its end.

        Args:
            user_id: the user.
            conversation_id: of this conversation only; None: of all.
            limit: how many at most.
            offset: how many are passed over.
        """

        def work(connection: Connection) -> list[Message]:
            whose: dict[str, object] = {"user_id": user_id}
            bases = self._bases
            if conversation_id is not None:
                bases = self._base_here
                whose["conversation_id"] = conversation_id
            asked = [
                told(
                    self._unread,
                    conversation_id=each,
                    base=base,
                    user_id=user_id,
                    most=offset + limit,
                )
                for each, base in connection.rows(bases, **whose)
            ]
            found: list[list[Message]] = []
            for start in range(0, len(asked), TOGETHER):
                found += [
                    [Message(*row) for row in rows]
                    for rows in connection.together(*asked[start : start + TOGETHER])
                ]
            # A merge takes the oldest of those that come next, one from each conversation.
            merged = heapq.merge(*found, key=lambda each: (each.sent_at, each.conversation_id))
            return list(islice(merged, offset, offset + limit))

        return self._connections.run(work)
