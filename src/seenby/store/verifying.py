"""Counters made anew from receipts and members: what differs, and its repair.

Each piece is one statement, so it sees the database at one moment and raises no false alarm while
marks come in. A repair works each counter out again under the lock that whoever changes it holds.
"""

# ruff: noqa: S608 -- statements are put together from our own words; values never are among them

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seenby.rules import Shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seenby.store.connections import Connection, Connections, Row
    from seenby.store.statements import Words

PIECE = 200_000
"""About how many receipts or messages one statement may look up: they take a second or less."""

LARGEST = 1000
"""Messages or members in one piece, at most."""


class Difference(msgspec.Struct, frozen=True):
    """A counter that is not what it should be.

    Attributes:
        what: the table and column.
        key: the message, the user or the conversation.
        found: what stood there.
        right: what should have.
    """

    what: str
    key: str
    found: int
    right: int


class Verifying:
    """Works counters out anew.

    Args:
        connections: to the database.
        words: the database's.
    """

    def __init__(self, connections: Connections, words: Words) -> None:
        """Put the statements together."""
        self._connections = connections
        text, join, lock = words.text, words.join, words.for_update
        self._conversations = text(
            "SELECT c.conversation_id FROM conversations AS c WHERE c.conversation_id > :after"
            " ORDER BY c.conversation_id LIMIT :most"
        )

        self._size = text(
            "SELECT c.members, c.last, (SELECT COUNT(*) FROM members AS i"
            " WHERE i.conversation_id = c.conversation_id AND i.until IS NULL)"
            " FROM conversations AS c WHERE c.conversation_id = :conversation_id"
        )
        self._lock_conversation = text(
            "SELECT c.members FROM conversations AS c"
            f" WHERE c.conversation_id = :conversation_id{lock}"
        )
        self._set_size = text(
            "UPDATE conversations SET members = :right WHERE conversation_id = :conversation_id"
        )

        # The audience: whole groups of members who came and left together, less the sender, and
        # those who are settled but have a receipt.
        was_there = "i.since < m.number AND (i.until IS NULL OR m.number <= i.until)"
        counts = "(i.until IS NULL OR m.number > i.settled)"
        counted = (
            f"FROM receipts AS r {join} members AS i ON i.conversation_id = m.conversation_id"
            f" AND i.user_id = r.reader_id AND {was_there}"
            f" WHERE r.msg_id = m.msg_id AND r.hidden <> {Shown.UNCOUNTED:d}"
            " AND r.reader_id <> m.sender_id"
        )
        grouped = (
            "SELECT i.since, i.until, i.settled, COUNT(*) AS size FROM members AS i"
            " WHERE i.conversation_id = :conversation_id GROUP BY i.since, i.until, i.settled"
        )

        def messages(condition: str) -> str:
            sizes = " ".join(
                [
                    "SELECT m.msg_id, m.conversation_id, m.number, m.sender_id, m.readers,",
                    "m.audience, COALESCE(SUM(i.size), 0) AS size FROM",
                    f"(SELECT * FROM messages AS m WHERE {condition}) AS m",
                    f"LEFT JOIN ({grouped}) AS i ON {was_there} AND {counts}",
                    "GROUP BY m.msg_id, m.conversation_id, m.number, m.sender_id, m.readers,",
                    "m.audience",
                ]
            )
            return text(
                f"SELECT m.number, m.msg_id, m.readers, (SELECT COUNT(*) {counted}), m.audience,"
                " m.size - (SELECT COUNT(*) FROM members AS i"
                " WHERE i.conversation_id = m.conversation_id AND i.user_id = m.sender_id"
                f" AND {was_there} AND {counts}) + (SELECT COUNT(*) {counted} AND NOT {counts})"
                f" FROM ({sizes}) AS m ORDER BY m.number"
            )

        self._messages = messages(
            "m.conversation_id = :conversation_id AND m.number > :after"
            " ORDER BY m.number LIMIT :most"
        )
        self._message = messages("m.msg_id = :msg_id")
        self._lock_message = text(
            f"SELECT m.msg_id FROM messages AS m WHERE m.msg_id = :msg_id{lock}"
        )
        self._set_message = text(
            "UPDATE messages SET readers = :readers, audience = :audience WHERE msg_id = :msg_id"
        )

        def members(condition: str) -> str:
            return text(
                "SELECT i.user_id, i.done, c.last - i.base - (SELECT COUNT(*) FROM messages AS m"
                " WHERE m.conversation_id = i.conversation_id AND m.number > i.base"
                " AND m.number <= c.last AND m.sender_id <> i.user_id AND NOT EXISTS"
                " (SELECT 1 FROM receipts AS r WHERE r.msg_id = m.msg_id"
                f" AND r.reader_id = i.user_id)) FROM members AS i {join} conversations AS c"
                " ON c.conversation_id = i.conversation_id"
                f" WHERE i.conversation_id = :conversation_id AND {condition} AND i.until IS NULL"
            )

        self._members = members("i.user_id > :after") + text(" ORDER BY i.user_id LIMIT :most")
        self._member = members("i.user_id = :user_id")
        this_member = "conversation_id = :conversation_id AND user_id = :user_id AND until IS NULL"
        self._lock_member = text(f"SELECT user_id FROM members WHERE {this_member}{lock}")
        self._set_done = text(f"UPDATE members SET done = :right WHERE {this_member}")

    def conversations(self, after: str, limit: int) -> list[str]:
        """At most *limit* conversations in order, from *after* on ("": all)."""
        rows = self._connections.run(
            lambda connection: connection.rows(self._conversations, after=after, most=limit)
        )
        return [conversation_id for (conversation_id,) in rows]

    def verify(self, conversation_id: str, *, repair: bool) -> list[Difference]:
        """What differs in a conversation; with *repair* it is put right."""
        rows = self._rows(self._size, conversation_id=conversation_id)
        if not rows:
            return []
        [(found, last, size)] = rows
        differences = []
        if found != size:
            differences.append(Difference("conversations.members", conversation_id, found, size))
            if repair:
                self._repair_size(conversation_id)
        differences += self._verify_messages(conversation_id, _piece(size), repair=repair)
        differences += self._verify_members(conversation_id, _piece(last), repair=repair)
        return differences

    def _rows(self, statement: str, **values: object) -> list[Row]:
        return self._connections.run(lambda connection: connection.rows(statement, **values))

    def _repair_size(self, conversation_id: str) -> None:
        def work(connection: Connection) -> None:
            with connection.transaction():
                connection.rows(self._lock_conversation, conversation_id=conversation_id)
                [(_, _, size)] = connection.rows(self._size, conversation_id=conversation_id)
                connection.change(self._set_size, conversation_id=conversation_id, right=size)

        self._connections.run(work)

    def _verify_messages(
        self, conversation_id: str, piece: int, *, repair: bool
    ) -> Iterator[Difference]:
        after = 0
        while rows := self._rows(
            self._messages, conversation_id=conversation_id, after=after, most=piece
        ):
            for number, msg_id, readers, right_readers, audience, right_audience in rows:
                after = number
                if (readers, audience) == (right_readers, right_audience):
                    continue
                for column, found, right in (
                    ("readers", readers, right_readers),
                    ("audience", audience, right_audience),
                ):
                    if found != right:
                        yield Difference(f"messages.{column}", msg_id, found, int(right))
                if repair:
                    self._repair_message(conversation_id, msg_id)

    def _repair_message(self, conversation_id: str, msg_id: str) -> None:
        def work(connection: Connection) -> None:
            with connection.transaction():
                connection.rows(self._lock_message, msg_id=msg_id)
                for _, _, _, readers, _, audience in connection.rows(
                    self._message, conversation_id=conversation_id, msg_id=msg_id
                ):
                    connection.change(
                        self._set_message, msg_id=msg_id, readers=readers, audience=audience
                    )

        self._connections.run(work)

    def _verify_members(
        self, conversation_id: str, piece: int, *, repair: bool
    ) -> Iterator[Difference]:
        after = ""
        while rows := self._rows(
            self._members, conversation_id=conversation_id, after=after, most=piece
        ):
            for user_id, found, right in rows:
                after = user_id
                if found != right:
                    yield Difference("members.done", user_id, found, right)
                    if repair:
                        self._repair_member(conversation_id, user_id)

    def _repair_member(self, conversation_id: str, user_id: str) -> None:
        whose = {"conversation_id": conversation_id, "user_id": user_id}

        def work(connection: Connection) -> None:
            with connection.transaction():
                connection.rows(self._lock_member, **whose)
                for _, _, right in connection.rows(self._member, **whose):
                    connection.change(self._set_done, right=right, **whose)

        self._connections.run(work)


def _piece(each: int) -> int:
    """How many in one piece, where each needs *each* lookups."""
    return max(1, min(LARGEST, PIECE // (each + 1)))
