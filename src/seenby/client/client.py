"""The client itself: one user, one device, HTTP and WebSocket."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

import aiohttp

from seenby import __version__, inputs
from seenby.client.answers import Done, ReadAll, Recorded, Unread, UnreadCounts
from seenby.client.calls import Calls
from seenby.client.cursor import Cursor
from seenby.client.pace import Pace
from seenby.client.stream import OPEN_WITHIN, Receipts, Route
from seenby.client.token import Credentials
from seenby.errors import BadInput
from seenby.model import Position

if TYPE_CHECKING:
    from collections.abc import Callable

    from seenby.client.answers import Receipt
    from seenby.client.frames import Item
    from seenby.client.stream import Notice
    from seenby.client.token import Token
    from seenby.model import ConversationType

DEFAULT_API = "http://127.0.0.1:8080"
DEFAULT_GATEWAY = "ws://127.0.0.1:8081/ws"

LONG_ANSWER_WITHIN = 60.0
"""Seconds for one attempt to read a conversation that may have very many messages."""


class Client:
    """Marks messages as read for one user, and follows the receipts of that user's messages.

    To be used as an asynchronous context manager.

    Args:
        user_id: who marks, and whose receipts are followed.
        device_id: the device whose position the gateway keeps; "" for none: then only what
            comes from connecting on, and after the client's own position, is delivered.
        token: shown where authentication is on; a coroutine function is asked for a new one when
            it has expired.
        api: the address of the API.
        gateway: the address of the gateway, with its path.
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
        api: str = DEFAULT_API,
        gateway: str = DEFAULT_GATEWAY,
        pace: Pace | None = None,
    ) -> None:
        self._user_id = inputs.user_id(user_id)
        self._device_id = inputs.device_id(device_id)
        self._credentials = Credentials(token)
        self._api = _address(api, "api", "http", DEFAULT_API).rstrip("/")
        self._gateway = _address(gateway, "gateway", "ws", DEFAULT_GATEWAY)
        self._pace = pace or Pace()
        self._cursor = Cursor(device=bool(device_id))
        self._http: aiohttp.ClientSession | None = None
        self._stream: Receipts | None = None

    async def __aenter__(self) -> Self:
        """Nothing is connected before it is needed."""
        self._http = aiohttp.ClientSession(
            headers={"User-Agent": f"seenby-python/{__version__}"},
            timeout=aiohttp.ClientTimeout(total=OPEN_WITHIN),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Acknowledge what is still to be acknowledged, and disconnect."""
        if self._stream is not None:
            await self._stream.aclose()
        await self._open_http.close()
        self._http = None

    @property
    def position(self) -> Position | None:
        """Up to where the application has handled the stream; None before the first receipt.

        An application that keeps it itself gives it to receipts() the next time.
        """
        return self._cursor.handled

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
        mark = {
            "msg_id": msg_id,
            "reader_id": self._user_id,
            "sender_id": sender_id,
            "conversation_id": conversation_id,
            "conversation_type": conversation_type,
            "device_id": self._device_id,
        }
        found = await self._calls.call(Recorded, "POST", "/api/v1/messages/read", body=_given(mark))
        return found.receipt

    async def unmark(self, msg_id: str) -> Receipt:
        """Take the receipt of a message back: it is unread again.

        Returns:
            The receipt that there was.

        Raises:
            NotFound: there is none; so too when an earlier attempt took it back and its answer
                was lost.
            TooLate: it is too old to be taken back.
            SeenbyError: as mark().
        """
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
            position: where to begin, as (epoch, seq). None: where this client stands, else where
                the gateway knows its device to be, else (no device) now.
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
            self._open_http, self._gateway, self._user_id, self._device_id, self._credentials
        )
        self._stream = Receipts(
            route,
            self._cursor,
            self._pace,
            position=position,
            before=self._stream,
            batch=batch,
            auto_ack=auto_ack,
            notice=notice,
        )
        return self._stream

    def ack(self, item: Item) -> None:
        """The application has handled *item* and all before it.

        The gateway is told within a second, if there is a device, and by the end of the stream.
        """
        if self._stream is not None:
            self._stream.handled(item)

    @property
    def _open_http(self) -> aiohttp.ClientSession:
        if self._http is None:
            raise RuntimeError("use the client as a context manager: async with Client(...)")
        return self._http


def _given(fields: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value is not None}


def _address(url: str, name: str, scheme: str, example: str) -> str:
    if re.fullmatch(rf"{scheme}s?://[^\s/?#]+[^\s#]*", url) is None:
        raise BadInput(name, f"an address such as {example}")
    return url
