"""What one socket is sent, byte for byte (RFC 6455, section 5.2)."""

from __future__ import annotations

import pytest
from websockets.frames import Frame
from websockets.streams import StreamReader

from seenby.gateway.connection import Connection
from seenby.gateway.session import Outgoing, Ping, Session


class Wire:
    """Stands for picows' transport and for the one beneath it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_close_frame_sent = False
        self.is_disconnected = False

    @property
    def underlying_transport(self) -> Wire:
        """Itself: what is written there is what is sent."""
        return self

    def write(self, text: bytes) -> None:
        """Take it."""
        self.written.append(text)


def connected() -> tuple[Connection, Wire]:
    """A connection, and what it writes to."""
    session = Session(silent=True, user_id="u", device_id="", now=0.0)
    connection, wire = Connection(None, session, None), Wire()  # type: ignore[arg-type]
    connection.transport = wire  # type: ignore[assignment]
    return connection, wire


def frames(text: bytes) -> list[Frame]:
    """The frames in it, as a client that shares no code with the server reads them."""
    reader = StreamReader()
    reader.feed_data(text)
    found: list[Frame] = []
    while reader.buffer:
        parsing = Frame.parse(reader.read_exact, mask=False)
        try:
            next(parsing)
        except StopIteration as end:
            found.append(end.value)
        else:
            raise AssertionError("a frame is not whole")
    return found


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536, 200_000])
def test_texts_of_every_length_are_whole_frames_in_their_order(length: int) -> None:
    """Written at once, with a ping behind them."""
    connection, wire = connected()
    out: list[Outgoing] = [b"first", b"x" * length, Ping(b"42")]
    connection.send(out)
    [written] = wire.written
    found = [(frame.opcode.name, frame.data, frame.fin) for frame in frames(written)]
    assert found == [
        ("TEXT", b"first", True),
        ("TEXT", b"x" * length, True),
        ("PING", b"42", True),
    ]


@pytest.mark.parametrize("gone", ["is_close_frame_sent", "is_disconnected"])
def test_nothing_is_written_behind_a_close(gone: str) -> None:
    """Nor to a socket that is gone."""
    connection, wire = connected()
    setattr(wire, gone, True)
    connection.send([b"late"])
    assert wire.written == []


def test_nothing_to_send_is_no_write() -> None:
    """A close alone has nothing before it."""
    connection, wire = connected()
    connection.send([])
    assert wire.written == []
