"""What marks change, decided without a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from seenby.errors import BadInput, Forbidden, Mismatch, NotFound, OwnMessage
from seenby.model import ERASED, Event, Kind, Mark, Receipt
from seenby.rules import Rules, Shown
from seenby.tally import Conversation, Facts, Member, Message, Tally, numbered

if TYPE_CHECKING:
    from seenby.model import ConversationType

NOW = 1_700_000_000_000


def facts(
    readers: int = 10, *, kind: ConversationType = "group", hiding: tuple[str, ...] = ()
) -> Facts:
    """Message m1, the second of alice's in her conversation team, sent to r0, r1 and so on."""
    known = Facts(
        messages={"m1": Message("m1", "team", 2, "alice", NOW - 5000, readers, readers, 0, 0, 0)},
        conversations={"team": Conversation("team", kind, readers + 1, 2)},
        wishes={(user_id, ""): False for user_id in hiding},
    )
    for number in range(readers):
        known.members["team", f"r{number}"] = [Member("team", f"r{number}", 0, None, 0, 0, 0)]
    known.members["team", "alice"] = [Member("team", "alice", 0, None, 0, 0, 2)]
    return known


def mark(reader_id: str = "r0", *, sender_id: str = "", conversation_id: str = "") -> Mark:
    """A mark of m1 that leaves the rest to what is registered."""
    return Mark("m1", reader_id, sender_id, conversation_id)


def to_sender(tally: Tally) -> list[tuple[int, str, int | None, int | None]]:
    """Kind, reader, count and audience of alice's events."""
    return [
        (event.kind, event.reader_id, event.count, event.of)
        for event in tally.events
        if event.sender_id == "alice"
    ]


def to_readers(tally: Tally) -> list[tuple[str, int, int | None]]:
    """Owner, kind and number of unread messages of the readers' own events."""
    return [
        (event.sender_id, event.kind, event.count)
        for event in tally.events
        if event.sender_id != "alice"
    ]


def test_an_unregistered_message_makes_a_receipt_and_an_event() -> None:
    """Without registration the request is believed, and nothing is counted."""
    tally = Tally(Rules(), Facts(), NOW)
    plain = Mark("x", "bob", "alice", "c")
    assert tally.plain(plain) is None
    assert tally.made == [(plain, Shown.NAMED)]
    assert tally.events == [plain.event(0, NOW)]


@pytest.mark.parametrize("field", ["sender_id", "conversation_id"])
def test_an_unregistered_message_has_no_one_to_fill_in(field: str) -> None:
    """What is left out is named, as nobody knows it."""
    refusal = Tally(Rules(), Facts(), NOW).plain(
        replace(Mark("x", "bob", "alice", "c"), **{field: ""})
    )
    assert isinstance(refusal, BadInput)
    assert refusal.field == field


def test_unregistered_messages_may_be_refused() -> None:
    """With ``reject`` only what was registered is marked."""
    tally = Tally(Rules(accept_unregistered=False), Facts(), NOW)
    assert isinstance(tally.plain(Mark("x", "bob", "alice", "c")), NotFound)
    assert not tally.made
    assert not tally.events


def test_what_is_left_out_is_filled_in() -> None:
    """Sender, conversation and its type come from the registered message."""
    tally = Tally(Rules(), facts(), NOW)
    assert tally.registered(mark()) is None
    [made] = tally.made
    filled = (made.mark.sender_id, made.mark.conversation_id, made.mark.conversation_type)
    assert filled == ("alice", "team", "group")


@pytest.mark.parametrize("field", ["sender_id", "conversation_id"])
def test_what_is_wrong_is_named(field: str) -> None:
    """A field that is not the registered message's is refused, and nothing is counted."""
    tally = Tally(Rules(), facts(), NOW)
    refusal = tally.registered(mark(**{field: "mallory"}))
    assert isinstance(refusal, Mismatch)
    assert refusal.field == field
    assert (tally.made, tally.events) == ([], [])
    assert (tally.changed_messages, tally.changed_members) == ({}, {})


def test_only_those_it_was_sent_to_may_mark() -> None:
    """Strangers, those who came later and those who had left are refused alike."""
    known = facts()
    known.members["team", "late"] = [Member("team", "late", 2, None, 2, 2, 0)]
    known.members["team", "early"] = [Member("team", "early", 0, 1, 1, 0, 0)]
    tally = Tally(Rules(), known, NOW)
    refusals = [tally.registered(mark(name)) for name in ("mallory", "late", "early")]
    assert all(isinstance(refusal, Forbidden) for refusal in refusals)
    assert len({str(refusal) for refusal in refusals}) == 1


def test_a_stranger_is_not_told_who_the_sender_is() -> None:
    """That one may not mark comes before what is wrong with the mark."""
    refusal = Tally(Rules(), facts(), NOW).registered(mark("mallory", sender_id="eve"))
    assert isinstance(refusal, Forbidden)


def test_the_registered_sender_cannot_mark() -> None:
    """A message's real sender is known, whatever the request says."""
    refusal = Tally(Rules(), facts(), NOW).registered(mark("alice"))
    assert isinstance(refusal, OwnMessage)


def test_each_receipt_says_how_many_have_read_by_then() -> None:
    """In a batch each event carries the count after its own mark."""
    tally = Tally(Rules(), facts(3), NOW)
    for reader in ("r0", "r1", "r2"):
        tally.registered(mark(reader))
    assert to_sender(tally) == [
        (Kind.RECEIPT, "r0", 1, 3),
        (Kind.RECEIPT, "r1", 2, 3),
        (Kind.RECEIPT, "r2", 3, 3),
    ]
    assert tally.changed_messages["m1"].readers == 3


def test_a_readers_devices_are_told_what_is_unread() -> None:
    """Two messages came, one is read now: one is left."""
    tally = Tally(Rules(), facts(), NOW)
    tally.registered(mark())
    assert to_readers(tally) == [("r0", Kind.READ_SELF, 1)]
    assert [member.done for member in tally.changed_members.values()] == [1]


def test_own_devices_are_not_told_where_that_is_off() -> None:
    """With ``sync_reader`` off only the sender hears."""
    tally = Tally(Rules(sync_reader=False), facts(), NOW)
    tally.registered(mark())
    assert to_readers(tally) == []


def test_who_left_and_is_settled_comes_back_into_the_audience_by_reading() -> None:
    """A member who has left counts only with a receipt."""
    known = facts(3)
    known.messages["m1"].audience = 2
    known.members["team", "r0"] = [Member("team", "r0", 0, 2, 2, 0, 0)]
    tally = Tally(Rules(), known, NOW)
    tally.registered(mark())
    assert to_sender(tally) == [(Kind.RECEIPT, "r0", 1, 3)]
    tally.withdraw(receipt_of(tally), Shown.NAMED)
    assert to_sender(tally)[1:] == [(Kind.WITHDRAWN, "r0", 0, 2)]
    assert not tally.changed_members


def test_who_left_and_is_not_settled_yet_is_still_counted() -> None:
    """Until the leaver is settled up to the message, the audience still holds them."""
    known = facts(3)
    known.members["team", "r0"] = [Member("team", "r0", 0, 2, 1, 0, 0)]
    tally = Tally(Rules(), known, NOW)
    tally.registered(mark())
    assert to_sender(tally) == [(Kind.RECEIPT, "r0", 1, 3)]


def receipt_of(tally: Tally) -> Receipt:
    """The receipt that the tally's only mark becomes."""
    [made] = tally.made
    return made.mark.receipt(1, NOW)


def test_taking_back_undoes_a_mark() -> None:
    """All counters stand again where they were."""
    known = facts(3)
    before = known.messages["m1"], known.members["team", "r0"][0]
    copies = [replace(value) for value in before]
    tally = Tally(Rules(), known, NOW)
    tally.registered(mark())
    tally.withdraw(receipt_of(tally), Shown.NAMED)
    assert list(before) == copies
    assert to_sender(tally)[1:] == [(Kind.WITHDRAWN, "r0", 0, 3)]
    assert to_readers(tally)[1:] == [("r0", Kind.UNREAD_SELF, 2)]


def test_taking_back_what_lies_below_the_base() -> None:
    """Where all up to the base is read, one message that no longer is moves the base before it."""
    known = facts(3)
    known.conversations["team"] = Conversation("team", "group", 4, 9)
    member = known.members["team", "r0"][0]
    member.base, member.done = 7, 1
    known.messages["m1"].readers = 1
    receipt = Receipt(1, "m1", "r0", "alice", "team", "group", NOW, "")
    tally = Tally(Rules(), known, NOW)
    tally.withdraw(receipt, Shown.NAMED)
    assert to_readers(tally) == [("r0", Kind.UNREAD_SELF, 2)]
    assert (member.base, member.done) == (1, 6)


def test_a_hidden_reader_is_told_and_the_sender_is_not() -> None:
    """The receipt is made and the badge clears, while no count and no name goes out."""
    tally = Tally(Rules(), facts(hiding=("r0",)), NOW)
    tally.registered(mark())
    tally.settle_counts()
    assert [made.shown for made in tally.made] == [Shown.UNCOUNTED]
    assert to_sender(tally) == []
    assert not tally.changed_messages
    assert to_readers(tally) == [("r0", Kind.READ_SELF, 1)]


def test_a_hidden_reader_may_count_without_a_name() -> None:
    """In a crowd the sender is told a number."""
    tally = Tally(Rules(count_hidden=True), facts(4, hiding=("r0",)), NOW)
    tally.registered(mark())
    tally.settle_counts()
    assert to_sender(tally) == [(Kind.COUNT, "", 1, 4)]


def test_a_hidden_reader_does_not_count_among_few() -> None:
    """A count in a group of four would be as good as a name."""
    tally = Tally(Rules(count_hidden=True), facts(3, hiding=("r0",)), NOW)
    tally.registered(mark())
    tally.settle_counts()
    assert to_sender(tally) == []


@pytest.mark.parametrize(("readers", "told"), [(4, [(Kind.COUNT, "", 1, 4)]), (3, [])])
def test_a_sender_who_hides_sees_no_name_where_that_is_mutual(
    readers: int, told: list[tuple[int, str, int, int]]
) -> None:
    """Such a sender is told a number in a crowd, and nothing among few."""
    tally = Tally(Rules(reciprocal=True), facts(readers, hiding=("alice",)), NOW)
    tally.registered(mark())
    tally.settle_counts()
    assert to_sender(tally) == told


def test_the_same_holds_for_unregistered_messages() -> None:
    """Wishes count whether a message is registered or not."""
    hidden = Tally(Rules(), Facts(wishes={("bob", ""): False}), NOW)
    hidden.plain(Mark("x", "bob", "alice", "c"))
    assert (hidden.events, [made.shown for made in hidden.made]) == ([], [Shown.UNCOUNTED])
    mutual = Tally(Rules(reciprocal=True), Facts(wishes={("alice", "c"): False}), NOW)
    mutual.plain(Mark("x", "bob", "alice", "c"))
    assert (mutual.events, [made.shown for made in mutual.made]) == ([], [Shown.NAMED])


def test_a_large_audience_is_told_of_by_one_count_a_batch() -> None:
    """The first count goes at once, one for all the marks of the batch."""
    tally = Tally(Rules(aggregate_over=2), facts(3), NOW)
    tally.registered(mark("r0"))
    tally.registered(mark("r1"))
    tally.settle_counts()
    assert to_sender(tally) == [(Kind.COUNT, "", 2, 3)]
    assert not tally.due


def test_counts_are_a_second_apart() -> None:
    """What would be told sooner is noted as due a second after the last."""
    known = facts(3)
    known.messages["m1"].told_at = NOW - 400
    tally = Tally(Rules(aggregate_over=2), known, NOW)
    tally.registered(mark())
    tally.settle_counts()
    assert to_sender(tally) == []
    assert tally.due == {"m1": NOW + 600}
    assert tally.changed_messages["m1"].readers == 1


def test_a_clock_that_runs_ahead_holds_no_count_back() -> None:
    """Told by a machine whose clock is an hour ahead, the next count does not wait an hour."""
    known = facts(3)
    known.messages["m1"].told_at = NOW + 3_600_000
    tally = Tally(Rules(aggregate_over=2), known, NOW)
    tally.registered(mark())
    tally.settle_counts()
    assert to_sender(tally) == [(Kind.COUNT, "", 1, 3)]
    assert tally.due == {}


def test_a_count_that_is_due_is_told() -> None:
    """It then stands as told, with its time."""
    known = facts(3)
    message = known.messages["m1"]
    message.readers, message.told_at = 2, NOW - 1000
    tally = Tally(Rules(aggregate_over=2), known, NOW)
    tally.count(message)
    tally.settle_counts()
    assert to_sender(tally) == [(Kind.COUNT, "", 2, 3)]
    assert (message.told, message.told_at) == (2, NOW)


def test_nobody_is_told_of_an_erased_senders_message() -> None:
    """The mark is recorded and counted, and makes no event for a stream that is nobody's."""
    known = facts(3)
    known.messages["m1"].sender_id = ERASED
    tally = Tally(Rules(), known, NOW)
    tally.registered(mark())
    tally.settle_counts()
    assert [event.sender_id for event in tally.events] == ["r0"]
    assert tally.changed_messages["m1"].readers == 1


def test_taking_back_tells_no_erased_sender() -> None:
    """Nor where the message was never registered: the stream would be nobody's."""
    tally = Tally(Rules(), Facts(), NOW)
    tally.withdraw(Receipt(1, "m1", "r0", ERASED, "c", "private", NOW, ""), Shown.NAMED)
    assert tally.events == []


def test_reading_up_to_a_message_is_told_once() -> None:
    """Marks that are read quietly leave it to one event for the reader's devices."""
    known = facts(3)
    tally = Tally(Rules(), known, NOW)
    tally.registered(mark(), quiet=True)
    tally.up_to(known.messages["m1"], "r0")
    assert to_readers(tally) == [("r0", Kind.READ_SELF_UP_TO, 1)]


def test_a_mark_that_leaves_nothing_unread_raises_the_base() -> None:
    """From then on only what is sent later is looked through."""
    known = facts(3)
    member = known.members["team", "r0"][0]
    member.done = 1
    tally = Tally(Rules(), known, NOW)
    tally.registered(mark())
    assert (member.base, member.done) == (2, 0)
    assert to_readers(tally) == [("r0", Kind.READ_SELF, 0)]


def test_compacting_changes_no_unread_count() -> None:
    """All up to the base is done, so that much less is done above it."""
    known = facts(3)
    member = known.members["team", "r0"][0]
    member.done = 2
    tally = Tally(Rules(), known, NOW)
    tally.compact("team", "r0", 2)
    assert (member.base, member.done) == (2, 0)
    assert list(tally.changed_members.values()) == [member]


def test_events_are_numbered_by_owner() -> None:
    """Each owner's events go on after the owner's head, in order."""
    events = [Event(owner, 0, "m", "r", "c", NOW, NOW) for owner in ("a", "b", "a")]
    given = [(event.sender_id, event.seq) for event in numbered(events, {"a": 7, "b": 0})]
    assert given == [("a", 8), ("b", 1), ("a", 9)]
