"""Conversations against a simple model, in any order of whatever may happen to them.

The model keeps a set of those each message was sent to, a set of those who have left since, and a
dict of receipts. All else (counts, who has read and who has not, what is unread, every event of
every stream, who may know what) follows from these in a line each, and is compared with what an
SQLite store says after every step. ``verify`` must have nothing to say either.
"""

from __future__ import annotations

import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)

from seenby import events as wire
from seenby.errors import Forbidden, Mismatch, NotFound, OwnMessage, TooLate
from seenby.model import ERASED, SELF_KINDS, Event, Kind, Mark, NewMessage, Receipt
from seenby.rules import Rules, Shown, is_crowd
from seenby.store.base import Want
from seenby.store.conversations import MembersChange, NewConversation
from seenby.store.schema import migrate
from seenby.store.sql import open_store
from seenby.tally import TELL_EVERY_MS, Conversation, Message

if TYPE_CHECKING:
    from seenby.model import ConversationType

# So many examples may take minutes on a busy machine.
pytestmark = pytest.mark.timeout(600)

USERS = ("ann", "ben", "cleo", "dora", "emil", "fay")
CONVERSATIONS: dict[str, ConversationType] = {"team": "group", "pair": "private"}
WINDOW_MS = 50_000

users = st.sampled_from(USERS)
conversation_ids = st.sampled_from(sorted(CONVERSATIONS))
policies = st.builds(
    Rules,
    sync_reader=st.booleans(),
    forced=st.sampled_from([None, None, None, True, False]),
    count_hidden=st.booleans(),
    reciprocal=st.booleans(),
    aggregate_over=st.sampled_from([3, 1000]),
    unread_window_ms=st.just(WINDOW_MS),
)

Told = tuple[Kind, str, str, int | None, int | None]
"""An event as the model knows it: kind, message, reader, count, of."""


class Sent(msgspec.Struct):
    """A message of the model."""

    conversation_id: str
    sender_id: str
    sent_to: set[str]
    size: int
    left: set[str] = msgspec.field(default_factory=set)
    told_at: int = 0
    told: int = 0


class Conversations(RuleBasedStateMachine):
    """What may happen, and what must hold."""

    messages = Bundle("messages")

    def __init__(self) -> None:
        """Nothing is registered."""
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="seenby-conversations-"))
        self.now = 1_700_000_000_000
        self.sent: dict[str, Sent] = {}
        self.members: dict[str, set[str]] = {}
        self.receipts: dict[tuple[str, str], tuple[int, Shown]] = {}
        self.wishes: dict[tuple[str, str], bool] = {}
        self.streams: dict[str, list[Told | None]] = {}
        self.due: set[str] = set()

    @initialize(policy=policies)
    def begin(self, policy: Rules) -> None:
        """A store under some operator's rules."""
        shutil.copy(_template(), self.folder / "store.db")
        self.policy = policy
        self.store = open_store(f"sqlite:///{self.folder}/store.db", rules=policy)

    def teardown(self) -> None:
        """Close the store, and remove its file."""
        if hasattr(self, "store"):
            self.store.close()
        shutil.rmtree(self.folder)

    # The model's lines

    def counted(self, msg_id: str) -> int:
        """How many have read a message, as others may know it."""
        return sum(
            shown is not Shown.UNCOUNTED
            for (read, reader), (_, shown) in self.receipts.items()
            if read == msg_id and reader in self.sent[msg_id].sent_to
        )

    def of(self, msg_id: str) -> int:
        """How many a message was sent to who are still there, or have read it."""
        sent = self.sent[msg_id]
        return sum(
            user not in sent.left
            or self.receipts.get((msg_id, user), (0, Shown.UNCOUNTED))[1] is not Shown.UNCOUNTED
            for user in sent.sent_to
        )

    def unread(self, user: str) -> list[str]:
        """What a user has not read, in order."""
        return [
            msg_id
            for msg_id, sent in self.sent.items()
            if user in sent.sent_to - sent.left and (msg_id, user) not in self.receipts
        ]

    def tell(
        self,
        user: str,
        kind: Kind,
        msg_id: str,
        reader: str,
        count: int | None = None,
        of: int | None = None,
    ) -> None:
        """An event of a user's stream."""
        told = (kind, msg_id, reader, count, of)
        self.streams.setdefault(user, []).append(told)

    def tell_sender(self, msg_id: str, kind: Kind, reader: str, shown: Shown) -> str | None:
        """Tell of one receipt, if the sender may know; the message, if it is to be counted."""
        sent = self.sent[msg_id]
        sees = self.policy.sees_names(self.wishes, sent.sender_id, sent.conversation_id)
        crowd = is_crowd(CONVERSATIONS[sent.conversation_id], sent.size)
        by_name = shown is Shown.NAMED and sees
        if sent.sender_id == ERASED or shown is Shown.UNCOUNTED or not (by_name or crowd):
            return None
        if not by_name or sent.size > self.policy.aggregate_over:
            return msg_id
        self.tell(sent.sender_id, kind, msg_id, reader, self.counted(msg_id), self.of(msg_id))
        return None

    def tell_count(self, msg_id: str | None) -> None:
        """Tell a count, or note that it is to be told later."""
        if msg_id is None:
            return
        sent = self.sent[msg_id]
        large = sent.size > self.policy.aggregate_over
        if large and self.now < sent.told_at + TELL_EVERY_MS:
            self.due.add(msg_id)
            return
        sent.told, sent.told_at = self.counted(msg_id), self.now
        self.tell(sent.sender_id, Kind.COUNT, msg_id, "", self.counted(msg_id), self.of(msg_id))

    def tell_self(self, user: str, kind: Kind, msg_id: str) -> None:
        """Tell a reader's own devices how much is unread."""
        if not self.policy.sync_reader:
            return
        sent = self.sent[msg_id]
        unread = sum(
            self.sent[other].conversation_id == sent.conversation_id for other in self.unread(user)
        )
        current = user not in sent.left
        self.tell(user, kind, msg_id, user, unread if current else 0)

    def read(self, user: str, msg_id: str) -> str | None:
        """A user reads a message; the message, if its count is to be told."""
        sent = self.sent[msg_id]
        kind = CONVERSATIONS[sent.conversation_id]
        shown = self.policy.shown(
            self.wishes, user, sent.conversation_id, crowd=is_crowd(kind, sent.size)
        )
        self.receipts[msg_id, user] = self.now, shown
        return self.tell_sender(msg_id, Kind.RECEIPT, user, shown)

    # What may happen

    @rule(conversation_id=conversation_ids, who=st.sets(users))
    def put(self, conversation_id: str, who: set[str]) -> None:
        """A conversation is registered, or its members are."""
        kind = CONVERSATIONS[conversation_id]
        [found] = self.store.conversations.put([NewConversation(conversation_id, kind, [*who])])
        assert isinstance(found, Conversation)
        assert found.members == len(who)
        before = self.members.get(conversation_id, set())
        self.members[conversation_id] = set(who)
        self.leave(conversation_id, before - who)

    @rule(conversation_id=conversation_ids, add=st.sets(users), remove=st.sets(users))
    def change(self, conversation_id: str, add: set[str], remove: set[str]) -> None:
        """Members come and go."""
        change = MembersChange(conversation_id, [*(add - remove)], [*remove])
        [found] = self.store.conversations.change([change])
        if conversation_id not in self.members:
            assert isinstance(found, NotFound)
            return
        members = self.members[conversation_id]
        self.leave(conversation_id, members & remove)
        self.members[conversation_id] = (members | add) - remove

    def leave(self, conversation_id: str, leavers: set[str]) -> None:
        """Some have left, and that is settled."""
        while self.store.conversations.settle():
            pass
        for sent in self.sent.values():
            if sent.conversation_id == conversation_id:
                sent.left |= leavers

    @rule(target=messages, conversation_id=conversation_ids, sender=users, early=st.sets(users))
    def send(self, conversation_id: str, sender: str, early: set[str]) -> object:
        """A message is registered; some may have marked it before that."""
        msg_id = f"m{len(self.sent) + 1}"
        if conversation_id not in self.members:
            [found] = self.store.conversations.register(
                [NewMessage(msg_id, conversation_id, sender)], now=self.now
            )
            assert isinstance(found, NotFound)
            return multiple()
        kind = CONVERSATIONS[conversation_id]
        for reader in sorted(early - {sender}):
            mark = Mark(msg_id, reader, sender, conversation_id, kind)
            self.store.record([mark], now=self.now, lease=None)
            shown = self.policy.shown(self.wishes, reader, conversation_id, crowd=False)
            self.receipts[msg_id, reader] = self.now, shown
            if shown is Shown.NAMED and self.policy.sees_names(
                self.wishes, sender, conversation_id
            ):
                self.tell(sender, Kind.RECEIPT, msg_id, reader)
        for _ in range(2):
            [registered] = self.store.conversations.register(
                [NewMessage(msg_id, conversation_id, sender)], now=self.now
            )
            assert isinstance(registered, Message)
        sent_to = self.members[conversation_id] - {sender}
        self.sent[msg_id] = Sent(conversation_id, sender, sent_to, len(sent_to))
        for reader in early - sent_to - {sender}:
            # Marked by someone to whom it was not sent, as it turns out: nobody is shown that.
            self.receipts[msg_id, reader] = self.now, Shown.UNCOUNTED
        return msg_id

    @rule(msg_id=messages, user=users, wrong=st.booleans())
    def mark(self, msg_id: str, user: str, wrong: bool) -> None:
        """Somebody marks a message, for the first time or again, rightly or with a wrong sender."""
        sent = self.sent[msg_id]
        mark = Mark(msg_id, user, "nobody" if wrong else "", "")
        [outcome] = self.store.record([mark], now=self.now, lease=None).outcomes
        if (msg_id, user) in self.receipts:
            first = isinstance(outcome, Receipt) and outcome.read_at
            assert (
                isinstance(outcome, Mismatch) if wrong else first == self.receipts[msg_id, user][0]
            )
        elif user == sent.sender_id:
            assert isinstance(outcome, OwnMessage)
        elif user not in sent.sent_to:
            assert isinstance(outcome, Forbidden)
        elif wrong:
            assert isinstance(outcome, Mismatch)
        else:
            assert isinstance(outcome, Receipt)
            count = self.read(user, msg_id)
            self.tell_self(user, Kind.READ_SELF, msg_id)
            self.tell_count(count)

    @rule(user=users, conversation_id=conversation_ids)
    def read_all(self, user: str, conversation_id: str) -> None:
        """A whole conversation is read."""
        read = partial(
            self.store.recording.read_conversation, user, conversation_id, None, lease=None
        )
        if user not in self.members.get(conversation_id, set()):
            with pytest.raises(Forbidden):
                read(now=self.now)
            return
        step = read(now=self.now)
        unread = [
            msg_id
            for msg_id in self.unread(user)
            if self.sent[msg_id].conversation_id == conversation_id
        ]
        assert (step.recorded.receipts, step.more) == (len(unread), False)
        counts = dict.fromkeys(self.read(user, msg_id) for msg_id in unread)
        if unread:
            self.tell_self(user, Kind.READ_SELF_UP_TO, unread[-1])
        for count in counts:
            self.tell_count(count)

    @rule(msg_id=messages, user=users)
    def withdraw(self, msg_id: str, user: str) -> None:
        """Somebody takes a receipt back, or tries to."""
        read_at, shown = self.receipts.get((msg_id, user), (0, Shown.NAMED))
        try:
            self.store.recording.withdraw(msg_id, user, now=self.now, lease=None)
        except NotFound:
            assert (msg_id, user) not in self.receipts
        except TooLate:
            assert self.now - read_at > WINDOW_MS
        else:
            assert self.now - read_at <= WINDOW_MS
            del self.receipts[msg_id, user]
            if user in self.sent[msg_id].sent_to:
                count = self.tell_sender(msg_id, Kind.WITHDRAWN, user, shown)
                self.tell_self(user, Kind.UNREAD_SELF, msg_id)
                self.tell_count(count)

    @rule(user=users, where=st.sampled_from(["", *CONVERSATIONS]), wish=st.none() | st.booleans())
    def hide(self, user: str, where: str, wish: bool | None) -> None:
        """Somebody hides, shows or has no wish any more."""
        self.store.preferences.put(user, where, wish)
        if wish is None:
            self.wishes.pop((user, where), None)
        else:
            self.wishes[user, where] = wish

    @rule(user=users)
    def erase(self, user: str) -> None:
        """Somebody is erased, and nothing of them is left."""
        self.store.erasing.ask(user, now=self.now)
        while not self.store.erasing.step(user, limit=2):
            pass
        for conversation_id, members in self.members.items():
            self.leave(conversation_id, members & {user})
            members.discard(user)
        self.receipts = {key: value for key, value in self.receipts.items() if key[1] != user}
        for sent in self.sent.values():
            sent.sent_to.discard(user)
            if sent.sender_id == user:
                sent.sender_id = ERASED
        self.wishes = {key: wish for key, wish in self.wishes.items() if key[0] != user}
        self.streams.pop(user, None)
        for stream in self.streams.values():
            stream[:] = [None if told is None or told[2] == user else told for told in stream]

    @rule(seconds=st.sampled_from([1, 1, 60]))
    def wait(self, seconds: int) -> None:
        """Time passes, and counts that were held back are told."""
        self.now += seconds * 1000
        self.store.recording.tell_counts(limit=100, now=self.now, lease=None)
        for msg_id in sorted(self.due, key=lambda due: (self.sent[due].told_at, due)):
            sent = self.sent[msg_id]
            if self.counted(msg_id) != sent.told and sent.sender_id != ERASED:
                self.tell_count(msg_id)
        self.due.clear()

    # What must hold

    @invariant()
    def counts_are_exact(self) -> None:
        """Of each message: how many have read it, of how many."""
        found = self.store.reading.messages(list(self.sent))
        assert {m.msg_id: (m.readers, m.audience, m.sender_id) for m in found.values()} == {
            msg_id: (self.counted(msg_id), self.of(msg_id), sent.sender_id)
            for msg_id, sent in self.sent.items()
        }

    @invariant()
    def readers_are_exact(self) -> None:
        """Of each message: who has read it and shows it, and all others who have not."""
        pages = self.store.receipts(list(self.sent), sender_id=None, after_id=0, limit=100)
        for page in pages:
            sent = self.sent[page.msg_id]
            named = {
                reader
                for (msg_id, reader), (_, shown) in self.receipts.items()
                if msg_id == page.msg_id and shown is Shown.NAMED
            }
            assert {receipt.reader_id for receipt in page.receipts} == named
            assert (page.count, page.of) == (self.counted(page.msg_id), self.of(page.msg_id))
            missing = self.store.reading.not_read(page.msg_id, after="", limit=100)
            assert missing == sorted(sent.sent_to - sent.left - named)

    @invariant()
    def unread_is_exact(self) -> None:
        """Of each user: which messages are unread, and how many in each conversation."""
        for user in USERS:
            unread = self.unread(user)
            found = self.store.reading.unread(user, conversation_id=None, limit=100, offset=0)
            assert {message.msg_id for message in found} == set(unread)
            counts = dict.fromkeys((self.sent[m].conversation_id for m in unread), 0)
            for msg_id in unread:
                counts[self.sent[msg_id].conversation_id] += 1
            assert {
                unread.conversation_id: unread.count
                for unread in self.store.reading.unread_counts(user)
            } == counts

    @invariant()
    def streams_are_exact(self) -> None:
        """Each stream holds what the model has told, in order, without a hole."""
        pages = self.store.pages([Want(user, 0, 1000) for user in USERS])
        for user, page in zip(USERS, pages, strict=True):
            assert [event.seq for event in page.events] == list(
                range(page.floor + 1, page.head + 1)
            )
            told = [_told(event) for event in page.events]
            assert told == self.streams.get(user, []), user

    @invariant()
    def nobody_learns_a_hidden_name(self) -> None:
        """No event for others, and no record of one, has a name of somebody hidden in it."""
        strangers = {(m, u) for m, sent in self.sent.items() for u in {*USERS} - sent.sent_to}
        hidden = {key for key, (_, shown) in self.receipts.items() if shown is not Shown.NAMED}
        pages = self.store.pages([Want(user, 0, 1000) for user in USERS])
        for event in (event for page in pages for event in page.events if event.msg_id):
            if event.kind in SELF_KINDS or event.kind == Kind.WITHDRAWN:
                continue
            for msg_id, reader in hidden - strangers:
                if event.msg_id == msg_id and self._since(event, msg_id, reader):
                    assert event.reader_id != reader
                    assert f'"{reader}"'.encode() not in _record(event).replace(
                        f'"{event.sender_id}"'.encode(), b""
                    )

    def _since(self, event: Event, msg_id: str, reader: str) -> bool:
        """Whether an event tells of the receipt that is there now, not of one taken back before."""
        return event.at >= self.receipts[msg_id, reader][0]

    @invariant()
    def verify_has_nothing_to_say(self) -> None:
        """The counters are what receipts and members make them."""
        for conversation_id in self.members:
            assert self.store.verifying.verify(conversation_id, repair=False) == []


def _told(event: Event) -> Told | None:
    if not event.msg_id:
        return None
    return Kind(event.kind), event.msg_id, event.reader_id, event.count, event.of


def _record(event: Event) -> bytes:
    """The record's value on its topic."""
    return wire.encode(event) if event.kind == Kind.RECEIPT else wire.encode_update(event)


_made: list[Path] = []


def _template() -> Path:
    """A migrated database to copy."""
    if not _made:
        folder = Path(tempfile.mkdtemp(prefix="seenby-template-"))
        migrate(f"sqlite:///{folder}/store.db")
        _made.append(folder / "store.db")
    return _made[0]


Conversations.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestConversations = Conversations.TestCase
