"""A WebSocket of a rude client: it is cut without a word, and reads as slowly as it likes."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import struct
from typing import Any
from urllib.parse import urlencode, urlsplit

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

LOOK = 0.25
"""Seconds that a client waits for a frame before it looks around."""

PATIENCE = 60.0
"""Seconds within which every question is answered, whatever breaks; pauses are far shorter, but the
machine may have much else to do."""


class Gone(Exception):  # noqa: N818 -- no error: that is what sockets do here
    """The socket has ended."""


class Socket:
    """A WebSocket that hands a frame over before it writes the pong behind it."""

    def __init__(
        self, gateway: str, query: dict[str, str], *, v1: bool, slow: bool = False
    ) -> None:
        url = f"{gateway}?{urlencode(query)}"
        parts = urlsplit(url)
        self._eof = False
        self._early: list[Frame] = []
        self._protocol = ClientProtocol(
            parse_uri(url), subprotocols=[Subprotocol("seenby.v1")] if v1 else None
        )
        self._socket = socket.socket()
        try:
            if slow:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self._socket.settimeout(PATIENCE)
            self._socket.connect((parts.hostname, parts.port))
            self._protocol.send_request(self._protocol.connect())
            self._flush()
            self._shake_hands()
            self._socket.settimeout(LOOK)
        except BaseException:
            self._socket.close()
            raise

    def frames(self) -> list[dict[str, Any]]:
        """Frames that came within LOOK seconds."""
        events, self._early = self._early, []
        if not events:
            try:
                self._pull()
            except TimeoutError:
                return []
            except OSError as error:
                raise Gone(repr(error)) from error
            events = [e for e in self._protocol.events_received() if isinstance(e, Frame)]
        return [json.loads(bytes(event.data)) for event in events if event.opcode is Opcode.TEXT]

    def confirm(self) -> None:
        """Answer pings and a close; raises Gone when nothing more will come."""
        self._flush()
        received = self._protocol.close_rcvd
        if received is not None or self._eof or self._protocol.state is State.CLOSED:
            raise Gone(f"{received}")

    def send(self, frame: dict[str, Any]) -> None:
        """Send a frame."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_text(json.dumps(frame).encode())
            self._flush()

    def start_close(self) -> None:
        """Say that nothing more will be sent; what is on its way is still read."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(1000)
            self._flush()

    def cut(self, *, reset: bool = False) -> None:
        """Close the connection without a word, perhaps with a reset."""
        if reset:
            linger = struct.pack("ii", 1, 0)
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._socket.close()

    def _shake_hands(self) -> None:
        while not self._eof:
            self._pull()
            for event in self._protocol.events_received():
                if isinstance(event, Frame):
                    self._early.append(event)
                elif (
                    isinstance(event, Response)
                    and event.status_code != http.client.SWITCHING_PROTOCOLS
                ):
                    raise Gone(f"status {event.status_code}")
            if self._protocol.state is State.OPEN:
                return
        raise Gone("no handshake")

    def _pull(self) -> None:
        received = self._socket.recv(65536)
        if received:
            self._protocol.receive_data(received)
        else:
            self._eof = True
            self._protocol.receive_eof()

    def _flush(self) -> None:
        try:
            for part in self._protocol.data_to_send():
                if part:
                    self._socket.sendall(part)
        except OSError as error:
            raise Gone(repr(error)) from error
