"""How old messages and receipts leave: as prefixes of their conversations, in small pieces.

A registered message leaves when it and all before it in its conversation are old, and its
receipts leave with it. The members' unread counts come first: their ``base`` is raised over what
is to go, so that no member's counters depend on it any more; what was unread of it is unread no
longer. Then receipts go with what they count for, and at last the messages with whatever is left
of them. In a conversation of up to MEMBERS members with few receipts all of that is one
transaction. Nothing is written down between two pieces: what is there says what is to be done.

The messages stay locked while their members are looked at. A receipt of a message whose unread
was given up may be taken back between two pieces: ``base`` then steps back before it and is
raised again. Receipts of messages that nobody registered leave by their own time.
"""

# ruff: noqa: S608 -- statements are put together from our own words; values never are among them

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from seenby.rules import Shown
from seenby.store.connections import told
from seenby.store.recording import LEAVING
from seenby.store.statements import ID, NUMBER, document, singles
from seenby.store.writing import MEMBER, MESSAGE, Changed
from seenby.tally import Facts, Member, Message

if TYPE_CHECKING:
    from seenby.store.connections import Connection, Row
    from seenby.store.statements import Words
    from seenby.store.writing import Writing

MEMBERS = 100
"""Members whose base is raised in one piece: each may have to look at each message."""

CONVERSATIONS = 20
"""Conversations that are looked after in one call, each in a transaction of its own."""

SCAN = 10
"""Receipts that are read for each that may be deleted."""


class Retention:
    """Deletes what has outlived its retention.

    Args:
        writing: runs transactions.
        words: the database's.
    """

    def __init__(self, writing: Writing, words: Words) -> None:
        """Put the statements together."""
        self._writing = writing
        # Receipts up to this id are registered, or gone. Lost with the process, and found again.
        self._passed = 0
        # Up to which user the bases of a conversation are raised, and how far; a hint as well.
        self._raised: tuple[str, int, str] = ("", 0, "")
        text, lock = words.text, words.for_update

        self._find_old = text(
            "SELECT o.conversation_id, COUNT(*) FROM (SELECT m.conversation_id FROM messages AS m"
            " WHERE m.sent_at < :before ORDER BY m.sent_at LIMIT :most) AS o"
            " GROUP BY o.conversation_id"
        )
        self._find_first = text(
            "SELECT m.msg_id, m.number, m.sent_at FROM messages AS m"
            " WHERE m.conversation_id = :conversation_id ORDER BY m.number LIMIT :most"
        )
        these = words.among("m.msg_id", "messages")
        self._lock_messages = text(
            f"SELECT {MESSAGE} FROM messages AS m WHERE {these} ORDER BY m.msg_id{lock}"
        )
        self._find_messages = text(f"SELECT m.msg_id FROM messages AS m WHERE {these}")

        # Members.
        self._find_low = text(
            "SELECT i.conversation_id, i.user_id FROM members AS i"
            " WHERE i.conversation_id = :conversation_id AND i.user_id > :after"
            " AND i.until IS NULL AND i.base < :end ORDER BY i.user_id LIMIT :most"
        )
        these_members = words.among("i.conversation_id, i.user_id", "members")
        self._find_members = text(f"SELECT {MEMBER} FROM members AS i WHERE {these_members}")
        self._lock_members = text(
            f"SELECT {MEMBER} FROM members AS i WHERE {these_members}"
            f" ORDER BY i.conversation_id, i.user_id, i.since{lock}"
        )
        users = words.rows("users", {"user_id": ID, "base": NUMBER})
        self._count_unread = text(
            f"SELECT j.user_id, COUNT(*) FROM {users} {words.join} messages AS m"
            " ON m.conversation_id = :conversation_id AND m.number > j.base AND m.number <= :end"
            " AND m.sender_id <> j.user_id LEFT JOIN receipts AS r ON r.msg_id = m.msg_id"
            " AND r.reader_id = j.user_id WHERE r.id IS NULL GROUP BY j.user_id"
        )
        key = {"conversation_id": ID, "user_id": ID, "since": NUMBER}
        self._raise_bases = text(
            words.update(
                "members",
                words.rows("raised", {**key, "base": NUMBER, "done": NUMBER}),
                "members.conversation_id = j.conversation_id AND members.user_id = j.user_id"
                " AND members.since = j.since",
                {"base": "j.base", "done": "j.done"},
            )
        )
        self._find_left = text(
            "SELECT i.conversation_id, i.user_id, i.since FROM members AS i"
            " WHERE i.conversation_id = :conversation_id AND i.until <= :end"
            " AND i.settled >= i.until LIMIT :most"
        )
        self._delete_members = text(
            words.delete(
                "members", "conversation_id, user_id, since", words.rows("left", key), "1 = 1"
            )
        )

        # Receipts and messages.
        self._find_receipts = text(
            "SELECT r.id, r.msg_id, r.reader_id, r.hidden FROM receipts AS r"
            f" WHERE {words.among('r.msg_id', 'messages')} LIMIT :most"
        )
        self._delete_receipts = text(
            words.delete("receipts", "id", words.rows("receipts", {"id": NUMBER}), "1 = 1")
        )
        self._recount = text(
            words.update(
                "messages",
                words.rows("counted", {"msg_id": ID, "audience": NUMBER, "readers": NUMBER}),
                "messages.msg_id = j.msg_id",
                {"audience": "j.audience", "readers": "j.readers"},
            )
        )
        gone = words.rows("messages", {"msg_id": ID})
        self._delete_messages = text(words.delete("messages", "msg_id", gone, "1 = 1"))
        self._not_due = text(words.delete("pending_counts", "msg_id", gone, "1 = 1"))
        self._next = text(
            "SELECT r.read_at FROM receipts AS r WHERE r.id > :after ORDER BY r.id LIMIT 1"
        )
        self._page = text(
            "SELECT r.id, r.read_at, r.msg_id, m.msg_id IS NOT NULL FROM receipts AS r"
            " LEFT JOIN messages AS m ON m.msg_id = r.msg_id"
            " WHERE r.id > :after ORDER BY r.id LIMIT :most"
        )
        self._lock_receipts = text(
            f"SELECT r.id FROM receipts AS r WHERE {words.among('r.id', 'receipts')}"
            f" ORDER BY r.id{lock}"
        )

    def expire(self, *, before: int, limit: int) -> int:
        """Take the next piece out of what is old.

        Args:
            before: ms; older are messages that were sent before, and receipts of messages that
                are not registered, if they were read before.
            limit: rows that are deleted in one transaction, at most.

        Returns:
            How many rows were changed, deleted or passed over; 0 when there is nothing to do.
        """
        return self._expire_messages(before, limit) or self._expire_receipts(before, limit)

    # Messages

    def _expire_messages(self, before: int, limit: int) -> int:
        window = limit
        while True:
            old = self._writing.run(
                lambda connection, most=window: connection.rows(  # type: ignore[misc]
                    self._find_old, before=before, most=most
                )
            )
            touched = looked_after = 0
            for conversation_id, _ in old:
                rows = self._writing.run(
                    partial(
                        self._expire_prefix,
                        conversation_id=conversation_id,
                        before=before,
                        limit=limit,
                    )
                )
                touched += rows
                looked_after += rows > 0
                if touched >= limit or looked_after == CONVERSATIONS:
                    break
            if touched:
                return touched
            if sum(count for _, count in old) < window:
                return 0
            # All of these stand behind a message that is said to be younger.
            window *= 10

    def _expire_prefix(
        self, connection: Connection, *, conversation_id: str, before: int, limit: int
    ) -> int:
        """A piece of one conversation; how many rows were touched."""
        first = connection.rows(
            self._find_first, conversation_id=conversation_id, most=min(LEAVING, limit)
        )
        prefix: list[str] = []
        end = 0
        for msg_id, number, sent_at in first:
            if sent_at >= before:
                break
            prefix.append(msg_id)
            end = number
        if not prefix:
            return 0
        with connection.transaction():
            [rows] = connection.together(
                told(self._lock_messages, messages=singles(sorted(prefix)))
            )
            messages = {row[0]: Message(*row) for row in rows}
            if len(messages) != len(prefix):
                # Another instance is at it.
                raise Changed
            raised, more = self._raise(connection, conversation_id, end)
            if more:
                return raised
            return raised + self._delete(connection, messages, end, limit)

    def _raise(self, connection: Connection, conversation_id: str, end: int) -> tuple[int, bool]:
        """Give up what members have not read up to *end*: of how many, and are there more?"""
        hint = self._raised
        after = hint[2] if hint[:2] == (conversation_id, end) else ""
        low = self._low(connection, conversation_id, end, after)
        if not low and after:
            # Those before may have stepped back.
            low = self._low(connection, conversation_id, end, "")
        if low:
            self._give_up(connection, conversation_id, end, low)
            self._raised = (conversation_id, end, low[-1][1])
        # Behind a hint nothing is certain before all were looked at.
        return len(low), len(low) == MEMBERS or (bool(low) and bool(after))

    def _low(self, connection: Connection, conversation_id: str, end: int, after: str) -> list[Row]:
        """The next members whose counters depend on messages up to *end*."""
        return connection.rows(
            self._find_low, conversation_id=conversation_id, after=after, end=end, most=MEMBERS
        )

    def _give_up(
        self, connection: Connection, conversation_id: str, end: int, low: list[Row]
    ) -> None:
        """What these members have not read up to *end* is unread no longer."""
        [rows] = connection.together(told(self._lock_members, members=low))
        members = [each for each in map(_member, rows) if each.until is None and each.base < end]
        users = document([(each.user_id, each.base) for each in members])
        unread: dict[str, int] = dict(
            connection.rows(
                self._count_unread, users=users, conversation_id=conversation_id, end=end
            )
        )
        raised = [
            (
                conversation_id,
                each.user_id,
                each.since,
                end,
                each.done - (end - each.base - unread.get(each.user_id, 0)),
            )
            for each in members
        ]
        connection.change(self._raise_bases, raised=document(raised))

    def _delete(
        self, connection: Connection, messages: dict[str, Message], end: int, limit: int
    ) -> int:
        """Delete messages up to *end* that no member's counters depend on, if receipts allow it."""
        msg_ids = singles(messages)
        [found] = connection.together(told(self._find_receipts, messages=msg_ids, most=limit + 1))
        receipts = found[:limit]
        connection.change(self._delete_receipts, receipts=document([row[:1] for row in receipts]))
        conversation_id = next(iter(messages.values())).conversation_id
        if len(found) > limit:
            self._uncount(connection, messages, receipts)
            return len(receipts)
        connection.change(self._not_due, messages=document(msg_ids))
        connection.change(self._delete_messages, messages=document(msg_ids))
        left = connection.rows(
            self._find_left, conversation_id=conversation_id, end=end, most=limit
        )
        connection.change(self._delete_members, left=document(left))
        return len(receipts) + len(messages) + len(left)

    def _uncount(
        self, connection: Connection, messages: dict[str, Message], receipts: list[Row]
    ) -> None:
        """The messages stay for now: they are read by fewer, and were sent to fewer."""
        keys = {(messages[msg_id].conversation_id, reader) for _, msg_id, reader, _ in receipts}
        facts = Facts(messages)
        [rows] = connection.together(told(self._find_members, members=sorted(keys)))
        for row in rows:
            facts.members[row[0], row[1]].append(_member(row))
        for _, msg_id, reader_id, hidden in receipts:
            message = messages[msg_id]
            member = facts.member(reader_id, message)
            if member is None or hidden == Shown.UNCOUNTED:
                continue
            message.readers -= 1
            if not member.counts(message.number):
                message.audience -= 1
        counted = [(each.msg_id, each.audience, each.readers) for each in messages.values()]
        connection.change(self._recount, counted=document(counted))

    # Receipts of messages that are not registered

    def _expire_receipts(self, before: int, limit: int) -> int:
        """Walk on through the receipts, which are in the order of their time."""
        next_one = self._writing.run(
            lambda connection: connection.rows(self._next, after=self._passed)
        )
        if not next_one or next_one[0][0] >= before:
            return 0
        page = self._writing.run(
            lambda connection: connection.rows(self._page, after=self._passed, most=limit * SCAN)
        )
        gone: list[Row] = []
        passed = 0
        end = self._passed
        for number, read_at, msg_id, registered in page:
            if read_at >= before or len(gone) == limit:
                break
            end = number
            passed += 1
            if not registered:
                gone.append((number, msg_id))
        if gone:
            self._writing.run(partial(self._delete_plain, gone=gone))
        self._passed = end
        return passed

    def _delete_plain(self, connection: Connection, gone: list[Row]) -> None:
        """Delete receipts whose messages are not registered, not even now.

        Nothing is registered under these locks: who registers a message locks its receipts.
        """
        with connection.transaction():
            locked, registered = connection.together(
                told(self._lock_receipts, receipts=[(number,) for number, _ in gone]),
                told(self._find_messages, messages=singles({msg_id for _, msg_id in gone})),
            )
            known = {msg_id for (msg_id,) in registered}
            there = {number for (number,) in locked}
            receipts = [(n,) for n, msg_id in gone if n in there and msg_id not in known]
            connection.change(self._delete_receipts, receipts=document(receipts))


def _member(row: Row) -> Member:
    return Member(*row)
