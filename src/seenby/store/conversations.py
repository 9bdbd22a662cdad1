"""What the chat's backend registers: conversations, who is in them, and messages.

All of it may be said again: what is there already stays as it is. Nobody is told of any of it.

Changes of a conversation, and registrations of its messages, come one after the other, under its
lock.

Who leaves is a member no longer, but is counted until that is settled: afterwards, piece by piece
(``settling``).
"""

# ruff: noqa: S608 -- statements are put together from our own words; values never are among them

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from seenby.errors import Conflict, NotFound
from seenby.model import ConversationType
from seenby.store.connections import told
from seenby.store.registering import Registering
from seenby.store.settling import Settling
from seenby.store.statements import ID, NUMBER, document
from seenby.tally import Conversation, Message

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from seenby.model import NewMessage
    from seenby.store.connections import Connection, Connections
    from seenby.store.statements import Statements, Words

PIECE = 10_000
"""Members in one statement: a packet of the server's holds that many with the longest ids."""

T = TypeVar("T")


class NewConversation(msgspec.Struct, frozen=True):
    """A conversation as it is to be: these are its members, and nobody else."""

    conversation_id: str
    type: ConversationType
    members: list[str]


class MembersChange(msgspec.Struct, frozen=True):
    """Who comes to a conversation, and who leaves it; nobody is in both."""

    conversation_id: str
    add: list[str]
    remove: list[str]


class MemberKey(NamedTuple):
    """Someone's time in a conversation."""

    conversation_id: str
    user_id: str
    since: int


class Conversations:
    """Registers conversations, their members and their messages.

    Args:
        connections: to the database.
        words: the database's.
        statements: those of the spine.
    """

    def __init__(self, connections: Connections, words: Words, statements: Statements) -> None:
        """Put the statements together."""
        self._connections = connections
        text, join, lock = words.text, words.join, words.for_update

        self._find = text(
            "SELECT c.conversation_id, c.type, c.members, c.last FROM conversations AS c"
            " WHERE c.conversation_id = :conversation_id"
        )
        self._lock = self._find + lock
        self._insert = text(
            "INSERT INTO conversations (conversation_id, type, members, last)"
            " VALUES (:conversation_id, :type, 0, 0)"
        )
        self._resize = text(
            "UPDATE conversations SET members = :members WHERE conversation_id = :conversation_id"
        )

        # Members. Those who are members now are the same as long as the conversation is locked.
        self._members_now = text(
            "SELECT i.user_id, i.since FROM members AS i"
            " WHERE i.conversation_id = :conversation_id AND i.until IS NULL"
        )
        self._page_of_members = text(
            "SELECT i.user_id FROM members AS i WHERE i.conversation_id = :conversation_id"
            " AND i.user_id > :after AND i.until IS NULL ORDER BY i.user_id LIMIT :most"
        )
        pairs = words.rows("members", {"conversation_id": ID, "user_id": ID})
        self._find_members = text(
            f"SELECT i.conversation_id, i.user_id, i.since FROM {pairs} {join} members AS i"
            " ON i.conversation_id = j.conversation_id AND i.user_id = j.user_id"
            " AND i.until IS NULL"
        )
        key = {"conversation_id": ID, "user_id": ID, "since": NUMBER}
        this_member = (
            "members.conversation_id = j.conversation_id AND members.user_id = j.user_id"
            " AND members.since = j.since"
        )
        member_keys = "conversation_id, user_id, since"
        self._insert_members = text(words.insert("members", f"{member_keys}, settled, base, done"))
        self._end_members = text(
            words.update(
                "members",
                words.rows("leavers", {**key, "until": NUMBER}),
                this_member,
                {"until": "j.until"},
            )
        )
        leavers = words.rows("leavers", key)
        self._delete_members = text(words.delete("members", member_keys, leavers, "1 = 1"))

        self._insert_leavers = text(words.insert("leavers", member_keys))
        self._settling = Settling(connections, words)
        self._registering = Registering(connections, words, statements)

    # Conversations and members

    def get(self, conversation_id: str) -> Conversation | None:
        """A conversation, or None when it is not registered."""
        rows = self._connections.run(
            lambda connection: connection.rows(self._find, conversation_id=conversation_id)
        )
        return Conversation(*rows[0]) if rows else None

    def has(self, conversation_id: str, user_id: str) -> bool:
        """Whether a user is a member now."""
        key = document([(conversation_id, user_id)])
        return bool(
            self._connections.run(
                lambda connection: connection.rows(self._find_members, members=key)
            )
        )

    def members(self, conversation_id: str, *, after: str, limit: int) -> list[str]:
        """At most *limit* of those who are members now, in order, from *after* on ("": all)."""
        rows = self._connections.run(
            lambda connection: connection.rows(
                self._page_of_members, conversation_id=conversation_id, after=after, most=limit
            )
        )
        return [user_id for (user_id,) in rows]

    def put(self, wanted: Sequence[NewConversation]) -> list[Conversation | Conflict]:
        """Make or change each conversation, in a transaction of its own.

        Afterwards its members are those wanted: who is there already stays, the others leave, and
        are to be settled.

        Returns:
            Each conversation as it is then; Conflict where it is registered with another type.
        """
        return [
            self._connections.run(partial(self._put, wanted=each), racing=True) for each in wanted
        ]

    def change(self, changes: Sequence[MembersChange]) -> list[Conversation | NotFound]:
        """Let members come and leave, each change in a transaction of its own.

        Who leaves is to be settled.

        Returns:
            Each conversation as it is then; NotFound where it is not registered.
        """
        return [
            self._connections.run(partial(self._change, wanted=each), racing=True)
            for each in changes
        ]

    def _put(self, connection: Connection, wanted: NewConversation) -> Conversation | Conflict:
        conversation_id, members = wanted.conversation_id, set(wanted.members)
        with connection.transaction():
            rows = connection.rows(self._lock, conversation_id=conversation_id)
            if rows:
                conversation = Conversation(*rows[0])
                if conversation.type != wanted.type:
                    return Conflict(f"this conversation is registered as {conversation.type}")
            else:
                connection.change(self._insert, conversation_id=conversation_id, type=wanted.type)
                conversation = Conversation(conversation_id, wanted.type, 0, 0)
            now = connection.rows(self._members_now, conversation_id=conversation_id)
            since: dict[str, int] = dict(now)
            gone = [
                MemberKey(conversation_id, user_id, since[user_id])
                for user_id in since.keys() - members
            ]
            return self._come_and_go(connection, conversation, members - since.keys(), gone)

    def _change(self, connection: Connection, wanted: MembersChange) -> Conversation | NotFound:
        conversation_id = wanted.conversation_id
        with connection.transaction():
            rows = connection.rows(self._lock, conversation_id=conversation_id)
            if not rows:
                return NotFound("conversation_id is not a registered conversation")
            named = [(conversation_id, user_id) for user_id in (*wanted.add, *wanted.remove)]
            found = connection.rows(self._find_members, members=document(named))
            there = {leaver.user_id: leaver for leaver in map(MemberKey._make, found)}
            gone = [there[user_id] for user_id in set(wanted.remove) & there.keys()]
            come = set(wanted.add) - there.keys()
            return self._come_and_go(connection, Conversation(*rows[0]), come, gone)

    def _come_and_go(
        self, connection: Connection, before: Conversation, come: set[str], gone: list[MemberKey]
    ) -> Conversation:
        """Change who is a member, under the conversation's lock; nobody in *come* is one."""
        conversation_id, last = before.conversation_id, before.last
        size = before.members + len(come) - len(gone)
        # Sorted: marks lock members in the same order.
        for new in _pieces(sorted(come)):
            rows = [(conversation_id, user_id, last, last, last, 0) for user_id in new]
            connection.together(told(self._insert_members, rows=rows))
        # Of a time without a message nothing stays: it would be in the way of the next.
        for vain in _pieces(sorted(leaver for leaver in gone if leaver.since == last)):
            connection.change(self._delete_members, leavers=document(vain))
        leavers = sorted(leaver for leaver in gone if leaver.since < last)
        for old in _pieces(leavers):
            ended = [(*leaver, last) for leaver in old]
            connection.change(self._end_members, leavers=document(ended))
            connection.together(told(self._insert_leavers, rows=old))
        if size != before.members:
            connection.change(self._resize, conversation_id=conversation_id, members=size)
        return replace(before, members=size)

    # Settling, and messages

    def settle(self, conversation_ids: Sequence[str] | None = None) -> bool:
        """Settle the next piece of those who have left; see ``settling``."""
        return self._settling.settle(conversation_ids)

    def register(
        self, messages: Sequence[NewMessage], *, now: int
    ) -> list[Message | NotFound | Conflict]:
        """Register messages; see ``registering``."""
        return self._registering.register(messages, now=now)


def _pieces(rows: list[T]) -> Iterator[list[T]]:
    for start in range(0, len(rows), PIECE):
        yield rows[start : start + PIECE]
