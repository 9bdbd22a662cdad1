"""How messages are registered, and how the receipts that came before them are made good.

A message that is registered may have been marked before. It is written first, and then its
receipts are looked for; who marks a message that is not registered looks for it afterwards
(``writing``). So each mark finds the message, or is found here. Senders' streams are locked as
well: most such races are a short wait then, and nothing is done twice.
"""

# ruff: noqa: S608 -- statements are put together from our own words; values never are among them

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import astuple, replace

from seenby.errors import Conflict, NotFound
from seenby.model import ERASED
from seenby.rules import Shown
from seenby.store.connections import told
from seenby.store.statements import ID, NUMBER, document, singles
from seenby.store.writing import MESSAGE
from seenby.tally import Conversation, Key, Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seenby.model import NewMessage
    from seenby.store.connections import Connection, Connections
    from seenby.store.statements import Statements, Words


class Early(NamedTuple):
    """A receipt that was there before its message was registered."""

    id: int
    msg_id: str
    reader_id: str
    sender_id: str
    conversation_id: str
    conversation_type: str
    hidden: int


class Registering:
    """Registers messages.

    Args:
        connections: to the database.
        words: the database's.
        statements: those of the spine.
    """

    def __init__(self, connections: Connections, words: Words, statements: Statements) -> None:
        """Put the statements together."""
        self._connections = connections
        self._statements = statements
        text, join, lock = words.text, words.join, words.for_update
        self._lock_all = text(
            "SELECT c.conversation_id, c.type, c.members, c.last FROM conversations AS c"
            f" WHERE {words.among('c.conversation_id', 'conversations')}"
            f" ORDER BY c.conversation_id{lock}"
        )
        grown = words.rows("grown", {"conversation_id": ID, "last": NUMBER})
        self._grow = text(
            words.update(
                "conversations",
                grown,
                "conversations.conversation_id = j.conversation_id",
                {"last": "j.last"},
            )
        )
        # Those who are members now are the same as long as the conversation is locked.
        pairs = words.rows("members", {"conversation_id": ID, "user_id": ID})
        self._find_members = text(
            f"SELECT i.conversation_id, i.user_id, i.since FROM {pairs} {join} members AS i"
            " ON i.conversation_id = j.conversation_id AND i.user_id = j.user_id"
            " AND i.until IS NULL"
        )
        self._done = text(
            words.update(
                "members",
                words.rows(
                    "readers",
                    {"conversation_id": ID, "user_id": ID, "since": NUMBER, "step": NUMBER},
                ),
                "members.conversation_id = j.conversation_id AND members.user_id = j.user_id"
                " AND members.since = j.since",
                {"done": "members.done + j.step"},
            )
        )
        self._find_messages = text(
            f"SELECT {MESSAGE} FROM messages AS m WHERE {words.among('m.msg_id', 'messages')}"
        )
        self._insert_messages = text(words.insert("messages", MESSAGE.replace("m.", "")))
        self._find_early = text(
            "SELECT r.id, r.msg_id, r.reader_id, r.sender_id, r.conversation_id,"
            " r.conversation_type, r.hidden FROM receipts AS r"
            f" WHERE {words.among('r.msg_id', 'messages')}{lock}"
        )
        self._count_readers = text(
            words.update(
                "messages",
                words.rows("messages", {"msg_id": ID, "readers": NUMBER}),
                "messages.msg_id = j.msg_id",
                {"readers": "j.readers"},
            )
        )
        corrected = ("sender_id", "conversation_id", "conversation_type")
        self._correct = text(
            words.update(
                "receipts",
                words.rows(
                    "receipts", {"id": NUMBER, **dict.fromkeys(corrected, ID), "hidden": NUMBER}
                ),
                "receipts.id = j.id",
                {name: f"j.{name}" for name in (*corrected, "hidden")},
            )
        )

    def register(
        self, messages: Sequence[NewMessage], *, now: int
    ) -> list[Message | NotFound | Conflict]:
        """Register messages, all in one transaction, numbered in the order of the list.

        Args:
            messages: any number.
            now: ms; when those were sent that do not say.

        Returns:
            For each the message as it is registered, now or before; NotFound where its
            conversation is not registered; Conflict where the same msg_id is registered with
            another conversation or sender.
        """
        if not messages:
            return []
        return self._connections.run(
            lambda connection: self._register(connection, messages, now), racing=True
        )

    def _register(
        self, connection: Connection, messages: Sequence[NewMessage], now: int
    ) -> list[Message | NotFound | Conflict]:
        statements = self._statements
        msg_ids = singles({each.msg_id for each in messages})
        # What is there already touches nobody's stream: its sender may have been erased.
        [old] = connection.together(told(self._find_messages, messages=msg_ids))
        there = {row[0] for row in old}
        senders = sorted({each.sender_id for each in messages if each.msg_id not in there})
        said = [told(statements.begin)]
        if senders:
            # By 0: that locks them.
            heads = [(user_id, 0, 0) for user_id in senders]
            said.append(told(statements.raise_heads, rows=heads, users=singles(senders)))
        *_, locked, found = connection.together(
            *said,
            told(
                self._lock_all,
                conversations=singles(sorted({each.conversation_id for each in messages})),
            ),
            told(self._find_messages, messages=msg_ids),
        )
        conversations = {row[0]: Conversation(*row) for row in locked}
        members = self._since(
            connection,
            {
                (each.conversation_id, each.sender_id)
                for each in messages
                if each.conversation_id in conversations
            },
        )
        known = {row[0]: Message(*row) for row in found}
        made: list[Message] = []
        outcomes: list[Message | NotFound | Conflict] = []
        for each in messages:
            message = known.get(each.msg_id)
            if message is None:
                conversation = conversations.get(each.conversation_id)
                if conversation is None:
                    outcomes.append(NotFound("conversation_id is not a registered conversation"))
                    continue
                conversation = replace(conversation, last=conversation.last + 1)
                conversations[each.conversation_id] = conversation
                sent_to = conversation.members - ((each.conversation_id, each.sender_id) in members)
                sent_at = now if each.sent_at is None else each.sent_at
                message = _new(each, conversation.last, sent_at, sent_to)
                known[each.msg_id] = message
                made.append(message)
            elif message.conversation_id != each.conversation_id or (
                message.sender_id not in {each.sender_id, ERASED}
            ):
                outcomes.append(
                    Conflict("this msg_id is registered with another conversation_id or sender_id")
                )
                continue
            outcomes.append(message)
        if made:
            self._insert_made(connection, made, conversations, members)
        connection.together(told(statements.commit))
        return outcomes

    def _since(self, connection: Connection, keys: set[Key]) -> dict[Key, int]:
        """Since when those of some (conversation, user) are members that are so now."""
        found = connection.rows(self._find_members, members=document(sorted(keys)))
        return {(conversation_id, user_id): since for conversation_id, user_id, since in found}

    def _insert_made(
        self,
        connection: Connection,
        made: list[Message],
        conversations: dict[str, Conversation],
        members: dict[Key, int],
    ) -> None:
        """Write new messages; count their senders, and whoever has read them already."""
        grown = sorted({message.conversation_id for message in made})
        own = Counter((message.conversation_id, message.sender_id) for message in made)
        senders = [
            (*key, members[key], step) for key, step in sorted(own.items()) if key in members
        ]
        early, *_ = connection.together(
            told(self._insert_messages, rows=[astuple(each) for each in made]),
            told(
                self._grow,
                grown=document([(each, conversations[each].last) for each in grown]),
            ),
            told(self._done, readers=document(senders)),
            told(self._find_early, messages=singles(message.msg_id for message in made)),
        )
        if early:
            messages = {message.msg_id: message for message in made}
            self._count_early(connection, [Early(*row) for row in early], messages, conversations)

    def _count_early(
        self,
        connection: Connection,
        early: list[Early],
        messages: dict[str, Message],
        conversations: dict[str, Conversation],
    ) -> None:
        """Make good the receipts that came before their messages.

        They name the registered sender and conversation from now on. Those of readers whom the
        message was not sent to are not shown, and name what they named: a repeat is answered with
        them, and would tell a stranger whose message it is.
        """
        keys = {(messages[each.msg_id].conversation_id, each.reader_id) for each in early}
        members = self._since(connection, keys)
        read: dict[str, Message] = {}
        done: Counter[Key] = Counter()
        correct: list[Early] = []
        for each in early:
            message = messages[each.msg_id]
            key = (message.conversation_id, each.reader_id)
            if each.reader_id == message.sender_id or key not in members:
                right = each._replace(hidden=int(Shown.UNCOUNTED))
            else:
                done[key] += 1
                if each.hidden != Shown.UNCOUNTED:
                    message.readers += 1
                    read[message.msg_id] = message
                right = each._replace(
                    sender_id=message.sender_id,
                    conversation_id=message.conversation_id,
                    conversation_type=conversations[message.conversation_id].type,
                )
            if right != each:
                correct.append(right)
        readers = [(message.msg_id, message.readers) for message in read.values()]
        moved = [(*key, members[key], step) for key, step in sorted(done.items())]
        corrected = [
            (e.id, e.sender_id, e.conversation_id, e.conversation_type, e.hidden) for e in correct
        ]
        connection.together(
            told(self._count_readers, messages=document(sorted(readers))),
            told(self._done, readers=document(moved)),
            told(self._correct, receipts=document(corrected)),
        )


def _new(new: NewMessage, number: int, sent_at: int, sent_to: int) -> Message:
    return Message(
        msg_id=new.msg_id,
        conversation_id=new.conversation_id,
        number=number,
        sender_id=new.sender_id,
        sent_at=sent_at,
        sent_to=sent_to,
        audience=sent_to,
        readers=0,
        told=0,
        told_at=0,
    )
