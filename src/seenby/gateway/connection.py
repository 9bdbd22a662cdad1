"""One socket: its WebSocket messages become calls of the gateway.

picows does the framing; what it leaves to its user is done here: reserved bits, fragments, UTF-8
and the close handshake (RFC 6455, sections 5.2, 5.4, 8.1 and 5.5.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from seenby.gateway import disconnect, frames
from seenby.gateway.session import Ping

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seenby.gateway.disconnect import Disconnect
    from seenby.gateway.server import Gateway
    from seenby.gateway.session import Outgoing, Session

_NEVER_SENT = {WSCloseCode.NO_INFO, 1005, WSCloseCode.ABNORMAL_CLOSURE, 1015}
"""What stands for "no code" and must not be on the wire (RFC 6455, section 7.4.1)."""

_WHOLE_TEXT, _WHOLE_PING = 0x81, 0x89
_TWO_BYTES, _EIGHT_BYTES = 126, 127
"""Lengths that say: the real one follows."""

_TEXT: Final = WSMsgType.TEXT
_CONTINUATION: Final = WSMsgType.CONTINUATION


class Connection(WSListener):
    """One socket.

    ``clean``: it ended in order, and the client has read all that was written.
    """

    __slots__ = ("_closing", "_fragments", "_gateway", "_token", "clean", "session", "transport")

    def __init__(self, gateway: Gateway, session: Session, token: str | None) -> None:
        """The handshake was accepted."""
        self._gateway = gateway
        self._token = token
        self._fragments: bytearray | None = None
        self._closing = 0
        self.session = session
        self.transport: WSTransport | None = None
        self.clean = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The handshake is done."""
        self.transport = transport
        # A token may stand in it, and both live as long as the connection: a kilobyte or two.
        transport.request.headers.clear()
        transport.response.headers.clear()
        self.session.link = self
        self._gateway.opened(self, self._token)
        self._token = None

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A frame has come."""
        kind = frame.msg_type
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._refuse(disconnect.RESERVED_BITS)
        elif kind is _TEXT or kind is _CONTINUATION:
            self._message(frame, kind)
        elif kind is WSMsgType.PONG:
            self._gateway.ponged(self.session, frame.get_payload_as_bytes())
        elif kind is WSMsgType.PING:
            # A client that pings and does not read gets no pongs: they would pile up here.
            if not self.session.congested:
                transport.send_pong(frame.get_payload_as_bytes())
            self._gateway.heard(self.session)
        elif kind is WSMsgType.CLOSE:
            self._closed_by_client(transport, frame)
        else:
            self._refuse(disconnect.NOT_TEXT)

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002 -- picows' signature
        """The socket is gone."""
        self._gateway.closed(self)

    def pause_writing(self) -> None:
        """The socket takes no more for now."""
        self.session.congested = True

    def resume_writing(self) -> None:
        """The socket takes data again."""
        self.session.congested = False
        self._gateway.writable(self.session)

    def send(self, out: Sequence[Outgoing]) -> None:
        """Write texts and pings, several of them at once: picows would ask the kernel for each.

        A write costs the kernel 6 us, whatever is in it up to some kilobytes.
        """
        transport = self.transport
        if not out or transport is None:
            return
        if transport.is_close_frame_sent or transport.is_disconnected:
            return
        parts: list[bytes] = []
        for item in out:
            if type(item) is bytes:
                parts += (_header(_WHOLE_TEXT, len(item)), item)
            elif isinstance(item, Ping):
                parts += (_header(_WHOLE_PING, len(item.payload)), item.payload)
        transport.underlying_transport.write(b"".join(parts))

    def send_close(self, reason: Disconnect) -> None:
        """Write a close; the client has to answer it."""
        if self.transport is not None:
            # The codes from 4000 on are not in picows' enumeration, which takes any number.
            self.transport.send_close(reason.code, reason.reason.encode())  # type: ignore[arg-type]
            self._closing = reason.code

    def cut(self) -> None:
        """End the socket at once."""
        if self.transport is not None:
            self.transport.disconnect(graceful=False)

    def _closed_by_client(self, transport: WSTransport, frame: WSFrame) -> None:
        """Answer a close; one that answers ours was read behind all that was written.

        It then bears our code (RFC 6455, section 5.5.1). A client that closes by itself does not
        look at what is on its way any more: a browser drops it.
        """
        code = frame.get_close_code()
        if transport.is_close_frame_sent:
            # A number, whatever picows' stub says.
            self.clean = code == self._closing  # type: ignore[comparison-overlap]
        else:
            if code in _NEVER_SENT:
                code = WSCloseCode.OK
            transport.send_close(code, frame.get_close_message())
        self.session.gone()
        transport.disconnect()

    def _message(self, frame: WSFrame, kind: WSMsgType) -> None:
        """Put fragments together (RFC 6455, section 5.4) and check length and text."""
        if (kind is _CONTINUATION) is (self._fragments is None):
            self._refuse(disconnect.BROKEN_FRAGMENTS)
            return
        size = frame.payload_size + len(self._fragments or b"")
        if size > frames.MAX_MESSAGE:
            self._refuse(disconnect.TOO_LONG)
            return
        message = frame.get_payload_as_bytes()
        if not frame.fin or self._fragments is not None:
            if self._fragments is None:
                self._fragments = bytearray()
            self._fragments += message
            if not frame.fin:
                return
            message = bytes(self._fragments)
            self._fragments = None
        try:
            message.decode()
        except UnicodeDecodeError:
            self._refuse(disconnect.NOT_UTF8)
            return
        self._gateway.received(self.session, message)

    def _refuse(self, reason: Disconnect) -> None:
        self.session.close(reason)
        self._gateway.write(self.session)


def _header(kind: int, length: int) -> bytes:
    """What stands before a server's whole frame (RFC 6455, section 5.2)."""
    if length < _TWO_BYTES:
        return bytes((kind, length))
    if length < 1 << 16:
        return bytes((kind, _TWO_BYTES)) + length.to_bytes(2, "big")
    return bytes((kind, _EIGHT_BYTES)) + length.to_bytes(8, "big")
