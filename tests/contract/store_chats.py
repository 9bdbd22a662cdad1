"""A chat's backend and its users, in the few words that the suites about conversations share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seenby.model import Mark, NewMessage, Receipt
from seenby.store.conversations import MembersChange, NewConversation
from seenby.tally import Conversation, Message
from tests.contract.store_adapters import NOW, rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seenby.model import ConversationType
    from seenby.store.sql import SqlStore
    from seenby.store.verifying import Difference


def chat(
    store: SqlStore,
    members: Iterable[str] = ("ann", "bob", "cid"),
    conversation_id: str = "c1",
    kind: ConversationType = "group",
) -> Conversation:
    """A conversation with exactly these members."""
    wanted = NewConversation(conversation_id, kind, list(members))
    [conversation] = store.conversations.put([wanted])
    assert isinstance(conversation, Conversation)
    settle(store)
    return conversation


def change(
    store: SqlStore, add: str = "", remove: str = "", conversation_id: str = "c1"
) -> Conversation:
    """Members come and leave; names are separated by blanks."""
    wanted = MembersChange(conversation_id, add.split(), remove.split())
    [conversation] = store.conversations.change([wanted])
    assert isinstance(conversation, Conversation)
    settle(store)
    return conversation


def settle(store: SqlStore) -> None:
    """All who have left are settled."""
    while store.conversations.settle():
        pass


def send(
    store: SqlStore, *msg_ids: str, sender_id: str = "ann", conversation_id: str = "c1"
) -> list[Message]:
    """Messages that are registered."""
    new = [NewMessage(msg_id, conversation_id, sender_id) for msg_id in msg_ids]
    sent = store.conversations.register(new, now=NOW)
    assert [type(each) for each in sent] == [Message] * len(msg_ids)
    return [each for each in sent if isinstance(each, Message)]


def read(store: SqlStore, reader_id: str, *msg_ids: str) -> list[Receipt]:
    """Registered messages that are marked."""
    recorded = store.record(
        [Mark(each, reader_id, "", "") for each in msg_ids], now=NOW, lease=None
    )
    assert [type(each) for each in recorded.outcomes] == [Receipt] * len(msg_ids)
    return [each for each in recorded.outcomes if isinstance(each, Receipt)]


def read_early(store: SqlStore, reader_id: str, msg_id: str, sender_id: str = "ann") -> Receipt:
    """A message that is marked before it is registered."""
    marked = Mark(msg_id, reader_id, sender_id, "c1", "group")
    [receipt] = store.record([marked], now=NOW, lease=None).outcomes
    assert isinstance(receipt, Receipt)
    return receipt


def count(store: SqlStore, msg_id: str) -> tuple[int, int]:
    """How many have read a message, and of how many."""
    message = store.reading.messages([msg_id])[msg_id]
    return message.readers, message.audience


def unread(store: SqlStore, user_id: str, conversation_id: str = "c1") -> int:
    """How much of a conversation a user has not read, by the counters."""
    found = {each.conversation_id: each.count for each in store.reading.unread_counts(user_id)}
    return found.get(conversation_id, 0)


def unread_ids(store: SqlStore, user_id: str, conversation_id: str | None = None) -> list[str]:
    """What a user has not read, by the messages."""
    found = store.reading.unread(user_id, conversation_id=conversation_id, limit=10_000, offset=0)
    return [message.msg_id for message in found]


def wrong(store: SqlStore) -> list[Difference]:
    """What verification finds in all conversations, and whether anybody is left unsettled."""
    assert rows(store, "SELECT * FROM leavers") == []
    return [
        difference
        for conversation_id in store.verifying.conversations("", 10_000)
        for difference in store.verifying.verify(conversation_id, repair=False)
    ]
