"""Who has left is counted no longer where there is no receipt of theirs.

That may be many messages, so it is settled in pieces, after the leaving: ``members.settled`` says
how far, and ``leavers`` of whom it is not done yet. Several who have left the same conversation
share the way through its messages. Where a process dies in between, any other goes on.
"""

# ruff: noqa: S608 -- statements are put together from our own words; values never are among them

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from seenby.rules import Shown
from seenby.store.connections import told
from seenby.store.statements import ID, NUMBER, document, singles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seenby.store.connections import Connection, Connections, Row
    from seenby.store.statements import Words

CHUNK = 1000
"""Messages in one piece, at most."""

TOGETHER = 100
"""Leavers in one piece, at most."""

LOOKUPS = 5000
"""In one piece as well: receipts that are looked for, one for each message and leaver."""

KEY = "conversation_id, user_id, since"


class Leaver(NamedTuple):
    """Someone's time in a conversation that is over, and how far it is settled."""

    conversation_id: str
    user_id: str
    since: int
    settled: int
    until: int

    def has_left(self, number: int, sender_id: str) -> bool:
        """Whether message *number* was sent to them and is not settled."""
        return self.settled < number <= self.until and sender_id != self.user_id


class Settling:
    """Settles leavers.

    Args:
        connections: to the database.
        words: the database's.
    """

    def __init__(self, connections: Connections, words: Words) -> None:
        """Put the statements together."""
        self._connections = connections
        text, lock = words.text, words.for_update
        self._find_any = text(
            "SELECT conversation_id FROM leavers ORDER BY conversation_id LIMIT 1"
        )
        self._find_here = text(
            "SELECT l.conversation_id FROM leavers AS l"
            f" WHERE {words.among('l.conversation_id', 'conversations')} LIMIT 1"
        )
        self._find_leavers = text(
            "SELECT l.conversation_id, l.user_id, l.since, COALESCE(i.settled, 0),"
            " COALESCE(i.until, 0) FROM leavers AS l LEFT JOIN members AS i"
            " ON i.conversation_id = l.conversation_id AND i.user_id = l.user_id"
            " AND i.since = l.since WHERE l.conversation_id = :conversation_id"
            " ORDER BY l.user_id, l.since LIMIT :most"
        )
        self._find_messages = text(
            "SELECT m.msg_id, m.number FROM messages AS m"
            " WHERE m.conversation_id = :conversation_id"
            " AND m.number > :settled AND m.number <= :until ORDER BY m.number LIMIT :most"
        )
        self._lock_messages = text(
            "SELECT m.msg_id, m.number, m.sender_id FROM messages AS m"
            f" WHERE {words.among('m.msg_id', 'messages')} ORDER BY m.msg_id{lock}"
        )
        key = {"conversation_id": ID, "user_id": ID, "since": NUMBER}
        leavers = words.rows("leavers", key)
        this_member = (
            "members.conversation_id = j.conversation_id AND members.user_id = j.user_id"
            " AND members.since = j.since"
        )
        self._lock_members = text(
            "SELECT i.conversation_id, i.user_id, i.since, i.settled, i.until FROM"
            f" {leavers} {words.join} members AS i ON"
            f" {this_member.replace('members.', 'i.')}{lock}"
        )
        self._find_counted = text(
            "SELECT r.msg_id, r.reader_id FROM receipts AS r"
            f" WHERE {words.among('r.msg_id, r.reader_id', 'keys')}"
            f" AND r.hidden <> {Shown.UNCOUNTED:d}"
        )
        self._lower_audience = text(
            words.update(
                "messages",
                words.rows("messages", {"msg_id": ID, "less": NUMBER}),
                "messages.msg_id = j.msg_id",
                {"audience": "messages.audience - j.less"},
            )
        )
        self._settle = text(
            words.update(
                "members",
                words.rows("settled", {**key, "settled": NUMBER}),
                this_member,
                {"settled": "j.settled"},
            )
        )
        self._forget = text(words.delete("leavers", KEY, leavers, "1 = 1"))

    def settle(self, conversation_ids: Sequence[str] | None = None) -> bool:
        """Settle the next piece: of one of these conversations, or of any.

        Returns:
            False when there was nothing to settle.
        """
        return self._connections.run(partial(self._next, conversation_ids=conversation_ids))

    def _next(self, connection: Connection, conversation_ids: Sequence[str] | None) -> bool:
        if conversation_ids is None:
            found = connection.rows(self._find_any)
        elif conversation_ids:
            [found] = connection.together(
                told(self._find_here, conversations=singles(conversation_ids))
            )
        else:
            found = []
        if found:
            self._piece(connection, found[0][0])
        return bool(found)

    def _piece(self, connection: Connection, conversation_id: str) -> None:
        leavers = [
            Leaver(*row)
            for row in connection.rows(
                self._find_leavers, conversation_id=conversation_id, most=TOGETHER
            )
        ]
        if not leavers:
            # Someone else was faster.
            return
        most = min(CHUNK, max(1, LOOKUPS // len(leavers)))
        end = max(leaver.until for leaver in leavers)
        found = connection.rows(
            self._find_messages,
            conversation_id=conversation_id,
            settled=min(leaver.settled for leaver in leavers),
            until=end,
            most=most,
        )
        if len(found) == most:
            end = found[-1][1]
        with connection.transaction():
            messages = self._locked(connection, found)
            members = document([leaver[:3] for leaver in leavers])
            locked = connection.rows(self._lock_members, leavers=members)
            if {Leaver(*row) for row in locked} != {each for each in leavers if each.until}:
                # Someone else settles the same.
                return
            self._lower(connection, messages, leavers)
            settled = [
                each._replace(settled=min(end, each.until))
                for each in leavers
                if each.settled < end
            ]
            connection.change(self._settle, settled=document([each[:4] for each in settled]))
            ended = {each[:3] for each in leavers if each.until <= max(end, each.settled)}
            connection.change(self._forget, leavers=document(sorted(ended)))

    def _locked(self, connection: Connection, found: list[Row]) -> list[Row]:
        if not found:
            return []
        msg_ids = singles(sorted(msg_id for msg_id, _ in found))
        [messages] = connection.together(told(self._lock_messages, messages=msg_ids))
        return messages

    def _lower(self, connection: Connection, messages: list[Row], leavers: list[Leaver]) -> None:
        """Take those out of the audience who have no receipt; none comes or goes meanwhile."""
        left = [
            (msg_id, leaver.user_id)
            for msg_id, number, sender_id in messages
            for leaver in leavers
            if leaver.has_left(number, sender_id)
        ]
        if not left:
            return
        [counted] = connection.together(told(self._find_counted, keys=left))
        less = Counter(msg_id for msg_id, _ in set(left).difference(counted))
        connection.change(self._lower_audience, messages=document(sorted(less.items())))
