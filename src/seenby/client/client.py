"""The client itself: one user, one device, HTTP and WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

import aiohttp

from seenby import __version__, inputs
from seenby.client.answers import (
    Done,
    Gateway,
    MessageReceipts,
    ReadAll,
    ReceiptsOfSeveral,
    Recorded,
    Unread,
    UnreadCounts,
)
from seenby.client.calls import Calls
from seenby.client.cursor import Cursor
from seenby.client.marks import Marks
from seenby.client.pace import Pace
from seenby.client.storage import Mark, MemoryStorage
from seenby.client.stream import OPEN_WITHIN, Connected, Receipts, Route
from seenby.client.token import Credentials
from seenby.errors import BadInput
from seenby.model import Position

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from seenby.client.answers import Receipt
    from seenby.client.calls import Query
    from seenby.client.frames import Item
    from seenby.client.storage import Storage
    from seenby.client.stream import Notice
    from seenby.client.token import Token
    from seenby.errors import SeenbyError
    from seenby.model import ConversationType

DEFAULT_API = "http://127.0.0.1:8080"
DEFAULT_GATEWAY = "ws://127.0.0.1:8081/ws"

LONG_ANSWER_WITHIN = 60.0
"""Seconds for one attempt to read a conversation that may have very many messages."""

LAST_MARKS_WITHIN = 2.0
"""Seconds that marks have to be sent when the client is left."""

MESSAGES_MAX = 100
"""Messages whose receipts are asked for in one request (contract, section 4)."""


class Client:
    """Marks messages as read for one user, and follows the receipts of that user's messages.

    To be used as an asynchronous context manager.

    Args:
        user_id: who marks, and whose receipts are followed.
        device_id: the device whose position the gateway keeps; "" for none: then only what
            comes from connecting on, and after the client's own position, is delivered.
        token: shown where authentication is on; a coroutine function is asked for a new one when
            it has expired.
        api: the address of the API; None: DEFAULT_API.
        gateway: the address of the gateway, with its path. None: the API is asked before each
            connection; where no API is named either, DEFAULT_GATEWAY.
        storage: keeps the position and the marks of mark_later(), such as a FileStorage; None:
            only as long as the client is used.
        marked: told each receipt that comes of mark_later().
        refused: told each mark of mark_later() that is refused for good, and why.
        pace: time and chance; for tests.

    Raises:
        BadInput: user_id or device_id cannot be an id, api or gateway cannot be an address.
    """

    def __init__(
        self,
        *,
        user_id: str,
        device_id: str = "",
        token: Token | None = None,
        api: str | None = None,
        gateway: str | None = None,
        storage: Storage | None = None,
        marked: Callable[[Receipt], object] | None = None,
        refused: Callable[[Mark, SeenbyError], object] | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._user_id = inputs.user_id(user_id)
        self._device_id = inputs.device_id(device_id)
        self._credentials = Credentials(token)
        self._api = _address(
            DEFAULT_API if api is None else api, "api", "http", DEFAULT_API
        ).rstrip("/")
        if gateway is None and api is None:
            gateway = DEFAULT_GATEWAY
        self._gateway: str | None = None
        if gateway is not None:
            self._gateway = _address(gateway, "gateway", "ws", DEFAULT_GATEWAY)
        self._storage = storage or MemoryStorage()
        self._marked = marked
        self._refused = refused
        self._pace = pace or Pace()
        self._cursor = Cursor(device=bool(device_id))
        self._http: aiohttp.ClientSession | None = None
        self._marks: Marks | None = None
        self._stream: Receipts | None = None

    async def __aenter__(self) -> Self:
        """Open the storage; what waits in it is sent. Else nothing is connected before it must be.

        Raises:
            BadInput: the storage is another user's, or another client uses it.
            OSError: the storage cannot be read or written.
        """
        kept = self._storage.open(self._user_id)
        self._cursor.handled = kept.position or self._cursor.handled
        self._http = aiohttp.ClientSession(
            headers={"User-Agent": f"seenby-python/{__version__}"},
            timeout=aiohttp.ClientTimeout(total=OPEN_WITHIN),
        )
        self._marks = Marks(
            self._calls,
            self._said,
            self._storage,
            kept.marks,
            self._pace,
            marked=self._marked,
            refused=self._refused,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Send what can be sent, acknowledge what is still to be acknowledged, and disconnect."""
        marks = self._open_marks
        try:
            if not marks.failing:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LAST_MARKS_WITHIN):
                        await marks.empty()
            if self._stream is not None:
                await self._stream.aclose()
                # The next one may live on another event loop.
                self._stream = None
        finally:
            await marks.close()
            await self._open_http.close()
            self._http = None
            self._storage.close()

    @property
    def position(self) -> Position | None:
        """Up to where the application has handled the stream; None before the first receipt.

        An application that keeps it itself gives it to receipts() the next time.
        """
        return self._cursor.handled

    @property
    def pending(self) -> list[Mark]:
        """The marks of mark_later() that are not answered, in the order in which they came."""
        return [] if self._marks is None else self._marks.waiting

    # Over HTTP

    async def mark(
        self,
        *,
        msg_id: str,
        sender_id: str | None = None,
        conversation_id: str | None = None,
        conversation_type: ConversationType = "private",
    ) -> Receipt:
        """Record that this user has read a message; returns when that is durable.

        Tried again for some seconds while seenby is away, as every call here: a mark twice is a
        mark once.

        Args:
            msg_id: the message.
            sender_id: who sent it; may be left out where the message is registered.
            conversation_id: where; may be left out where the message is registered.
            conversation_type: of a message that is not registered.

        Returns:
            The receipt; for a message that was read before, on any device, the first one.

        Raises:
            Refused: one of its kinds says why (BadInput, Conflict, OwnMessage, Mismatch,
                Unauthenticated, Forbidden, ...); the mark was not recorded.
            StoreUnavailable, Overloaded, Draining: seenby could not record it.
            Unreachable: there was no answer; it may have been recorded.
        """
        mark = Mark(msg_id, sender_id, conversation_id, conversation_type)
        found = await self._calls.call(
            Recorded, "POST", "/api/v1/messages/read", body=self._said(mark)
        )
        return found.receipt

    def mark_later(
        self,
        *,
        msg_id: str,
        sender_id: str | None = None,
        conversation_id: str | None = None,
        conversation_type: ConversationType = "private",
    ) -> None:
        """Mark a message as read, without waiting for the answer.

        To be called where the event loop runs. The mark is kept in the storage until it is
        answered, and sent together with others as soon as seenby can be reached, also after a
        restart. seenby's clock tells when the message was
        read: at the moment it learns of it.

        Args:
            msg_id: the message; of one that waits already this mark takes the place.
            sender_id: as for mark().
            conversation_id: as for mark().
            conversation_type: as for mark().

        Raises:
            BadInput: this cannot be an id.
            OSError: the storage cannot be written; nothing is kept.
        """
        inputs.msg_id(msg_id)
        if sender_id is not None:
            inputs.user_id(sender_id, "sender_id")
        if conversation_id is not None:
            inputs.conversation_id(conversation_id)
        self._open_marks.add(Mark(msg_id, sender_id, conversation_id, conversation_type))

    async def marks_sent(self) -> None:
        """Return when every mark of mark_later() is answered, be it with a refusal."""
        await self._open_marks.empty()

    async def unmark(self, msg_id: str) -> Receipt:
        """Take the receipt of a message back: it is unread again.

        A mark of it that waits is not sent any more.

        Returns:
            The receipt that there was.

        Raises:
            NotFound: there is none; so too when an earlier attempt took it back and its answer
                was lost.
            TooLate: it is too old to be taken back.
            SeenbyError: as mark().
        """
        await self._open_marks.take_out(msg_id)
        body = {"msg_id": msg_id, "reader_id": self._user_id}
        found = await self._calls.call(Recorded, "DELETE", "/api/v1/messages/read", body=body)
        return found.receipt

    async def read_conversation(self, conversation_id: str, up_to: str | None = None) -> int:
        """Mark everything in a registered conversation as read.

        Args:
            conversation_id: the conversation.
            up_to: the last message to mark, by its id; None: all there are.

        Returns:
            How many receipts that made: none for what was read before. When it was tried again,
            those of the last attempt.

        Raises:
            SeenbyError: as mark(); what was marked until then stays so, and the rest is marked
                by another call.
        """
        body = {
            "user_id": self._user_id,
            "conversation_id": conversation_id,
            "up_to_msg_id": up_to,
        }
        found = await self._calls.call(
            ReadAll,
            "POST",
            "/api/v1/conversations/read",
            body=_given(body),
            within=LONG_ANSWER_WITHIN,
        )
        return found.rows_affected

    async def unread_counts(self) -> UnreadCounts:
        """How many registered messages this user has not read: in all, and by conversation."""
        return await self._calls.call(
            UnreadCounts,
            "GET",
            "/api/v1/messages/unread/count",
            query={"user_id": self._user_id},
        )

    async def unread(
        self, limit: int = 100, offset: int = 0, *, conversation_id: str | None = None
    ) -> Unread:
        """A page of the registered messages that this user has not read.

        Args:
            limit: how many at most, up to 1000.
            offset: how many to pass over: the ``next_offset`` of the page before.
            conversation_id: only those of one conversation.
        """
        return await self._calls.call(
            Unread,
            "GET",
            "/api/v1/messages/unread",
            query={
                "user_id": self._user_id,
                "limit": limit,
                "offset": offset,
                "conversation_id": conversation_id,
            },
        )

    async def message_receipts(
        self, msg_ids: Sequence[str], *, limit: int = 100, cursor: str | None = None
    ) -> list[MessageReceipts]:
        """Who has read these messages of the user's, in the order in which they are asked for.

        Args:
            msg_ids: any number of them; a hundred are asked for at a time.
            limit: receipts of each, up to 1000.
            cursor: the ``next_cursor`` of the page before; with one message only.
        """
        found: list[MessageReceipts] = []
        for start in range(0, len(msg_ids), MESSAGES_MAX):
            some = list(msg_ids[start : start + MESSAGES_MAX])
            asked: Query = {"msg_id": some, "limit": limit, "cursor": cursor}
            path = "/api/v1/messages/receipts"
            if len(some) == 1:
                found.append(await self._calls.call(MessageReceipts, "GET", path, query=asked))
            else:
                answer = await self._calls.call(ReceiptsOfSeveral, "GET", path, query=asked)
                found += answer.messages
        return found

    async def receipts_of(self, msg_id: str, *, page: int = 100) -> AsyncIterator[Receipt]:
        """Everyone who has read a message of the user's, by name and one after the other.

        Args:
            msg_id: the message.
            page: how many are asked for at a time, up to 1000.
        """
        cursor: str | None = None
        while True:
            [found] = await self.message_receipts([msg_id], limit=page, cursor=cursor)
            for receipt in found.receipts:
                yield receipt
            cursor = found.next_cursor
            if cursor is None:
                return

    async def set_preferences(
        self, *, send_receipts: bool | None, conversation_id: str | None = None
    ) -> None:
        """Set whether the senders of what this user reads are told the name.

        Args:
            send_receipts: None takes back what was set before.
            conversation_id: for one conversation; None: for all where nothing else is set.
        """
        body: dict[str, object] = {"send_receipts": send_receipts}
        if conversation_id is not None:
            body["conversation_id"] = conversation_id
        path = f"/api/v1/users/{quote(self._user_id, safe='')}/settings"
        await self._calls.call(Done, "PUT", path, body=body)

    @property
    def _calls(self) -> Calls:
        return Calls(self._open_http, self._api, self._credentials, self._pace)

    # The stream

    def receipts(
        self,
        position: Position | tuple[str, int] | None = None,
        *,
        batch: bool = True,
        auto_ack: bool = True,
        notice: Callable[[Notice], None] | None = None,
    ) -> Receipts:
        """The stream of this user, from *position* on and then live.

        It holds the receipts of the user's messages, counts and withdrawals of them, and what the
        user has read on other devices.

        A client has one stream: a new one ends the one before.

        Args:
            position: where to begin, as (epoch, seq). None: where this client stands, by itself or
                by its storage; else where the gateway knows its device to be; else (no device) now.
            batch: the gateway may put several receipts into one frame.
            auto_ack: an item counts as handled when the next one is asked for; otherwise call
                ack(). The last item before leaving the loop is not handled yet.
            notice: called with each Connected and Disconnected.

        Returns:
            An asynchronous iterator of Pushed, ReadCount, Withdrawn, ReadSelf, UnreadSelf and
            Reset that goes on until it is closed. It raises Refused, as one of its kinds, when
            connecting again is of no use.
        """
        if isinstance(position, tuple):
            position = Position(*position)
        route = Route(
            self._open_http, self._where, self._user_id, self._device_id, self._credentials
        )
        marks = self._open_marks

        def tell(told: Notice) -> None:
            if isinstance(told, Connected):
                marks.wake()
            if notice is not None:
                notice(told)

        self._stream = Receipts(
            route,
            self._cursor,
            self._pace,
            position=position,
            before=self._stream,
            moved=self._storage.keep_position,
            batch=batch,
            auto_ack=auto_ack,
            notice=tell,
        )
        return self._stream

    def ack(self, item: Item) -> None:
        """The application has handled *item* and all before it.

        The gateway is told within a second, if there is a device, and by the end of the stream.
        """
        if self._stream is not None:
            self._stream.handled(item)

    async def _where(self) -> Gateway:
        """Where to connect now."""
        if self._gateway is not None:
            return Gateway(self._gateway)
        query = {"user_id": self._user_id}
        found = await self._calls.call(Gateway, "GET", "/api/v1/gateway", query=query, attempts=1)
        return Gateway(_address(found.url, "gateway", "ws", DEFAULT_GATEWAY), found.part)

    def _said(self, mark: Mark) -> dict[str, str]:
        """A mark as a request has it."""
        return _given(
            {
                "msg_id": mark.msg_id,
                "reader_id": self._user_id,
                "sender_id": mark.sender_id,
                "conversation_id": mark.conversation_id,
                "conversation_type": mark.conversation_type,
                "device_id": self._device_id,
            }
        )

    @property
    def _open_http(self) -> aiohttp.ClientSession:
        if self._http is None:
            raise RuntimeError("use the client as a context manager: async with Client(...)")
        return self._http

    @property
    def _open_marks(self) -> Marks:
        if self._http is None or self._marks is None:
            raise RuntimeError("use the client as a context manager: async with Client(...)")
        return self._marks


def _given(fields: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value is not None}


def _address(url: str, name: str, scheme: str, example: str) -> str:
    if re.fullmatch(rf"{scheme}s?://[^\s/?#]+[^\s#]*", url) is None:
        raise BadInput(name, f"an address such as {example}")
    return url
