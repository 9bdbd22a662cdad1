"""What changes receipts and tells of it: marks, whole conversations, taking back, counts due."""

# ruff: noqa: S608 -- statements are put together from our own words; values never are among them

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from seenby.errors import Forbidden, NotFound, OwnMessage, TooLate
from seenby.model import Mark, Receipt
from seenby.rules import Shown
from seenby.store.base import Recorded, outcome
from seenby.store.connections import told
from seenby.store.statements import ID, RECEIPT, document
from seenby.store.writing import MEMBER, MESSAGE, NOT_READ, Changed, Look, Order, known_of
from seenby.tally import Conversation, Facts, Key, Member, Message, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from seenby.errors import Conflict
    from seenby.rules import Rules
    from seenby.store.connections import Connection
    from seenby.store.statements import Words
    from seenby.store.writing import Writing
    from seenby.tally import Refusal

CHUNK = 500
"""Messages of a conversation that are read in one transaction."""

LEAVING = 100
"""Messages at the start of a conversation that may be about to leave (``retention``)."""


_Wanted = dict[Key, list[int]]
"""The places of the marks of each (msg_id, reader_id)."""


class Step(msgspec.Struct, frozen=True):
    """What one transaction did; ``more``: there is more to do."""

    recorded: Recorded
    more: bool = False


class Withdrawn(msgspec.Struct, frozen=True):
    """A receipt that was taken back."""

    recorded: Recorded
    receipt: Receipt


class Recording:
    """Records marks and takes them back.

    Args:
        writing: how it is written.
        words: the database's.
        rules: who is told what.
    """

    def __init__(self, writing: Writing, words: Words, rules: Rules) -> None:
        """Put the statements together."""
        self._writing = writing
        self._rules = rules
        text = words.text
        self._numbers = text(
            "SELECT m.conversation_id, m.number FROM messages AS m"
            f" WHERE {words.among('m.msg_id', 'messages')}"
        )
        self._find_due = text(
            "SELECT p.msg_id FROM pending_counts AS p WHERE p.due <= :now"
            " ORDER BY p.due LIMIT :most"
        )
        self._not_due = text(
            words.delete(
                "pending_counts", "msg_id", words.rows("messages", {"msg_id": ID}), "1 = 1"
            )
        )
        self._find_receipt = text(
            f"SELECT {RECEIPT}, r.hidden FROM receipts AS r"
            " WHERE r.msg_id = :msg_id AND r.reader_id = :reader_id"
        )
        self._delete_receipt = text("DELETE FROM receipts WHERE id = :id")
        self._count_given_up = text(
            "SELECT COUNT(*) FROM (SELECT m.msg_id, m.number, m.sender_id FROM messages AS m"
            " WHERE m.conversation_id = :conversation_id ORDER BY m.number LIMIT :most) AS m"
            " WHERE m.number > :number AND m.number <= :base AND m.sender_id <> :user_id"
            " AND NOT EXISTS (SELECT 1 FROM receipts AS r WHERE r.msg_id = m.msg_id"
            " AND r.reader_id = :user_id)"
        )
        # From the number after the member's base on, in order.
        self._find_unread = text(
            f"SELECT {MESSAGE} {NOT_READ} WHERE m.conversation_id = :conversation_id"
            " AND m.number > :base AND m.number <= :last AND m.sender_id <> :user_id"
            " AND r.id IS NULL ORDER BY m.number LIMIT :most"
        )
        self._find_member = text(
            f"SELECT {MEMBER} FROM members AS i WHERE i.conversation_id = :conversation_id"
            " AND i.user_id = :user_id AND i.until IS NULL"
        )

    # Marks

    def record(
        self, marks: Sequence[Mark], *, now: int, lease: float | None, published: Sequence[int] = ()
    ) -> Recorded:
        """Record marks in one transaction; see the port."""
        wanted: _Wanted = {}
        for place, mark in enumerate(marks):
            if not mark.own:
                wanted.setdefault((mark.msg_id, mark.reader_id), []).append(place)
        order = Order(now, lease, published)
        return self._writing.run(lambda connection: self._record(connection, marks, wanted, order))

    def _record(
        self, connection: Connection, marks: Sequence[Mark], wanted: _Wanted, order: Order
    ) -> Recorded:
        writing = self._writing
        look = Look({}, {}, Facts())
        if wanted:
            look = writing.look(connection, [marks[places[0]] for places in wanted.values()])
        receipts, known = look.receipts, look.known
        new = [key for key in wanted if key not in receipts]
        plain = [key for key in new if key[0] not in known]
        registered = [key for key in new if key[0] in known]
        tally = Tally(self._rules, look.facts, order.now)
        refused: dict[int, Refusal] = {}

        attempt = partial(_attempt, marks, wanted, refused)
        attempt(plain, tally.plain)
        if registered or tally.made:
            lock = writing.lock(connection, look, plain, registered, tally)
            attempt(registered, tally.registered)
            tally.settle_counts()
            done = writing.write(connection, tally, lock, order)
        else:
            done = writing.nothing(connection, order)
        for receipt in done.receipts:
            receipts[receipt.msg_id, receipt.reader_id] = receipt
        outcomes: list[Receipt | Conflict | Refusal] = []
        for place, mark in enumerate(marks):
            if mark.own:
                outcomes.append(OwnMessage())
            elif place in refused:
                outcomes.append(refused[place])
            else:
                first = receipts[mark.msg_id, mark.reader_id]
                outcomes.append(outcome(mark, first, registered=mark.msg_id in known))
        return done.recorded(outcomes)

    # Whole conversations

    def read_conversation(
        self,
        user_id: str,
        conversation_id: str,
        up_to: str | None,
        *,
        now: int,
        lease: float | None,
        published: Sequence[int] = (),
    ) -> Step:
        """Read what *user_id* has not read of a conversation: the next CHUNK messages of it.

        Args:
            user_id: the reader.
            conversation_id: the conversation.
            up_to: the last message to be read; None: all there are.
            now: ms; becomes ``read_at`` of all new receipts.
            lease: see ``record``.
            published: see ``record``.

        Raises:
            Forbidden: there is no such conversation, or the reader is not a member.
            NotFound: *up_to* is not a message of it.
        """
        order = Order(now, lease, published)
        return self._writing.run(
            lambda connection: self._read_on(connection, user_id, conversation_id, up_to, order)
        )

    def _read_on(
        self,
        connection: Connection,
        user_id: str,
        conversation_id: str,
        up_to: str | None,
        order: Order,
    ) -> Step:
        whose = {"conversation_id": conversation_id, "user_id": user_id}
        rows = connection.rows(self._find_member, **whose)
        if not rows:
            raise Forbidden("this conversation is not known, or this user is not a member")
        member = Member(*rows[0])
        last = self._last(connection, conversation_id, up_to)
        unread = {**whose, "base": member.base, "last": last, "most": CHUNK}
        found = [Message(*row) for row in connection.rows(self._find_unread, **unread)]
        marks = [Mark(m.msg_id, user_id, m.sender_id, conversation_id) for m in found]
        look = self._writing.look(connection, marks) if found else Look({}, {}, Facts())
        if look.receipts:
            raise Changed
        more = len(found) == CHUNK
        if not found and last <= member.base:
            return Step(self._writing.nothing(connection, order).recorded([]), more)
        tally = Tally(self._rules, look.facts, order.now)
        keys = [(mark.msg_id, user_id) for mark in marks]
        lock = self._writing.lock(
            connection, look, [], keys, tally, also=(conversation_id, user_id)
        )
        held = [m.base for m in look.facts.members[conversation_id, user_id] if m.until is None]
        if not held or held[0] < member.base:
            # Something was taken back meanwhile, before the place from which was looked.
            raise Changed
        for mark in marks:
            if tally.registered(mark, quiet=True) is not None:
                raise Changed
        if marks:
            tally.up_to(look.facts.messages[marks[-1].msg_id], user_id)
        if more:
            last = found[-1].number
        # Under the lock nobody takes anything back: what was found is all there is up to the last.
        # The next chunk is looked for from there on, not from the start again.
        again = connection.rows(self._find_unread, **unread | {"last": last})
        if [row[0] for row in again] != [mark.msg_id for mark in marks]:
            raise Changed
        tally.compact(conversation_id, user_id, last)
        tally.settle_counts()
        return Step(self._writing.write(connection, tally, lock, order).recorded([]), more)

    def _last(self, connection: Connection, conversation_id: str, up_to: str | None) -> int:
        """The number of the last message to be read."""
        if up_to is not None:
            [rows] = connection.together(told(self._numbers, messages=[(up_to,)]))
            if not rows or rows[0][0] != conversation_id:
                raise NotFound("up_to_msg_id is not a message of this conversation")
            number: int = rows[0][1]
            return number
        [rows] = connection.together(
            told(self._writing.conversations, conversations=[(conversation_id,)])
        )
        return Conversation(*rows[0]).last

    # Taking back

    def withdraw(
        self,
        msg_id: str,
        reader_id: str,
        *,
        now: int,
        lease: float | None,
        published: Sequence[int] = (),
    ) -> Withdrawn:
        """Take a receipt back.

        Raises:
            NotFound: there is no such receipt.
            TooLate: it is older than the rules allow.
        """
        order = Order(now, lease, published)
        before: list[Receipt] = []
        return self._writing.run(
            lambda connection: self._withdraw(connection, msg_id, reader_id, order, before)
        )

    def _withdraw(
        self,
        connection: Connection,
        msg_id: str,
        reader_id: str,
        order: Order,
        before: list[Receipt],
    ) -> Withdrawn:
        rows = connection.rows(self._find_receipt, msg_id=msg_id, reader_id=reader_id)
        if not rows:
            if not before:
                raise NotFound("this reader has not marked this message")
            # The answer to our own commit was lost.
            return Withdrawn(self._writing.nothing(connection, order).recorded([]), before[-1])
        *columns, hidden = rows[0]
        receipt = Receipt(*columns)
        if order.now - receipt.read_at > self._rules.unread_window_ms:
            hours = self._rules.unread_window_ms / 3_600_000
            raise TooLate(f"a receipt may be taken back for {hours:g} hours")
        mark = Mark(msg_id, reader_id, receipt.sender_id, receipt.conversation_id)
        look = self._writing.look(connection, [mark])
        if look.receipts != {(msg_id, reader_id): receipt}:
            raise Changed
        tally = Tally(self._rules, look.facts, order.now)
        key = [(msg_id, reader_id)]
        plain, registered = ([], key) if msg_id in look.known else (key, [])
        lock = self._writing.lock(
            connection, look, plain, registered, tally, streams=[receipt.sender_id]
        )
        if not connection.change(self._delete_receipt, id=receipt.id):
            raise Changed
        tally.withdraw(receipt, Shown(hidden), self._given_up(connection, receipt, look.facts))
        tally.settle_counts()
        before.append(receipt)
        done = self._writing.write(connection, tally, lock, order)
        return Withdrawn(done.recorded([]), receipt)

    def _given_up(self, connection: Connection, receipt: Receipt, facts: Facts) -> int:
        """How many messages after it are done for the reader, but not read: they are leaving."""
        message = facts.messages.get(receipt.msg_id)
        member = message and facts.member(receipt.reader_id, message)
        if not message or not member or message.number > member.base:
            return 0
        [(given_up,)] = connection.rows(
            self._count_given_up,
            conversation_id=message.conversation_id,
            number=message.number,
            base=member.base,
            user_id=member.user_id,
            most=LEAVING,
        )
        return int(given_up)

    # Counts that were held back

    def tell_counts(
        self, *, limit: int, now: int, lease: float | None, published: Sequence[int] = ()
    ) -> Step:
        """Tell up to *limit* counts that are due."""
        order = Order(now, lease, published)
        return self._writing.run(lambda connection: self._tell_counts(connection, limit, order))

    def _tell_counts(self, connection: Connection, limit: int, order: Order) -> Step:
        due = connection.rows(self._find_due, now=order.now, most=limit)
        if not due:
            return Step(self._writing.nothing(connection, order).recorded([]))
        [found] = connection.together(told(self._writing.find_messages, messages=due))
        known = known_of(found)
        look = Look({}, known, Facts())
        tally = Tally(self._rules, look.facts, order.now)
        lock = self._writing.lock(
            connection,
            look,
            [],
            [],
            tally,
            streams=[message.sender_id for message in known.values()],
            messages=[msg_id for (msg_id,) in due],
        )
        for message in look.facts.messages.values():
            if message.told != message.readers:
                tally.count(message)
        tally.settle_counts()
        connection.change(self._not_due, messages=document(due))
        recorded = self._writing.write(connection, tally, lock, order).recorded([])
        return Step(recorded, more=len(due) == limit)


def _attempt(
    marks: Sequence[Mark],
    wanted: _Wanted,
    refused: dict[int, Refusal],
    keys: Iterable[Key],
    add: Callable[[Mark], Refusal | None],
) -> None:
    """Of several marks of one key the first that is not refused makes the receipt."""
    for key in keys:
        for place in wanted[key]:
            refusal = add(marks[place])
            if refusal is None:
                break
            refused[place] = refusal
