"""The use cases of a chat: what its backend registers, and what its users ask and wish.

Each checks that the caller may, and answers. A user who may not see something is told the same
as when it is not there.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import msgspec

from seenby.errors import BadInput, Forbidden, NotFound, Refused
from seenby.model import ANYONE
from seenby.rules import CROWD, DecidedBy, is_crowd
from seenby.store.base import ReceiptPage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from seenby.errors import Conflict
    from seenby.model import Caller, NewMessage, Receipt
    from seenby.recorder import Recorder
    from seenby.rules import Rules, Wishes
    from seenby.store.conversations import MembersChange, NewConversation
    from seenby.store.reading import UnreadCount
    from seenby.store.sql import SqlStore
    from seenby.store.threads import StoreThreads
    from seenby.tally import Conversation, Message

T = TypeVar("T")
W = TypeVar("W", "NewConversation", "MembersChange")

PIECE = 1000
"""Rows of one piece of an erasure."""

WISHES_MAX = 1000
"""Conversations for which a user may wish something: each mark of theirs reads all of it."""

TOGETHER = 10
"""Conversations that are written before marks get a turn: a commit each."""

MESSAGES_TOGETHER = 100
"""Messages registered in one transaction: each may have been marked by many before."""


class Seen(msgspec.Struct, frozen=True):
    """Who has read a message, as far as the viewer may know.

    ``names``: False where names are withheld; then the page is empty.
    """

    page: ReceiptPage
    names: bool = True


class NotRead(msgspec.Struct, frozen=True):
    """Who has not read a message, with its counts."""

    msg_id: str
    count: int
    of: int
    user_ids: list[str]
    names: bool = True


class Policy(msgspec.Struct, frozen=True):
    """What applies to a user's receipts, and why.

    ``why`` has a sentence for a person for each of the fields before it.
    """

    user_id: str
    conversation_id: str
    send_receipts: bool
    decided_by: DecidedBy
    counted_without_name: bool
    sees_names: bool
    why: list[str]


class Chat:
    """What can be asked about conversations.

    Args:
        recorder: carries out what makes events.
        threads: the store and its threads.
        rules: who is told what.
    """

    def __init__(self, recorder: Recorder, threads: StoreThreads[SqlStore], rules: Rules) -> None:
        """Keep the parts."""
        self._recorder = recorder
        self._threads = threads
        self._store = threads.store
        self._rules = rules

    # From the chat's backend

    async def put(
        self, caller: Caller, wanted: Sequence[NewConversation]
    ) -> list[Conversation | Conflict]:
        """Register conversations with exactly these members."""
        caller.must_be_service()
        return await self._some_by_some(self._store.conversations.put, wanted)

    async def change(
        self, caller: Caller, changes: Sequence[MembersChange]
    ) -> list[Conversation | NotFound]:
        """Let members come and go."""
        caller.must_be_service()
        return await self._some_by_some(self._store.conversations.change, changes)

    async def _some_by_some(
        self, write: Callable[[Sequence[W]], list[T]], wanted: Sequence[W]
    ) -> list[T]:
        """Write all; return when those who have left by it are counted no longer.

        A caller who is gone before that, or a crash, leaves the rest to upkeep.
        """
        done: list[T] = []
        for start in range(0, len(wanted), TOGETHER):
            done += await self._threads.write(write, wanted[start : start + TOGETHER])
        ids = sorted({each.conversation_id for each in wanted})
        while await self._threads.write(self._store.conversations.settle, ids):
            pass
        return done

    async def conversation(self, caller: Caller, conversation_id: str) -> Conversation:
        """A registered conversation; raises NotFound."""
        caller.must_be_service()
        found = await self._threads.read(self._store.conversations.get, conversation_id)
        if found is None:
            raise NotFound("there is no conversation of that id")
        return found

    async def members(
        self, caller: Caller, conversation_id: str, *, after: str, limit: int
    ) -> list[str]:
        """The members of a conversation now, by id; raises NotFound."""
        await self.conversation(caller, conversation_id)
        return await self._threads.read(
            self._store.conversations.members, conversation_id, after=after, limit=limit
        )

    async def register(
        self, caller: Caller, messages: Sequence[NewMessage], *, now: int
    ) -> list[Message | NotFound | Conflict]:
        """Register messages; *now* (ms) is when those were sent that do not say."""
        caller.must_be_service()
        register = partial(self._store.conversations.register, now=now)
        done: list[Message | NotFound | Conflict] = []
        for start in range(0, len(messages), MESSAGES_TOGETHER):
            done += await self._threads.write(register, messages[start : start + MESSAGES_TOGETHER])
        return done

    async def from_topic(
        self, messages: Sequence[NewMessage]
    ) -> list[Message | NotFound | Conflict]:
        """Register messages of the chat's own topic, whose word is its backend's."""
        return await self.register(ANYONE, messages, now=int(time.time() * 1000))

    async def erase(self, caller: Caller, user_id: str, *, now: int) -> None:
        """Remove a person; returns when nothing of them is left.

        A caller who is gone before that, or a crash, leaves the rest to upkeep.
        """
        caller.must_be_service()
        erasing = self._store.erasing
        await self._threads.write(erasing.ask, user_id, now=now)
        # Piece by piece, so that marks are written in between.
        while not await self._threads.write(erasing.step, user_id, limit=PIECE):
            pass

    # Who has read

    async def receipts(
        self, caller: Caller, viewer: str, msg_ids: Sequence[str], *, after_id: int, limit: int
    ) -> list[Seen]:
        """Who has read these messages, as far as the viewer may know.

        Args:
            caller: who asks.
            viewer: for whom: a user, or "" for nobody in particular (a service may see all).
            msg_ids: messages; of those that the viewer may not see nothing is told.
            after_id: only receipts with a greater id.
            limit: at most so many of each message.
        """
        viewer = _viewer(caller, viewer)
        reading = self._store.reading
        known = await self._threads.read(reading.messages, msg_ids)
        seen = await self._visible(viewer, known)
        pages = await self._threads.read(
            self._store.receipts, msg_ids, sender_id=None, after_id=after_id, limit=limit
        )
        mine = pages
        if viewer and len(known) < len(msg_ids):
            mine = await self._threads.read(
                self._store.receipts, msg_ids, sender_id=viewer, after_id=after_id, limit=limit
            )
        wishes = await self._wishes_of(viewer)
        found = []
        for all_of_it, own in zip(pages, mine, strict=True):
            message = known.get(own.msg_id)
            page = own if message is None else all_of_it
            if message is not None and own.msg_id not in seen:
                # As if it were not there.
                message, page = None, ReceiptPage(own.msg_id, 0, [])
            found.append(await self._as_seen(page, message, viewer, wishes))
        return found

    async def _as_seen(
        self, page: ReceiptPage, message: Message | None, viewer: str, wishes: Wishes
    ) -> Seen:
        """A page without what a viewer who hides may not know."""
        if not viewer or not self._rules.reciprocal:
            return Seen(page)
        if message is None:
            # Past the last receipt nothing says which conversation it is: then any wish will do.
            named = {receipt.conversation_id for receipt in page.receipts}
            conversation_ids = named or {conversation_id for _, conversation_id in wishes}
        else:
            conversation_ids = {message.conversation_id}
        if all(self._rules.sees_names(wishes, viewer, each) for each in conversation_ids):
            return Seen(page)
        crowd = False
        if message is not None:
            conversation = await self._threads.read(
                self._store.conversations.get, message.conversation_id
            )
            crowd = conversation is not None and is_crowd(conversation.type, message.sent_to)
        return Seen(ReceiptPage(page.msg_id, page.count if crowd else 0, [], page.of), names=False)

    async def not_read(
        self, caller: Caller, viewer: str, msg_id: str, *, after: str, limit: int
    ) -> NotRead:
        """Who has not read a registered message; raises NotFound where it may not be seen."""
        viewer = _viewer(caller, viewer)
        known = await self._threads.read(self._store.reading.messages, [msg_id])
        if msg_id not in await self._visible(viewer, known):
            raise NotFound("there is no registered message of that id, or it is not yours")
        message = known[msg_id]
        if viewer and not self._rules.sees_names(
            await self._wishes_of(viewer), viewer, message.conversation_id
        ):
            return NotRead(msg_id, 0, message.audience, [], names=False)
        user_ids = await self._threads.read(
            self._store.reading.not_read, msg_id, after=after, limit=limit
        )
        return NotRead(msg_id, message.readers, message.audience, user_ids)

    async def _visible(self, viewer: str, known: dict[str, Message]) -> set[str]:
        """Of which registered messages the viewer may know who has read them."""
        if not viewer:
            return set(known)
        visible = {msg_id for msg_id, message in known.items() if message.sender_id == viewer}
        if self._rules.visible_to_members and len(visible) < len(known):
            visible |= await self._threads.read(self._store.reading.sent_to, viewer, list(known))
        return visible

    async def _wishes_of(self, user_id: str) -> Wishes:
        if not user_id or not self._rules.reciprocal:
            return {}
        return await self._threads.read(self._store.preferences.wishes, [user_id])

    # A user's own

    async def unread_counts(self, caller: Caller, user_id: str) -> list[UnreadCount]:
        """How much a user has not read, by conversation."""
        caller.must_act_for(user_id)
        return await self._threads.read(self._store.reading.unread_counts, user_id)

    async def unread(
        self,
        caller: Caller,
        user_id: str,
        *,
        conversation_id: str | None,
        limit: int,
        offset: int,
    ) -> list[Message]:
        """What a user has not read, in the order in which it was sent."""
        caller.must_act_for(user_id)
        return await self._threads.read(
            self._store.reading.unread,
            user_id,
            conversation_id=conversation_id,
            limit=limit,
            offset=offset,
        )

    async def read_conversation(
        self, caller: Caller, user_id: str, conversation_id: str, up_to: str | None
    ) -> int:
        """Read a conversation up to a message, or all of it; how many receipts that made.

        In steps, a transaction each: what was read stays read if one of them fails.

        Raises:
            Forbidden: the user is not a member.
            NotFound: *up_to* is not a message of it.
        """
        caller.must_act_for(user_id)
        read, more = 0, True
        while more:
            step = await self._recorder.carry_out(
                partial(self._store.recording.read_conversation, user_id, conversation_id, up_to)
            )
            read += step.recorded.receipts
            more = step.more
        return read

    async def withdraw(self, caller: Caller, msg_id: str, reader_id: str) -> Receipt:
        """Take a receipt back.

        Raises:
            NotFound: there is no such receipt.
            TooLate: it is too old.
        """
        if not caller.may_act_for(reader_id):
            raise Forbidden("reader_id must be the token's user")
        done = await self._recorder.carry_out(
            partial(self._store.recording.withdraw, msg_id, reader_id)
        )
        return done.receipt

    async def prefer(
        self, caller: Caller, user_id: str, conversation_id: str, *, send_receipts: bool | None
    ) -> dict[str, bool]:
        """Set what a user wishes ("" for all conversations; None: no wish); all wishes then.

        Raises:
            Refused: these are too many.
        """
        wishes = await self.preferences(caller, user_id)
        if send_receipts is not None and len({*wishes, conversation_id} - {""}) > WISHES_MAX:
            raise Refused(f"a user may have wishes for {WISHES_MAX} conversations")
        await self._threads.write(
            self._store.preferences.put, user_id, conversation_id, send_receipts
        )
        return await self.preferences(caller, user_id)

    async def preferences(self, caller: Caller, user_id: str) -> dict[str, bool]:
        """What a user wishes, by conversation ("" for all)."""
        caller.must_act_for(user_id)
        return await self._threads.read(self._store.preferences.of, user_id)

    async def policy(self, caller: Caller, user_id: str, conversation_id: str) -> Policy:
        """What applies to a user's receipts in a conversation ("" for any), and why."""
        caller.must_act_for(user_id)
        rules = self._rules
        wishes = await self._threads.read(self._store.preferences.wishes, [user_id])
        sends, decided_by = rules.sends(wishes, user_id, conversation_id)
        crowd = await self._in_crowd(user_id, conversation_id)
        counted = not sends and rules.count_hidden and crowd
        sees = rules.sees_names(wishes, user_id, conversation_id)
        return Policy(
            user_id,
            conversation_id,
            sends,
            decided_by,
            counted,
            sees,
            [
                _WHO_DECIDES[decided_by].format("are" if sends else "are not"),
                _counted_in_words(rules, sends=sends, crowd=crowd),
                _names_in_words(rules, sees=sees),
            ],
        )

    async def _in_crowd(self, user_id: str, conversation_id: str) -> bool:
        """Whether a user is in a large group; others are not told that there is one."""
        conversations = self._store.conversations
        if not conversation_id or not await self._threads.read(
            conversations.has, conversation_id, user_id
        ):
            return False
        found = await self._threads.read(conversations.get, conversation_id)
        return found is not None and is_crowd(found.type, found.members - 1)


_WHO_DECIDES = {
    "organisation": "Receipts {} sent by name, whatever users wish (SEENBY_RECEIPTS_FORCED).",
    "conversation": "Receipts {} sent by name, as the user wishes for this conversation.",
    "user": "Receipts {} sent by name, as the user wishes for all conversations.",
    "default": "Receipts {} sent by name, as nobody has decided otherwise.",
}


def _counted_in_words(rules: Rules, *, sends: bool, crowd: bool) -> str:
    if sends:
        return "The user is counted by name, so never without it."
    if not rules.count_hidden:
        return "Readers who hide are not counted (SEENBY_COUNT_HIDDEN is false)."
    if crowd:
        return f"The user is counted without a name, as in every group of {CROWD} and more."
    return f"The user is not counted: they are in no registered group of {CROWD} and more here."


def _names_in_words(rules: Rules, *, sees: bool) -> str:
    if not rules.reciprocal:
        return "The user sees the names of others, hidden or not (SEENBY_RECIPROCAL is false)."
    if sees:
        return "The user sees the names of others, as their own is sent."
    return "The user sees no names, as their own is not sent (SEENBY_RECIPROCAL)."


def _viewer(caller: Caller, viewer: str) -> str:
    """For whom a caller asks; users ask for themselves."""
    if viewer:
        caller.must_act_for(viewer)
        return viewer
    if caller.everyone:
        return ""
    if not caller.user_id:
        raise BadInput("user_id", "given by a token without a user")
    return caller.user_id
