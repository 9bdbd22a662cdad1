"""How a change of receipts is written: look, lock, write, in three packets.

Whoever changes receipts or tells of them goes through here: what is known is looked up while
nothing is locked; then streams, messages and members are locked, in this order and each sorted;
then all is written and committed. What to write is ``tally``'s to decide in between. A message
that was taken out between look and lock makes all of it run again (Changed), and so does one that
was registered meanwhile: who registers a message writes it, and then looks for its receipts; who
writes receipts of a message that is not registered looks for it afterwards. So one finds the other.
"""

# ruff: noqa: S608 -- statements are put together from our own words; values never are among them

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from seenby.model import ERASED, USER_ID_MAX, Receipt
from seenby.store.base import Recorded
from seenby.store.connections import told
from seenby.store.preferences import find_wishes, wishes_of
from seenby.store.statements import ID, NUMBER, document, milliseconds, singles, the_epoch
from seenby.tally import Conversation, Facts, Key, Member, Message, numbered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from seenby.errors import Conflict
    from seenby.model import Event, Mark
    from seenby.rules import Rules, Shown
    from seenby.store.connections import Connection, Connections, Row, Told
    from seenby.store.statements import Statements, Words
    from seenby.tally import Refusal, Tally

MESSAGE = (
    "m.msg_id, m.conversation_id, m.number, m.sender_id, m.sent_at, m.sent_to, m.audience,"
    " m.readers, m.told, m.told_at"
)
"""A message's columns in the order of ``tally.Message``."""

MEMBER = "i.conversation_id, i.user_id, i.since, i.until, i.settled, i.base, i.done"
"""A member's columns in the order of ``tally.Member``."""

NOT_READ = (
    "FROM messages AS m LEFT JOIN receipts AS r ON r.msg_id = m.msg_id AND r.reader_id = :user_id"
)
"""Messages, and the receipts of a reader: ``r.id IS NULL`` where there is none. Of NOT EXISTS
MariaDB would make a list of all that the reader has ever read, by reading all receipts there are.
"""

T = TypeVar("T")


class Order(NamedTuple):
    """How a transaction is to be written; see ``Store.record``."""

    now: int
    lease: float | None
    published: Sequence[int]


class Changed(Exception):  # noqa: N818 -- no failure: all is done anew
    """What was looked at has changed before it was locked."""


class Known(NamedTuple):
    """What never changes of a registered message, but for a sender who is erased."""

    conversation_id: str
    sender_id: str
    sent_to: int


class Look(msgspec.Struct):
    """What is known of some marks before anything is locked.

    ``known`` has each registered message, without its counters.
    """

    receipts: dict[Key, Receipt]
    known: dict[str, Known]
    facts: Facts


class Lock(NamedTuple):
    """What is held: the heads before anything was raised, and by how much each was so far.

    ``plain`` are the messages that must not be registered when it is committed.
    """

    heads: dict[str, int]
    raised: Counter[str]
    epoch: str
    plain: set[str]


class Done(NamedTuple):
    """What was written."""

    receipts: list[Receipt]
    events: list[Event]
    outbox_id: int | None
    epoch: str
    due: int | None

    def recorded(self, outcomes: list[Receipt | Conflict | Refusal]) -> Recorded:
        """The answer to whoever asked."""
        return Recorded(
            outcomes, self.events, self.outbox_id, self.epoch, len(self.receipts), self.due
        )


class Writing:
    """Looks, locks and writes.

    Args:
        connections: to the database.
        words: the database's.
        statements: those of the spine.
        rules: who is told what.
    """

    def __init__(
        self, connections: Connections, words: Words, statements: Statements, rules: Rules
    ) -> None:
        """Put the statements together."""
        self._connections = connections
        self._statements = statements
        self._rules = rules
        text = words.text
        self.find_messages = text(
            "SELECT m.msg_id, m.conversation_id, m.sender_id, m.sent_to FROM messages AS m"
            f" WHERE {words.among('m.msg_id', 'messages')}"
        )
        self._wishes = find_wishes(words)
        self._lock_messages = text(
            f"SELECT {MESSAGE} FROM messages AS m WHERE {words.among('m.msg_id', 'messages')}"
            f" ORDER BY m.msg_id{words.for_update}"
        )
        # Not among(): the key has a third column, and MariaDB would rather read a small table whole
        # and compare each row with each of the list: 67 us per mark instead of 3.
        keys = words.rows("members", {"conversation_id": ID, "user_id": ID})
        self._lock_members = text(
            f"SELECT {MEMBER} FROM {keys} {words.join} members AS i"
            " ON i.conversation_id = j.conversation_id AND i.user_id = j.user_id"
            f"{words.for_update}"
        )
        self.conversations = text(
            "SELECT c.conversation_id, c.type, c.members, c.last FROM conversations AS c"
            f" WHERE {words.among('c.conversation_id', 'conversations')}"
        )
        # Where one of them is registered the epoch's key is in the way: a race that was lost.
        registered = "INSERT INTO meta (name, value) SELECT 'epoch', '' FROM messages AS m"
        self._not_registered = text(
            f"{registered} WHERE {words.among('m.msg_id', 'messages')} LIMIT 1{words.for_update}"
        )
        self._none_registered = text(f"{registered} LIMIT 1{words.for_update}")
        self._heads = text(
            f"SELECT s.user_id, s.head FROM streams AS s WHERE {words.among('s.user_id', 'users')}"
        )
        self._raise_new = text(
            "UPDATE streams SET head = head + :head, floor = :head WHERE user_id = :user_id"
        )
        # As long as nothing was ever registered, or wished for, nothing is looked up: 6 us a mark.
        self._any_message = text("SELECT 1 FROM messages LIMIT 1")
        self._any_wish = text("SELECT 1 FROM preferences LIMIT 1")
        self._registers = self._wishes_there = False
        counted = words.rows(
            "counted",
            {
                "msg_id": ID,
                "audience": NUMBER,
                "readers": NUMBER,
                "told": NUMBER,
                "told_at": NUMBER,
            },
        )
        self._update_messages = text(
            words.update(
                "messages",
                counted,
                "messages.msg_id = j.msg_id",
                {name: f"j.{name}" for name in ("audience", "readers", "told", "told_at")},
            )
        )
        moved = words.rows(
            "moved",
            {
                "conversation_id": ID,
                "user_id": ID,
                "since": NUMBER,
                "base": NUMBER,
                "done": NUMBER,
            },
        )
        self._update_members = text(
            words.update(
                "members",
                moved,
                "members.conversation_id = j.conversation_id AND members.user_id = j.user_id"
                " AND members.since = j.since",
                {"base": "j.base", "done": "j.done"},
            )
        )
        due = words.rows("due", {"msg_id": ID, "due": NUMBER})
        self._hold_back = text(
            f"INSERT INTO pending_counts (msg_id, due) SELECT j.msg_id, j.due FROM {due}"
            f" {words.upsert('msg_id')} due = pending_counts.due"
        )

    # Look

    def look(self, connection: Connection, marks: Sequence[Mark]) -> Look:
        """First receipts, messages, and what readers and senders wish."""
        users = {mark.reader_id for mark in marks}
        if self._rules.reciprocal:
            users.update(mark.sender_id for mark in marks)
        asked = self._registers, self._wishes_there
        receipts, messages, wishes = connection.together(
            told(
                self._statements.find_receipts,
                keys=[(mark.msg_id, mark.reader_id) for mark in marks],
            ),
            told(self.find_messages, messages=singles({mark.msg_id for mark in marks}))
            if self._registers
            else told(self._any_message),
            told(self._wishes, users=singles(users))
            if self._wishes_there
            else told(self._any_wish),
        )
        if (messages and not asked[0]) or (wishes and not asked[1]):
            self._registers |= bool(messages)
            self._wishes_there |= bool(wishes)
            return self.look(connection, marks)
        return Look(
            {(row[1], row[2]): Receipt(*row) for row in receipts},
            known_of(messages),
            Facts(wishes=wishes_of(wishes)),
        )

    # Lock

    def lock(
        self,
        connection: Connection,
        look: Look,
        plain: Sequence[Key],
        registered: Sequence[Key],
        tally: Tally,
        *,
        streams: Iterable[str] = (),
        messages: Iterable[str] = (),
        also: Key | None = None,
    ) -> Lock:
        """Begin; lock streams, messages and members, and read what they hold into the facts.

        Args:
            connection: which.
            look: what was found before.
            plain: marks of messages that are not registered: their events are in *tally*.
            registered: marks of messages that are; as a rule each makes an event for the sender,
                and one for the reader. Streams are raised by that at once, and put right later.
            tally: what is decided already.
            streams: of further users who may be told of something.
            messages: further messages.
            also: a member (conversation, user) of whom more than marks changes.
        """
        known, facts = look.known, look.facts
        told_of = {known[msg_id].sender_id for msg_id, _ in registered}
        raised = self._expected(look, registered, tally)
        # Sorted: everybody locks in the same order.
        locks = sorted({*raised, *told_of, *streams} - {ERASED})
        msg_ids = sorted({*(msg_id for msg_id, _ in registered), *messages})
        members = {(known[msg_id][0], reader_id) for msg_id, reader_id in registered}
        if also is not None:
            members.add(also)
        said: dict[str, Told] = {"begin": told(self._statements.begin)}
        if locks:
            said["heads"] = told(
                self._statements.raise_heads,
                rows=[(user_id, raised[user_id], 0) for user_id in locks],
                users=singles(locks),
            )
        if msg_ids:
            said["messages"] = told(self._lock_messages, messages=singles(msg_ids))
        if members:
            conversations = singles({conversation_id for conversation_id, _ in members})
            said["members"] = told(self._lock_members, members=document(sorted(members)))
            # After the lock: how many messages came, less how many are done, is never negative.
            said["conversations"] = told(self.conversations, conversations=conversations)
        if self._rules.reciprocal and told_of:
            said["wishes"] = told(self._wishes, users=singles(told_of))
        said["epoch"] = told(self._statements.epoch)
        results = connection.together(*said.values())
        found = dict(zip([name for name in said if name != "begin"], results, strict=True))
        facts.messages = {row[0]: Message(*row) for row in found.get("messages", ())}
        for msg_id in msg_ids:
            if (message := facts.messages.get(msg_id)) is None:
                changed = msg_id in known
            else:
                changed = known.get(msg_id) != Known(
                    message.conversation_id, message.sender_id, message.sent_to
                )
            if changed:
                raise Changed
        for row in found.get("members", ()):
            facts.members[row[0], row[1]].append(Member(*row))
        facts.conversations = {row[0]: Conversation(*row) for row in found.get("conversations", ())}
        facts.wishes |= wishes_of(found.get("wishes", ()))
        heads = {user_id: head - raised[user_id] for user_id, head in found.get("heads", ())}
        self._go_on(connection, [user_id for user_id, head in heads.items() if not head], heads)
        return Lock(heads, raised, the_epoch(found["epoch"]), {msg_id for msg_id, _ in plain})

    def _go_on(self, connection: Connection, new: list[str], heads: dict[str, int]) -> None:
        """Streams that are new go on where one of the same name ended that was erased."""
        stones = {tombstone(user_id): user_id for user_id in new}
        if not stones:
            return
        [found] = connection.together(told(self._heads, users=singles(stones)))
        for stone, head in found:
            heads[stones[stone]] = head
            connection.change(self._raise_new, user_id=stones[stone], head=head)

    def _expected(self, look: Look, registered: Sequence[Key], tally: Tally) -> Counter[str]:
        """How many events each user's stream is likely to get; 0: perhaps some."""
        expected = Counter([event.sender_id for event in tally.events])
        for msg_id, reader_id in registered:
            message = look.known[msg_id]
            expected[message.sender_id] += message.sent_to <= self._rules.aggregate_over
            if self._rules.sync_reader:
                expected[reader_id] += 1
        expected.pop(ERASED, None)
        return expected

    # Write

    def write(self, connection: Connection, tally: Tally, lock: Lock, order: Order) -> Done:
        """Write what was decided, and commit."""
        statements = self._statements
        made = tally.made
        events = numbered(tally.events, lock.heads)
        said: list[Told] = []
        if made:
            said.append(
                told(
                    statements.insert_receipts,
                    rows=[_receipt_row(mark, order.now, shown) for mark, shown in made],
                    keys=[(mark.msg_id, mark.reader_id) for mark, _ in made],
                )
            )
        if lock.plain and self._registers:
            said.append(told(self._not_registered, messages=singles(lock.plain)))
        elif lock.plain:
            said.append(told(self._none_registered))
        if events:
            said.append(told(statements.insert_events, rows=[_event_row(e) for e in events]))
        said += self._changes(tally, lock, events)
        published = events and order.lease is not None
        if events and order.lease is not None:
            # One row for the whole batch: which events, and the trace of each.
            contents = document([(event.sender_id, event.seq, event.trace) for event in events])
            said.append(
                told(statements.insert_outbox, lease=milliseconds(order.lease), events=contents)
            )
        if order.published:
            said.append(told(statements.discard, ids=singles(order.published)))
        results = connection.together(*said, told(statements.commit))
        numbers = (
            {(msg_id, reader_id): number for number, msg_id, reader_id in results[0]}
            if made
            else {}
        )
        return Done(
            [m.mark.receipt(numbers[m.mark.msg_id, m.mark.reader_id], order.now) for m in made],
            events,
            results[-1][0][0] if published else None,
            lock.epoch,
            min(tally.due.values(), default=None),
        )

    def _changes(self, tally: Tally, lock: Lock, events: Sequence[Event]) -> list[Told]:
        """What else is to be changed: heads that were not raised right, and counters."""
        said: list[Told] = []
        more = Counter([event.sender_id for event in events])
        more.subtract(lock.raised)
        rows = [(user_id, more[user_id], 0) for user_id in sorted(more) if more[user_id]]
        if rows:
            said.append(told(self._statements.raise_heads.insert, rows=rows))
        if tally.changed_messages:
            counted = [
                (m.msg_id, m.audience, m.readers, m.told, m.told_at)
                for m in tally.changed_messages.values()
            ]
            said.append(told(self._update_messages, counted=document(counted)))
        if tally.changed_members:
            moved = [
                (m.conversation_id, m.user_id, m.since, m.base, m.done)
                for m in tally.changed_members.values()
            ]
            said.append(told(self._update_members, moved=document(moved)))
        if tally.due:
            said.append(told(self._hold_back, due=document(list(tally.due.items()))))
        return said

    def nothing(self, connection: Connection, order: Order) -> Done:
        """There is nothing to write but what is published already."""
        said = [told(self._statements.epoch)]
        if order.published:
            said.append(told(self._statements.discard, ids=singles(order.published)))
        epoch, *_ = connection.together(*said)
        return Done([], [], None, the_epoch(epoch), None)

    def run(self, work: Callable[[Connection], T]) -> T:
        """Do *work* in one transaction, again when what it looked at has changed."""

        def attempt(connection: Connection) -> T:
            while True:
                try:
                    return work(connection)
                except Changed:
                    connection.undo()

        return self._connections.run(attempt, racing=True)


def tombstone(user_id: str) -> str:
    """Under which name the head of an erased user's stream stands, so that it is not used twice."""
    return ERASED + sha256(user_id.encode()).hexdigest()[: USER_ID_MAX - len(ERASED)]


def known_of(rows: Iterable[Row]) -> dict[str, Known]:
    """Messages as ``find_messages`` finds them."""
    return {msg_id: Known(*rest) for msg_id, *rest in rows}


def _receipt_row(mark: Mark, now: int, shown: Shown) -> Row:
    return (
        mark.msg_id,
        mark.reader_id,
        mark.sender_id,
        mark.conversation_id,
        mark.conversation_type,
        mark.device_id,
        now,
        int(shown),
    )


def _event_row(event: Event) -> Row:
    return (
        event.sender_id,
        event.seq,
        event.msg_id,
        event.reader_id,
        event.conversation_id,
        event.device_id,
        event.at,
        int(event.kind),
        event.count,
        event.of,
    )
