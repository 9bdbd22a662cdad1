"""Many WebSocket clients in one process, each as cheap as it can be.

A load generator shares the machine with what it measures, so a frame that comes in costs a few
microseconds here and no object but its payload. What a general client library does beyond that
is left out: the server under test is trusted to send unmasked, unfragmented frames
(RFC 6455, section 5.2), and masking uses the key 0, which changes nothing and is valid on the wire.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import struct
from typing import TYPE_CHECKING, cast
from urllib.parse import urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    OnMessage = Callable[["Socket", bytes], None]

BUFFER = 256 * 1024
"""Bytes read at once, in one buffer for all sockets: each read is used up before the next."""

OPENING = 200
"""Handshakes under way at the same time."""

_TEXT, _CLOSE, _PING, _PONG = 0x81, 0x88, 0x89, 0x8A

_HEAD = 2
"""Bytes of the shortest frame."""

_SHORT, _LONG = 126, 127
"""Lengths that say: the real one follows in two bytes, or in eight."""


class RefusedError(ConnectionError):
    """The server did not take the handshake; its text is the status line."""


class Sockets:
    """All clients, and what came over them.

    Args:
        on_message: called with each text message and its socket; None: they are only counted.
    """

    def __init__(self, on_message: OnMessage | None = None) -> None:
        self.on_message = on_message
        self.all: list[Socket] = []
        self.messages = 0
        self.lost = 0
        self.buffer = bytearray(BUFFER)
        self.view = memoryview(self.buffer)

    async def connect(
        self,
        url: str,
        clients: Iterable[Mapping[str, str]],
        *,
        headers: Mapping[str, str] | None = None,
    ) -> list[Socket]:
        """Connect one socket for each of *clients*, given by its query; returns them in order.

        Args:
            url: ``ws://host:port/path``; TLS is not spoken.
            clients: the query of each, such as ``{"user_id": "u1", "device_id": "phone"}``.
            headers: for all handshakes.

        Raises:
            RefusedError: one was refused.
            OSError: the server is not there.
        """
        parts = urlsplit(url)
        host, port = parts.hostname or "127.0.0.1", parts.port or 80
        more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        gate = asyncio.Semaphore(OPENING)
        loop = asyncio.get_running_loop()

        async def one(query: Mapping[str, str]) -> Socket:
            async with gate:
                _, socket = await loop.create_connection(
                    lambda: Socket(self, query, loop.create_future()), host, port
                )
                key = base64.b64encode(secrets.token_bytes(16)).decode()
                socket.transport.write(
                    f"GET {parts.path}?{urlencode(query)} HTTP/1.1\r\nHost: {host}:{port}\r\n"
                    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                    f"Sec-WebSocket-Key: {key}\r\n{more}\r\n".encode()
                )
                await socket.opened
                return socket

        sockets = await asyncio.gather(*map(one, clients))
        self.all.extend(sockets)
        return sockets

    def close(self) -> None:
        """Cut all of them."""
        for socket in self.all:
            socket.transport.abort()
        self.all.clear()


class Socket(asyncio.BufferedProtocol):
    """One client; ``query`` tells which, ``seq`` is for its owner's notes."""

    __slots__ = ("_rest", "_sockets", "opened", "query", "seq", "transport")

    def __init__(
        self, sockets: Sockets, query: Mapping[str, str], opened: asyncio.Future[None]
    ) -> None:
        self._sockets = sockets
        self._rest = b""
        self.opened = opened
        self.query = query
        self.seq = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The TCP connection is there."""
        self.transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 -- the protocol's signature
        """Where the next bytes go: one buffer serves all."""
        return self._sockets.view

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have come."""
        buffer, end, start = self._sockets.buffer, nbytes, 0
        if self._rest:
            buffer = bytearray(self._rest + buffer[:nbytes])
            end = len(buffer)
        if not self.opened.done():
            start = self._handshake(buffer, end)
        if self.opened.done():
            start = self._frames(buffer, start, end)
        self._rest = bytes(buffer[start:end]) if start < end else b""

    def _frames(self, buffer: bytearray, start: int, end: int) -> int:
        """Use up the whole frames; where the first one begins that is not whole."""
        sockets = self._sockets
        while start + _HEAD <= end:
            opcode, length = buffer[start], buffer[start + 1]
            body = start + _HEAD
            if length >= _SHORT:
                body += 2 if length == _SHORT else 8
                length = int.from_bytes(buffer[start + _HEAD : body], "big")
            after = body + length
            if after > end:
                break
            if opcode == _TEXT:
                sockets.messages += 1
                if sockets.on_message is not None:
                    sockets.on_message(self, bytes(buffer[body:after]))
            elif opcode == _PING:
                self.transport.write(_frame(_PONG, bytes(buffer[body:after])))
            elif opcode == _CLOSE:
                self.transport.close()
            start = after
        return start

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        if not self.opened.done():
            self.opened.set_exception(exc or RefusedError("the server closed the connection"))
        self._sockets.lost += 1

    def send(self, message: bytes) -> None:
        """Send a text message."""
        self.transport.write(_frame(_TEXT, message))

    def _handshake(self, buffer: bytearray, end: int) -> int:
        """Look at the answer to the handshake, if it is there; where the frames behind it begin."""
        head = buffer.find(b"\r\n\r\n", 0, end)
        if head < 0:
            return 0
        if buffer.startswith(b"HTTP/1.1 101 "):
            self.opened.set_result(None)
            return head + 4
        line = bytes(buffer[: buffer.find(b"\r\n")]).decode("latin-1")
        self.opened.set_exception(RefusedError(line))
        self.transport.close()
        return end


def _frame(opcode: int, payload: bytes) -> bytes:
    """A client's frame: masked, with the key 0."""
    length = len(payload)
    if length < _SHORT:
        head = struct.pack("!BBI", opcode, 0x80 | length, 0)
    elif length < 1 << 16:
        head = struct.pack("!BBHI", opcode, 0x80 | _SHORT, length, 0)
    else:
        head = struct.pack("!BBQI", opcode, 0x80 | _LONG, length, 0)
    return head + payload
