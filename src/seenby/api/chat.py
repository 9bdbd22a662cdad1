"""The endpoints for conversations: each reads a request, asks the chat, and writes the answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from seenby import inputs
from seenby.api import forms, schemas, shapes
from seenby.api.answers import Answer
from seenby.errors import BadInput, SeenbyError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from seenby.api.routes import Call
    from seenby.chat import Chat

T = TypeVar("T")
W = TypeVar("W")


class ChatRoutes:
    """The endpoints.

    Args:
        chat: the use cases.
    """

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    # From the chat's backend

    async def put(self, call: Call) -> Answer:
        """``PUT /api/v1/conversations/{conversation_id}``."""
        wanted = forms.conversation(call.body, _conversation_id(call))
        [found] = await self._chat.put(call.caller, [wanted])
        return _answered(found, schemas.conversation)

    async def put_batch(self, call: Call) -> Answer:
        """``POST /api/v1/conversations/batch``."""
        return await _batch(
            forms.conversations(call.body),
            lambda wanted: self._chat.put(call.caller, wanted),
            schemas.conversation,
        )

    async def conversation(self, call: Call) -> Answer:
        """``GET /api/v1/conversations/{conversation_id}``."""
        found = await self._chat.conversation(call.caller, _conversation_id(call))
        return Answer(schemas.conversation(found))

    async def change(self, call: Call) -> Answer:
        """``POST /api/v1/conversations/{conversation_id}/members``."""
        wanted = forms.change(call.body, _conversation_id(call))
        [found] = await self._chat.change(call.caller, [wanted])
        return _answered(found, schemas.conversation)

    async def change_batch(self, call: Call) -> Answer:
        """``POST /api/v1/conversations/members/batch``."""
        return await _batch(
            forms.changes(call.body),
            lambda wanted: self._chat.change(call.caller, wanted),
            schemas.conversation,
        )

    async def members(self, call: Call) -> Answer:
        """``GET /api/v1/conversations/{conversation_id}/members``."""
        conversation_id = _conversation_id(call)
        asked = schemas.names_query(call.request.query)
        found = await self._chat.members(
            call.caller, conversation_id, after=asked.after, limit=asked.limit
        )
        return Answer(schemas.members(conversation_id, found, asked.limit))

    async def register(self, call: Call) -> Answer:
        """``POST /api/v1/messages``."""
        wanted = forms.message(call.body)
        [found] = await self._chat.register(call.caller, [wanted], now=_now())
        return _answered(found, schemas.message)

    async def register_batch(self, call: Call) -> Answer:
        """``POST /api/v1/messages/batch``."""
        return await _batch(
            forms.messages(call.body),
            lambda wanted: self._chat.register(call.caller, wanted, now=_now()),
            schemas.message,
        )

    async def erase(self, call: Call) -> Answer:
        """``DELETE /api/v1/users/{user_id}``: answered when nothing is left."""
        await self._chat.erase(call.caller, inputs.user_id(call.path("user_id")), now=_now())
        return Answer(schemas.encode(shapes.Done()))

    # Who has read

    async def receipts(self, call: Call) -> Answer:
        """``GET /api/v1/messages/receipts``: who has read, or with ``unread=true`` who has not."""
        query = call.request.query
        viewer = schemas.viewer_query(query)
        if schemas.unread_query(query):
            msg_id, names = schemas.not_read_query(query)
            missing = await self._chat.not_read(
                call.caller, viewer, msg_id, after=names.after, limit=names.limit
            )
            return Answer(schemas.not_read(missing, names.limit))
        asked = schemas.receipts_query(query)
        found = await self._chat.receipts(
            call.caller, viewer, asked.msg_ids, after_id=asked.after_id, limit=asked.limit
        )
        shown = [schemas.receipts(seen.page, asked.limit, names=seen.names) for seen in found]
        # One id given once is answered by itself; whoever repeats the name gets a list.
        if len(query.getall("msg_id")) == 1:
            return Answer(schemas.encode(shown[0]))
        return Answer(schemas.encode(shapes.ReceiptsOfSeveral(shown)))

    # A user's own

    async def unread_counts(self, call: Call) -> Answer:
        """``GET /api/v1/messages/unread/count``."""
        user_id = schemas.user_query(call.request.query)
        return Answer(
            schemas.unread_counts(user_id, await self._chat.unread_counts(call.caller, user_id))
        )

    async def unread(self, call: Call) -> Answer:
        """``GET /api/v1/messages/unread``."""
        query = call.request.query
        user_id = schemas.user_query(query)
        asked = schemas.unread_page_query(query)
        found = await self._chat.unread(
            call.caller,
            user_id,
            conversation_id=asked.conversation_id,
            limit=asked.limit,
            offset=asked.offset,
        )
        return Answer(schemas.unread(user_id, found, asked))

    async def read_conversation(self, call: Call) -> Answer:
        """``POST /api/v1/conversations/read``."""
        asked = forms.read_all(call.body)
        rows = await self._chat.read_conversation(
            call.caller, asked.user_id, asked.conversation_id, asked.up_to_msg_id
        )
        return Answer(schemas.encode(shapes.ReadMessages(rows_affected=rows)))

    async def withdraw(self, call: Call) -> Answer:
        """``DELETE /api/v1/messages/read``: mark unread."""
        asked = forms.withdrawal(call.body)
        receipt = await self._chat.withdraw(call.caller, asked.msg_id, asked.reader_id)
        return Answer(schemas.recorded(receipt))

    async def prefer(self, call: Call) -> Answer:
        """``PUT /api/v1/users/{user_id}/settings``."""
        user_id = inputs.user_id(call.path("user_id"))
        wish = forms.wish(call.body)
        found = await self._chat.prefer(
            call.caller, user_id, wish.conversation_id or "", send_receipts=wish.send_receipts
        )
        return Answer(schemas.preferences(user_id, found))

    async def preferences(self, call: Call) -> Answer:
        """``GET /api/v1/users/{user_id}/settings``."""
        user_id = inputs.user_id(call.path("user_id"))
        found = await self._chat.preferences(call.caller, user_id)
        return Answer(schemas.preferences(user_id, found))

    async def policy(self, call: Call) -> Answer:
        """``GET /api/v1/users/{user_id}/policy``."""
        user_id = inputs.user_id(call.path("user_id"))
        conversation_id = schemas.conversation_query(call.request.query) or ""
        return Answer(
            schemas.encode(await self._chat.policy(call.caller, user_id, conversation_id))
        )


def _conversation_id(call: Call) -> str:
    return inputs.conversation_id(call.path("conversation_id"))


def _now() -> int:
    return int(time.time() * 1000)


def _answered(found: T | SeenbyError, shown: Callable[[T], bytes]) -> Answer:
    if isinstance(found, SeenbyError):
        raise found
    return Answer(shown(found))


async def _batch(
    items: Sequence[W | BadInput],
    ask: Callable[[list[W]], Awaitable[Sequence[T | SeenbyError]]],
    shown: Callable[[T], bytes],
) -> Answer:
    """Ask for those items that have the right form; one result per item, in order."""
    good: list[W] = [item for item in items if not isinstance(item, BadInput)]
    found = iter(await ask(good))
    results = []
    for item in items:
        result = item if isinstance(item, BadInput) else next(found)
        results.append(
            schemas.failure(result) if isinstance(result, SeenbyError) else shown(result)
        )
    return Answer(b'{"success":true,"results":[' + b",".join(results) + b"]}")
