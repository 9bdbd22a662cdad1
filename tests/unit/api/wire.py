"""A connection without a network: what is sent arrives in just the pieces that a test wants."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

DATE = re.compile(rb"\r\nDate: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\r\n")


class Wire(asyncio.Transport):
    """The server's end, and what the client at the other end does and sees.

    Attributes:
        written: what the client has been sent.
        paused: the server does not read.
        closed: the server has closed, or the client has left.
        protocol: whoever serves the connection now.
    """

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.written = b""
        self.paused = False
        self.closed = False
        self.protocol = protocol
        protocol.connection_made(self)

    # The client

    def send(self, *pieces: bytes) -> None:
        """Send; each piece arrives by itself."""
        for piece in pieces:
            if not self.closed:
                self.protocol.data_received(piece)

    def leave(self) -> None:
        """Close from the client's side."""
        self.close()

    @property
    def answers(self) -> int:
        """How many answers have begun, as status lines."""
        return len(re.findall(rb"(?:\A|\n|})HTTP/\d\.\d \d{3} (?!Continue)", self.written))

    @property
    def shown(self) -> bytes:
        """What the client has been sent, without the time of day."""
        return DATE.sub(b"\r\nDate: now\r\n", self.written)

    # asyncio.Transport

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Towards the client."""
        assert not self.closed
        self.written += bytes(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        """Towards the client."""
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        """The server closes."""
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close

    def is_closing(self) -> bool:
        """Whether either side has closed."""
        return self.closed

    def pause_reading(self) -> None:
        """The server wants no more for now."""
        assert not self.closed
        self.paused = True

    def resume_reading(self) -> None:
        """The server goes on."""
        assert not self.closed
        self.paused = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Somebody else serves the connection."""
        self.protocol = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who serves it."""
        return self.protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """There is no socket."""
        return default
