"""The client itself: one user, one device, HTTP and WebSocket."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Self

import aiohttp

from seenby import __version__, inputs
from seenby.client.cursor import Cursor
from seenby.client.marks import Marks
from seenby.client.pace import Pace
from seenby.client.stream import OPEN_WITHIN, Receipts, Route
from seenby.client.token import Credentials
from seenby.errors import BadInput
from seenby.model import Position

if TYPE_CHECKING:
    from collections.abc import Callable

    from seenby.client.frames import Item
    from seenby.client.marks import Receipt
    from seenby.client.stream import Notice
    from seenby.client.token import Token
    from seenby.model import ConversationType

DEFAULT_API = "http://127.0.0.1:8080"
DEFAULT_GATEWAY = "ws://127.0.0.1:8081/ws"


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

    async def mark(
        self,
        *,
        msg_id: str,
        sender_id: str,
        conversation_id: str,
        conversation_type: ConversationType = "private",
    ) -> Receipt:
        """Record that this user has read a message; returns when that is durable.

        Tried again for some seconds while seenby is away: a mark twice is a mark once.

        Returns:
            The receipt; for a message that was read before, on any device, the first one.

        Raises:
            Refused: one of its kinds says why (BadInput, Conflict, OwnMessage, Unauthenticated,
                Forbidden, ...); the mark was not recorded.
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
        url = f"{self._api}/api/v1/messages/read"
        return await Marks(self._open_http, url, self._credentials, self._pace).record(mark)

    def receipts(
        self,
        position: Position | tuple[str, int] | None = None,
        *,
        batch: bool = True,
        auto_ack: bool = True,
        notice: Callable[[Notice], None] | None = None,
    ) -> Receipts:
        """The receipts of this user's messages, from *position* on and then live.

        A client has one stream: a new one ends the one before.

        Args:
            position: where to begin, as (epoch, seq). None: where this client stands, else where
                the gateway knows its device to be, else (no device) now.
            batch: the gateway may put several receipts into one frame.
            auto_ack: an item counts as handled when the next one is asked for; otherwise call
                ack(). The last item before leaving the loop is not handled yet.
            notice: called with each Connected and Disconnected.

        Returns:
            An asynchronous iterator of Pushed and Reset that goes on until it is closed. It
            raises Refused, as one of its kinds, when connecting again is of no use.
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


def _address(url: str, name: str, scheme: str, example: str) -> str:
    if re.fullmatch(rf"{scheme}s?://[^\s/?#]+[^\s#]*", url) is None:
        raise BadInput(name, f"an address such as {example}")
    return url
