"""Counters made anew from receipts and members: what differs, and its repair.

A conversation is looked at in one snapshot, so nothing is locked, and no false alarm is raised
while marks come in; in pieces, each of which takes a second or less. Each receipt is read once. A
repair works the counter out again under the lock that whoever changes it holds.
"""

# ruff: noqa: S608 -- statements are put together from our own words; values never are among them

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from seenby.rules import Shown
from seenby.store.connections import told
from seenby.store.recording import LEAVING
from seenby.store.writing import MEMBER, NOT_READ
from seenby.tally import Member

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from seenby.store.connections import Connection, Connections, Row
    from seenby.store.statements import Words

PIECE = 100_000
"""About how many receipts one statement reads, or messages it looks receipts up for."""

PAGE = 1000
"""Messages that are read at once."""

LEAST_READ = 10
"""A message is taken to be read by one of so many members at the least: some are not counted."""


class Difference(msgspec.Struct, frozen=True):
    """A counter that is not what it should be.

    Attributes:
        what: the table and column.
        key: the message, the user or the conversation.
        found: what stood there.
        right: what should have; of ``members.done`` less than 0 where ``base`` is wrong.
    """

    what: str
    key: str
    found: int
    right: int


class Sent(NamedTuple):
    """A message, with its counters as they stand."""

    number: int
    msg_id: str
    sender_id: str
    readers: int
    audience: int


class Verifying:
    """Works counters out anew.

    Args:
        connections: to the database.
        words: the database's.
    """

    def __init__(self, connections: Connections, words: Words) -> None:
        """Put the statements together."""
        self._connections = connections
        self._snapshot = [told(statement) for statement in words.snapshot]
        text, join, lock = words.text, words.join, words.for_update
        here = "WHERE m.conversation_id = :conversation_id"
        self._count = "SELECT COUNT(*) FROM conversations"
        self._conversations = text(
            "SELECT c.conversation_id FROM conversations AS c WHERE c.conversation_id > :after"
            " ORDER BY c.conversation_id LIMIT :most"
        )
        self._conversation = text(
            "SELECT c.members, c.last FROM conversations AS c"
            " WHERE c.conversation_id = :conversation_id"
        )
        self._lock_conversation = self._conversation + lock
        self._size = text(
            "SELECT COUNT(*) FROM members AS i"
            " WHERE i.conversation_id = :conversation_id AND i.until IS NULL"
        )
        self._set_size = text(
            "UPDATE conversations SET members = :right WHERE conversation_id = :conversation_id"
        )

        self._members = text(
            f"SELECT {MEMBER} FROM members AS i WHERE i.conversation_id = :conversation_id"
        )
        self._member = self._members + text(" AND i.user_id = :user_id AND i.until IS NULL" + lock)
        self._set_member = text(
            "UPDATE members SET base = :base, done = :done WHERE user_id = :user_id"
            " AND conversation_id = :conversation_id AND since = :since"
        )

        sent = "SELECT m.number, m.msg_id, m.sender_id, m.readers, m.audience FROM messages AS m"
        self._messages = text(f"{sent} {here} AND m.number > :after ORDER BY m.number LIMIT :most")
        self._lock_message = text(f"{sent} WHERE m.msg_id = :msg_id{lock}")
        self._first = text(
            f"SELECT m.number FROM messages AS m {here} ORDER BY m.number LIMIT :most"
        )
        self._lock_first = self._first + lock
        self._set_message = text(
            "UPDATE messages SET readers = :readers, audience = :audience WHERE msg_id = :msg_id"
        )

        self._receipts = text(
            f"SELECT m.number, r.reader_id, r.hidden FROM messages AS m {join} receipts AS r"
            f" ON r.msg_id = m.msg_id {here} AND m.number > :after AND m.number <= :end"
        )
        self._receipts_of_one = text(
            "SELECT r.reader_id, r.hidden FROM receipts AS r WHERE r.msg_id = :msg_id"
        )
        self._count_unread = text(
            f"SELECT COUNT(*) {NOT_READ} {here} AND m.number > :after AND m.number <= :end"
            " AND m.sender_id <> :user_id AND r.id IS NULL"
        )

    def count(self) -> int:
        """How many conversations there are; they are few beside the receipts read for each."""
        [(count,)] = self._connections.run(lambda connection: connection.rows(self._count))
        return int(count)

    def conversations(self, after: str, limit: int) -> list[str]:
        """At most *limit* conversations in order, from *after* on ("": all)."""
        rows = self._connections.run(
            lambda connection: connection.rows(self._conversations, after=after, most=limit)
        )
        return [conversation_id for (conversation_id,) in rows]

    def verify(self, conversation_id: str, *, repair: bool) -> list[Difference]:
        """What differs in a conversation; with *repair* it is put right."""
        differences = self._connections.run(partial(self._look, conversation_id=conversation_id))
        for each in differences if repair else ():
            repairing = {
                "conversations.members": self._repair_size,
                "members.done": self._repair_member,
            }.get(each.what, self._repair_message)
            self._connections.run(partial(repairing, conversation_id=conversation_id, key=each.key))
        return differences

    # Looking

    def _look(self, connection: Connection, conversation_id: str) -> list[Difference]:
        connection.together(*self._snapshot)
        differences = list(self._differences(connection, conversation_id))
        connection.change("COMMIT")
        return differences

    def _differences(self, connection: Connection, conversation_id: str) -> Iterator[Difference]:
        rows = connection.rows(self._conversation, conversation_id=conversation_id)
        if not rows:
            return
        [(size, last)] = rows
        members = self._all_members(connection, conversation_id)
        now = [member for member in members if member.until is None]
        if size != len(now):
            yield Difference("conversations.members", conversation_id, size, len(now))
        leaving = self._leaving(connection, self._first, conversation_id)
        right = Right(members, leaving)
        after = 0
        while rows := connection.rows(
            self._messages, conversation_id=conversation_id, after=after, most=PAGE
        ):
            page = [Sent(*row) for row in rows]
            for some in _pieces(page, len(members)):
                receipts = connection.rows(
                    self._receipts,
                    conversation_id=conversation_id,
                    after=after,
                    end=some[-1].number,
                )
                yield from right.compare(some, receipts)
                after = some[-1].number
        for member in sorted(now, key=lambda member: member.user_id):
            done = last - member.base - right.unread(member)
            if done != member.done:
                yield Difference("members.done", member.user_id, member.done, done)

    def _all_members(self, connection: Connection, conversation_id: str) -> list[Member]:
        rows = connection.rows(self._members, conversation_id=conversation_id)
        return [Member(*row) for row in rows]

    def _leaving(self, connection: Connection, statement: str, conversation_id: str) -> int:
        """The number up to which messages may be about to leave."""
        rows = connection.rows(statement, conversation_id=conversation_id, most=LEAVING)
        return rows[-1][0] if rows else 0

    # Repairing

    def _repair_size(self, connection: Connection, conversation_id: str, key: str) -> None:
        with connection.transaction():
            connection.rows(self._lock_conversation, conversation_id=key)
            [(size,)] = connection.rows(self._size, conversation_id=conversation_id)
            connection.change(self._set_size, conversation_id=conversation_id, right=size)

    def _repair_message(self, connection: Connection, conversation_id: str, key: str) -> None:
        with connection.transaction():
            sent = [Sent(*row) for row in connection.rows(self._lock_message, msg_id=key)]
            right = Right(self._all_members(connection, conversation_id), 0)
            for message in sent:
                receipts = connection.rows(self._receipts_of_one, msg_id=key)
                readers, audience = right.counts(message, receipts)
                connection.change(self._set_message, msg_id=key, readers=readers, audience=audience)

    def _repair_member(self, connection: Connection, conversation_id: str, key: str) -> None:
        whose = {"conversation_id": conversation_id, "user_id": key}
        with connection.transaction():
            # So that no message leaves meanwhile that would be counted here.
            leaving = self._leaving(connection, self._lock_first, conversation_id)
            for row in connection.rows(self._member, **whose):
                member = Member(*row)
                # After the lock: what comes after this one is counted by whoever registers it.
                [(_, last)] = connection.rows(self._conversation, conversation_id=conversation_id)
                base = member.base
                if self._unread(connection, whose, _from(member, leaving), base):
                    base = member.since
                done = last - base - self._unread(connection, whose, base, last)
                connection.change(
                    self._set_member, since=member.since, base=base, done=done, **whose
                )

    def _unread(self, connection: Connection, whose: dict[str, str], after: int, end: int) -> int:
        """How much of the messages from *after* on, up to *end*, somebody has not read."""
        unread = 0
        for start in range(after, end, PIECE):
            [(some,)] = connection.rows(
                self._count_unread, after=start, end=min(end, start + PIECE), **whose
            )
            unread += some
        return unread


class Right:
    """What the counters of a conversation should be.

    Args:
        members: all times of all members, present and past.
        leaving: up to this number members' unread messages may have been given up.
    """

    def __init__(self, members: list[Member], leaving: int) -> None:
        self._times: defaultdict[str, list[Member]] = defaultdict(list)
        for member in members:
            self._times[member.user_id].append(member)
        # From where each is in the audience without a receipt, and up to where.
        self._starts = sorted(m.since if m.until is None else m.settled for m in members)
        self._ends = sorted(m.until for m in members if m.until is not None)
        self._leaving = leaving
        # Of each present member, from where on what is unread is counted.
        self._from = {m.user_id: _from(m, leaving) for m in members if m.until is None}
        self._numbers = array("q")
        self._done: Counter[str] = Counter()

    def compare(self, messages: Sequence[Sent], receipts: Iterable[Row]) -> Iterator[Difference]:
        """Compare the next messages, and note who has read them.

        Args:
            messages: in order.
            receipts: all of these messages: number, reader_id, hidden.
        """
        read: defaultdict[int, list[Row]] = defaultdict(list)
        for number, reader_id, hidden in receipts:
            read[number].append((reader_id, hidden))
        for message in messages:
            self._numbers.append(message.number)
            self._note(message.number, message.sender_id)
            readers, audience = self.counts(message, read[message.number])
            if readers != message.readers:
                yield Difference("messages.readers", message.msg_id, message.readers, readers)
            if audience != message.audience:
                yield Difference("messages.audience", message.msg_id, message.audience, audience)

    def counts(self, message: Sent, receipts: Iterable[Row]) -> tuple[int, int]:
        """Readers and audience of a message, by its receipts (reader_id, hidden)."""
        number = message.number
        readers = 0
        audience = bisect_left(self._starts, number) - bisect_left(self._ends, number)
        sender = self._member(message.sender_id, number)
        if sender is not None and sender.counts(number):
            audience -= 1
        for reader_id, hidden in receipts:
            if reader_id == message.sender_id:
                continue
            member = self._member(reader_id, number)
            if member is None:
                continue
            self._note(number, reader_id)
            if hidden != Shown.UNCOUNTED:
                readers += 1
                if not member.counts(number):
                    audience += 1
        return readers, audience

    def unread(self, member: Member) -> int:
        """How much a present member has not read of the messages so far."""
        start = bisect_right(self._numbers, self._from[member.user_id])
        return len(self._numbers) - start - self._done[member.user_id]

    def _note(self, number: int, user_id: str) -> None:
        """A user has sent or read a message."""
        start = self._from.get(user_id)
        if start is not None and number > start:
            self._done[user_id] += 1

    def _member(self, user_id: str, number: int) -> Member | None:
        for member in self._times.get(user_id, ()):
            if member.since < number and (member.until is None or number <= member.until):
                return member
        return None


def _from(member: Member, leaving: int) -> int:
    """From where on a member's unread messages are counted: all up to base are done.

    That is made sure of for all but those that may be about to leave.
    """
    return max(member.since, min(member.base, leaving))


def _pieces(page: list[Sent], members: int) -> Iterator[list[Sent]]:
    """Messages with about PIECE receipts."""
    piece: list[Sent] = []
    rows = 0
    for message in page:
        each = 1 + max(message.readers, members // LEAST_READ)
        if piece and rows + each > PIECE:
            yield piece
            piece, rows = [], 0
        piece.append(message)
        rows += each
    yield piece
