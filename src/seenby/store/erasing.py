"""How a person is erased: stage by stage, piece by piece, one small transaction each.

LEAVING      They leave all conversations, and that is settled: no count holds them without a
             receipt.
MESSAGES     Those they sent stay, for others' numbers must; nobody is named as the sender.
EVENTS       Those that name them in others' streams stay, for a stream has no holes, without a
             body.
RECEIPTS     Theirs go, and the counters follow in the same transaction; nobody is told. Those of
             their messages stay, and name nobody as the sender.
MEMBERS      Their times in conversations go: no registered message can be marked by them any more.
LATE         The newest receipts and messages once more: what was on its way meanwhile.
STREAM       Their own goes, but for the number of its last event, which stays under a name that
             does not tell whose it was.
OUTBOX       What their stream has there goes; then their DEVICES, and at last their PREFERENCES,
             which hold until the end.

How far it is stands in ``erasures`` and is written with each piece; whoever comes next goes on
there. That row is locked before all others, so a person is erased by one at a time. Who is added
to a conversation meanwhile leaves it again: all stages follow once more.

No index leads from a reader to receipts or events: every mark would pay for it, and an erasure is
rare. Both tables are read through instead. A receipt that comes in behind the place that was
reached is found by LATE, with its event. What is not found: events of a receipt that is taken
back behind that place, marks of unregistered messages that still name the person, and whatever
comes after the end. So stop the person's tokens first, and let the chat name them no more. Asked
for again, an erasure goes through everything again.
"""

# ruff: noqa: S608 -- statements are put together from our own words; values never are among them

from __future__ import annotations

from enum import IntEnum
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from seenby.model import ERASED
from seenby.rules import Shown
from seenby.store.connections import told
from seenby.store.conversations import MembersChange
from seenby.store.statements import ID, NUMBER, document, singles
from seenby.store.writing import Changed, tombstone

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from seenby.store.connections import Connection, Row
    from seenby.store.conversations import Conversations
    from seenby.store.statements import Words
    from seenby.store.writing import Writing

SCAN = 10
"""Rows that are read for each that may be changed."""

CONVERSATIONS = 10
"""Conversations that are left in one step, each in a transaction of its own."""

BATCHES = 20
"""Outbox rows that are read in one step: about ten thousand events."""

ON_THEIR_WAY = 100_000
"""Receipts with lower ids that may be committed after one that is there already, at the most."""


class Stage(IntEnum):
    """What is done; the number stands in the database."""

    LEAVING = 0
    MESSAGES = 1
    EVENTS = 2
    RECEIPTS = 3
    MEMBERS = 4
    LATE = 5
    STREAM = 6
    OUTBOX = 7
    DEVICES = 8
    PREFERENCES = 9
    DONE = 10


class Erasure(NamedTuple):
    """How far it is.

    ``place`` and ``number``: in EVENTS the last event that was read; elsewhere the last id.
    From RECEIPTS to LATE, ``place`` is the highest id there was when RECEIPTS began.
    """

    user_id: str
    stage: Stage
    place: str = ""
    number: int = 0

    def at(self, stage: Stage, place: str = "", number: int = 0) -> Erasure:
        """The same, further on."""
        return Erasure(self.user_id, stage, place, number)


class Erasing:
    """Erases people.

    Args:
        writing: runs transactions.
        words: the database's.
        conversations: which are left.
    """

    def __init__(self, writing: Writing, words: Words, conversations: Conversations) -> None:
        """Put the statements together."""
        self._writing = writing
        self._conversations = conversations
        self._own = _Own(words)
        text, lock = words.text, words.for_update

        self._stages: dict[Stage, Callable[[Connection, Erasure, int], Erasure]] = {
            Stage.LEAVING: self._settled,
            Stage.MESSAGES: self._leave_messages,
            Stage.EVENTS: self._blank_events,
            Stage.RECEIPTS: self._delete_receipts,
            Stage.MEMBERS: self._forget_members,
            Stage.LATE: self._look_again,
            Stage.STREAM: self._own.trim,
            Stage.OUTBOX: self._own.unpublish,
            Stage.DEVICES: self._own.forget_devices,
            Stage.PREFERENCES: self._own.forget_preferences,
        }

        # How far it is.
        self._ask = text(
            "INSERT INTO erasures (user_id, asked, stage, place, number)"
            f" SELECT :user_id, :now, 0, '', 0 {words.upsert('user_id')} asked = erasures.asked"
        )
        self._asked = "SELECT user_id FROM erasures ORDER BY asked, user_id"
        self._get = text(
            "SELECT e.user_id, e.stage, e.place, e.number FROM erasures AS e"
            " WHERE e.user_id = :user_id"
        )
        self._lock = self._get + lock
        self._move = text(
            "UPDATE erasures SET stage = :stage, place = :place, number = :number"
            " WHERE user_id = :user_id"
        )
        self._finish = text("DELETE FROM erasures WHERE user_id = :user_id")

        # Members and messages.
        mine = "FROM members AS i WHERE i.user_id = :user_id"
        self._find_joined = text(f"SELECT i.conversation_id {mine} AND i.until IS NULL LIMIT :most")
        self._find_unsettled = text(
            f"SELECT i.conversation_id {mine} AND i.settled < i.until LIMIT 1"
        )
        self._find_left = text(
            f"SELECT i.conversation_id, i.user_id, i.since {mine} AND i.settled >= i.until"
            " LIMIT :most"
        )
        self._find_any = text(f"SELECT i.since {mine} LIMIT 1")
        self._find_back = text(
            f"SELECT i.since {mine} AND (i.until IS NULL OR i.settled < i.until) LIMIT 1"
        )
        times = words.rows("times", {"conversation_id": ID, "user_id": ID, "since": NUMBER})
        self._delete_members = text(
            words.delete("members", "conversation_id, user_id, since", times, "1 = 1")
        )
        self._find_sent = text(
            "SELECT m.msg_id FROM messages AS m WHERE m.sender_id = :user_id LIMIT :most"
        )
        these = words.among("m.msg_id", "messages")
        self._find_messages = text(f"SELECT m.msg_id FROM messages AS m WHERE {these}")
        self._lock_messages = text(
            f"SELECT m.msg_id FROM messages AS m WHERE {these} ORDER BY m.msg_id{lock}"
        )
        messages = words.rows("messages", {"msg_id": ID})
        self._name_nobody = text(
            words.update(
                "messages", messages, "messages.msg_id = j.msg_id", {"sender_id": f"'{ERASED}'"}
            )
        )
        self._not_due = text(words.delete("pending_counts", "msg_id", messages, "1 = 1"))
        self._uncount = text(
            words.update(
                "messages",
                messages,
                "messages.msg_id = j.msg_id",
                {"readers": "messages.readers - 1", "audience": "messages.audience - 1"},
            )
        )

        # Receipts.
        self._highest = "SELECT COALESCE(MAX(id), 0) FROM receipts"
        self._page_end = text(
            "SELECT MAX(p.id) FROM (SELECT r.id FROM receipts AS r WHERE r.id > :after"
            " ORDER BY r.id LIMIT :most) AS p"
        )
        self._find_receipts = text(
            "SELECT r.id, r.msg_id FROM receipts AS r WHERE r.id > :after AND r.id <= :end"
            " AND (r.reader_id = :user_id OR r.sender_id = :user_id) ORDER BY r.id LIMIT :most"
        )
        self._lock_receipts = text(
            "SELECT r.id, r.msg_id, r.reader_id, r.sender_id, r.read_at, r.hidden"
            f" FROM receipts AS r WHERE {words.among('r.id', 'receipts')} ORDER BY r.id{lock}"
        )
        receipts = words.rows("receipts", {"id": NUMBER})
        self._delete_these = text(words.delete("receipts", "id", receipts, "1 = 1"))
        self._name_nobody_in = text(
            words.update("receipts", receipts, "receipts.id = j.id", {"sender_id": f"'{ERASED}'"})
        )

        # Events.
        self._rest_of_stream = text(
            "SELECT e.user_id, e.seq, e.reader_id = :user_id FROM events AS e"
            " WHERE e.user_id = :place AND e.seq > :number ORDER BY e.seq LIMIT :most"
        )
        self._more_streams = text(
            "SELECT e.user_id, e.seq, e.reader_id = :user_id FROM events AS e"
            " WHERE e.user_id > :place ORDER BY e.user_id, e.seq LIMIT :most"
        )
        told_of = words.rows("receipts", {"at": NUMBER, "user_id": ID})
        self._find_told = text(
            f"SELECT e.user_id, e.seq FROM {told_of} {words.join} events AS e"
            " ON e.at = j.at AND e.user_id = j.user_id WHERE e.reader_id = :user_id"
        )
        body = ("msg_id", "reader_id", "conversation_id", "device_id", "amount", "audience")
        events = words.rows("events", {"user_id": ID, "seq": NUMBER})
        self._blank = text(
            words.update(
                "events",
                events,
                "events.user_id = j.user_id AND events.seq = j.seq",
                dict.fromkeys(body, "NULL"),
            )
        )

    def ask(self, user_id: str, *, now: int) -> None:
        """A person is to be erased; one whose erasure has begun goes on being erased.

        Args:
            user_id: the person.
            now: ms.
        """
        self._writing.run(lambda connection: connection.change(self._ask, user_id=user_id, now=now))

    def asked(self) -> list[str]:
        """Those who are to be erased, in the order in which that was asked for."""
        rows = self._writing.run(lambda connection: connection.rows(self._asked))
        return [user_id for (user_id,) in rows]

    def begun(self, user_id: str) -> Erasure | None:
        """How far it is: where the next step begins; None when nothing is left to do."""
        rows = self._writing.run(lambda connection: connection.rows(self._get, user_id=user_id))
        return Erasure(user_id, Stage(rows[0][1]), *rows[0][2:]) if rows else None

    def step(self, user_id: str, *, limit: int = 1000) -> bool:
        """Go one step further.

        Args:
            user_id: the person.
            limit: rows that are changed in one transaction, at most; ten times as many are read.

        Returns:
            Whether nothing is left to do.
        """
        erasure = self.begun(user_id)
        if erasure is None:
            return True
        if erasure.stage is Stage.LEAVING and self._leave(user_id):
            return False
        return self._writing.run(partial(self._step, user_id=user_id, limit=limit))

    def _leave(self, user_id: str) -> bool:
        """Leave some conversations, or settle a piece; whether there was anything to do."""
        joined = self._writing.run(
            lambda connection: connection.rows(
                self._find_joined, user_id=user_id, most=CONVERSATIONS
            )
        )
        if joined:
            self._conversations.change(
                [MembersChange(conversation_id, [], [user_id]) for (conversation_id,) in joined]
            )
            return True
        unsettled = self._writing.run(
            lambda connection: connection.rows(self._find_unsettled, user_id=user_id)
        )
        return bool(unsettled) and self._conversations.settle(unsettled[0])

    def _step(self, connection: Connection, user_id: str, limit: int) -> bool:
        with connection.transaction():
            rows = connection.rows(self._lock, user_id=user_id)
            if not rows:
                return True
            erasure = Erasure(user_id, Stage(rows[0][1]), *rows[0][2:])
            further = self._stages[erasure.stage](connection, erasure, limit)
            if further.stage is Stage.DONE and connection.rows(self._find_any, user_id=user_id):
                # They were added again.
                further = erasure.at(Stage.LEAVING)
            if further.stage is Stage.DONE:
                connection.change(self._finish, user_id=user_id)
            else:
                connection.change(self._move, **further._asdict())
        return further.stage is Stage.DONE

    def _settled(self, _connection: Connection, erasure: Erasure, _limit: int) -> Erasure:
        """All is left: see step()."""
        return erasure.at(Stage.MESSAGES)

    def _leave_messages(self, connection: Connection, erasure: Erasure, limit: int) -> Erasure:
        more = self._disown(connection, erasure.user_id, limit)
        return erasure if more else erasure.at(Stage.EVENTS)

    def _delete_receipts(self, connection: Connection, erasure: Erasure, limit: int) -> Erasure:
        return self._delete_read(connection, erasure, limit) or erasure.at(
            Stage.MEMBERS, erasure.place
        )

    def _look_again(self, connection: Connection, erasure: Erasure, limit: int) -> Erasure:
        if self._disown(connection, erasure.user_id, limit):
            return erasure
        return self._delete_read(connection, erasure, limit) or erasure.at(Stage.STREAM)

    def _disown(self, connection: Connection, user_id: str, limit: int) -> bool:
        """Name nobody as the sender of the next messages; whether there may be more."""
        found = connection.rows(self._find_sent, user_id=user_id, most=limit)
        if found:
            connection.together(told(self._lock_messages, messages=sorted(found)))
            connection.change(self._name_nobody, messages=document(found))
            connection.change(self._not_due, messages=document(found))
        return len(found) == limit

    def _blank_events(self, connection: Connection, erasure: Erasure, limit: int) -> Erasure:
        """Take the body from those of the next events that name the person."""
        user_id, _, place, number = erasure
        most = limit * SCAN
        page: list[Row] = []
        if place:
            page = connection.rows(
                self._rest_of_stream, user_id=user_id, place=place, number=number, most=most
            )
        if len(page) < most:
            page += connection.rows(
                self._more_streams, user_id=user_id, place=place, most=most - len(page)
            )
        named = [(owner, seq) for owner, seq, names in page if names and owner != user_id]
        if named:
            connection.change(self._blank, events=document(named[:limit]))
        if len(named) > limit:
            return erasure.at(Stage.EVENTS, *named[limit - 1])
        if len(page) == most:
            return erasure.at(Stage.EVENTS, *page[-1][:2])
        [(highest,)] = connection.rows(self._highest)
        return erasure.at(Stage.RECEIPTS, str(highest))

    def _delete_read(self, connection: Connection, erasure: Erasure, limit: int) -> Erasure | None:
        """Delete the person's own of the next receipts; None when all are done.

        Nothing is registered under these locks: who registers a message locks its receipts.
        """
        user_id, after = erasure.user_id, erasure.number
        [(end,)] = connection.rows(self._page_end, after=after, most=limit * SCAN)
        if end is None:
            return None
        found = connection.rows(
            self._find_receipts, user_id=user_id, after=after, end=end, most=limit
        )
        if not found:
            return erasure._replace(number=end)
        msg_ids = singles(sorted({msg_id for _, msg_id in found}))
        ids = singles(number for number, _ in found)
        registered, receipts = connection.together(
            told(self._lock_messages, messages=msg_ids), told(self._lock_receipts, receipts=ids)
        )
        [still] = connection.together(told(self._find_messages, messages=msg_ids))
        if sorted(still) != sorted(registered):
            raise Changed
        known = {msg_id for (msg_id,) in registered}
        if known and connection.rows(self._find_back, user_id=user_id):
            # They were added again, and may have marked: all is counted so as they leave. Asked
            # after the lock: whoever made one of these receipts as a member is seen as one.
            return erasure.at(Stage.LEAVING)
        own: list[int] = []
        sent: list[int] = []
        counted: list[str] = []
        told_of: set[tuple[int, str]] = set()
        for number, msg_id, reader_id, sender_id, read_at, hidden in receipts:
            if reader_id == user_id:
                own.append(number)
                told_of.add((read_at, sender_id))
                if msg_id in known and hidden != Shown.UNCOUNTED:
                    counted.append(msg_id)
            elif sender_id == user_id:
                sent.append(number)
        connection.change(self._uncount, messages=document(singles(counted)))
        connection.change(self._delete_these, receipts=document(singles(own)))
        connection.change(self._name_nobody_in, receipts=document(singles(sent)))
        events = connection.rows(
            self._find_told, receipts=document(sorted(told_of)), user_id=user_id
        )
        if events:
            connection.change(self._blank, events=document(sorted(events)))
        return erasure._replace(number=found[-1][0] if len(found) == limit else end)

    def _forget_members(self, connection: Connection, erasure: Erasure, limit: int) -> Erasure:
        """Delete times in conversations that are over and settled."""
        user_id = erasure.user_id
        left = connection.rows(self._find_left, user_id=user_id, most=limit)
        if left:
            connection.change(self._delete_members, times=document(sorted(left)))
            return erasure
        if connection.rows(self._find_any, user_id=user_id):
            # They were added again.
            return erasure.at(Stage.LEAVING)
        return erasure.at(Stage.LATE, "", max(0, int(erasure.place) - ON_THEIR_WAY))


class _Own:
    """The last stages: what is the person's own.

    Args:
        words: the database's.
    """

    def __init__(self, words: Words) -> None:
        text, lock = words.text, words.for_update
        self._lock_stream = text(
            f"SELECT s.head FROM streams AS s WHERE s.user_id = :user_id{lock}"
        )
        self._find_events = text(
            "SELECT e.seq FROM events AS e WHERE e.user_id = :user_id ORDER BY e.seq LIMIT :most"
        )
        self._delete_events = text("DELETE FROM events WHERE user_id = :user_id AND seq <= :last")
        self._raise_floor = text("UPDATE streams SET floor = :floor WHERE user_id = :user_id")
        self._delete_stream = text("DELETE FROM streams WHERE user_id = :user_id")
        self._keep_head = text(
            "UPDATE streams SET user_id = :stone, floor = head WHERE user_id = :user_id"
        )
        self._find_batches = text(
            "SELECT o.id, o.events FROM outbox AS o WHERE o.id > :after ORDER BY o.id"
            f" LIMIT :most{lock}"
        )
        self._delete_batch = text("DELETE FROM outbox WHERE id = :id")
        self._rewrite_batch = text("UPDATE outbox SET events = :events WHERE id = :id")
        self._find_devices = text(
            "SELECT d.user_id, d.device_id FROM devices AS d WHERE d.user_id = :user_id LIMIT :most"
        )
        devices = words.rows("rows", {"user_id": ID, "device_id": ID})
        self._delete_devices = text(words.delete("devices", "user_id, device_id", devices, "1 = 1"))
        self._find_preferences = text(
            "SELECT p.user_id, p.conversation_id FROM preferences AS p"
            " WHERE p.user_id = :user_id LIMIT :most"
        )
        preferences = words.rows("rows", {"user_id": ID, "conversation_id": ID})
        self._delete_preferences = text(
            words.delete("preferences", "user_id, conversation_id", preferences, "1 = 1")
        )

    def trim(self, connection: Connection, erasure: Erasure, limit: int) -> Erasure:
        """Delete the next events of the person's stream, at last the stream."""
        user_id = erasure.user_id
        ends = connection.rows(self._lock_stream, user_id=user_id)
        found = connection.rows(self._find_events, user_id=user_id, most=limit)
        if found:
            connection.change(self._delete_events, user_id=user_id, last=found[-1][0])
        if len(found) == limit:
            connection.change(self._raise_floor, user_id=user_id, floor=found[-1][0])
            return erasure
        if ends and ends[0][0]:
            # Whoever comes by that name goes on behind it: a device that still has a position must
            # not take new events for those it has.
            stone = tombstone(user_id)
            connection.change(self._delete_stream, user_id=stone)
            connection.change(self._keep_head, user_id=user_id, stone=stone)
        else:
            connection.change(self._delete_stream, user_id=user_id)
        return erasure.at(Stage.OUTBOX)

    def unpublish(self, connection: Connection, erasure: Erasure, _limit: int) -> Erasure:
        """Take the person's stream out of the next batches that are to be published."""
        batches = connection.rows(self._find_batches, after=erasure.number, most=BATCHES)
        for number, contents in batches:
            events: Sequence[Any] = msgspec.json.decode(contents)
            kept = [event for event in events if event[0] != erasure.user_id]
            if not kept:
                connection.change(self._delete_batch, id=number)
            elif len(kept) < len(events):
                connection.change(self._rewrite_batch, id=number, events=document(kept))
        if len(batches) < BATCHES:
            return erasure.at(Stage.DEVICES)
        return erasure.at(Stage.OUTBOX, "", batches[-1][0])

    def forget_devices(self, connection: Connection, erasure: Erasure, limit: int) -> Erasure:
        """Delete the next devices."""
        found = connection.rows(self._find_devices, user_id=erasure.user_id, most=limit)
        connection.change(self._delete_devices, rows=document(found))
        return erasure if len(found) == limit else erasure.at(Stage.PREFERENCES)

    def forget_preferences(self, connection: Connection, erasure: Erasure, limit: int) -> Erasure:
        """Delete the next wishes."""
        found = connection.rows(self._find_preferences, user_id=erasure.user_id, most=limit)
        connection.change(self._delete_preferences, rows=document(found))
        return erasure if len(found) == limit else erasure.at(Stage.DONE)
