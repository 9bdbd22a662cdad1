"""The WebSocket server: the only file that knows sockets.

picows does the framing; what it leaves to its user is done here: the Firefox handshake, reserved
bits, fragments, UTF-8 and the close handshake (RFC 6455, sections 4.2.1, 5.2, 5.4, 8.1, 5.5.1).
There is no task and no timer per connection: one wheel looks at sessions once a second.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

import structlog
from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from seenby.errors import BadInput, SeenbyError
from seenby.gateway import answers, disconnect, frames
from seenby.gateway.disconnect import Disconnect
from seenby.gateway.handshake import asks_for_upgrade, join_lines, read_opening
from seenby.gateway.session import Ping, Session, State
from seenby.gateway.wheel import Wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from seenby.gateway.dispatcher import Dispatcher
    from seenby.gateway.requests import Requests
    from seenby.metrics import Metrics

CLOSE_WITHIN = 5.0
"""Seconds a client has to answer a close before its socket is cut."""

HARD_FRAME_LIMIT = 2 * frames.MAX_MESSAGE
"""Where picows itself gives up on a frame, with 1009; ours is lower and closes with our code."""

READ_BUFFER = 1024
"""Bytes of read buffer per connection to begin with: most clients say little."""

_NEVER_SENT = {WSCloseCode.NO_INFO, 1005, WSCloseCode.ABNORMAL_CLOSURE, 1015}
"""What stands for "no code" and must not be on the wire (RFC 6455, section 7.4.1)."""

_TEXT: Final = WSMsgType.TEXT
_CONTINUATION: Final = WSMsgType.CONTINUATION

log = structlog.get_logger()


class Connection(WSListener):
    """One socket: turns WebSocket messages into calls of its session, and back."""

    __slots__ = ("_fragments", "_server", "_token", "clean", "closing", "session", "transport")

    def __init__(self, server: Gateway, session: Session, token: str | None) -> None:
        """The handshake was accepted."""
        self._server = server
        self._token = token
        self._fragments: bytearray | None = None
        self.session = session
        self.transport: WSTransport | None = None
        self.closing = 0
        self.clean = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The handshake is done."""
        self.transport = transport
        # A token may stand in it, and both live as long as the connection: a kilobyte or two.
        transport.request.headers.clear()
        transport.response.headers.clear()
        self.session.link = self
        self._server.opened(self, self._token)
        self._token = None

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A frame has come."""
        kind = frame.msg_type
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._refuse(disconnect.RESERVED_BITS)
        elif kind is _TEXT or kind is _CONTINUATION:
            self._message(frame, kind)
        elif kind is WSMsgType.PONG:
            self._server.ponged(self.session, frame.get_payload_as_bytes())
        elif kind is WSMsgType.PING:
            # A client that pings and does not read gets no pongs: they would pile up here.
            if not self.session.congested:
                transport.send_pong(frame.get_payload_as_bytes())
            self._server.heard(self.session)
        elif kind is WSMsgType.CLOSE:
            self._closed_by_client(transport, frame)
        else:
            self._refuse(disconnect.NOT_TEXT)

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002 -- picows' signature
        """The socket is gone."""
        self._server.closed(self)

    def pause_writing(self) -> None:
        """The socket takes no more for now."""
        self.session.congested = True

    def resume_writing(self) -> None:
        """The socket takes data again."""
        self.session.congested = False
        self._server.writable(self.session)

    def _closed_by_client(self, transport: WSTransport, frame: WSFrame) -> None:
        """Answer a close; one that answers ours was read behind all that was written.

        It then bears our code (RFC 6455, section 5.5.1). A client that closes by itself does not
        look at what is on its way any more: a browser drops it.
        """
        code = frame.get_close_code()
        if transport.is_close_frame_sent:
            # A number, whatever picows' stub says.
            self.clean = code == self.closing  # type: ignore[comparison-overlap]
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
        self._server.received(self.session, message)

    def _refuse(self, reason: Disconnect) -> None:
        self.session.close(reason)
        self._server.write(self.session)


class Gateway:
    """Accepts sockets and carries bytes between them and their sessions.

    Args:
        dispatcher: supplies the sessions.
        metrics: served at /metrics.
        origins: what browsers may connect from.
        session_bytes: how much may wait to be written to one client.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        requests: Requests,
        metrics: Metrics,
        *,
        origins: Collection[str],
        session_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing listens before start()."""
        self._dispatcher = dispatcher
        self._requests = requests
        self._metrics = metrics
        self._origins = origins
        self._session_bytes = session_bytes
        self._clock = clock
        self._wheel = Wheel(clock())
        self._server: asyncio.Server | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._connections: set[Connection] = set()
        self._draining = False

    # Life

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises OSError when the port is taken."""
        self._server = await ws_create_server(
            self._accept,
            host,
            port,
            enable_auto_ping=False,
            enable_auto_pong=False,
            max_frame_size=HARD_FRAME_LIMIT,
            read_buffer_init_size=READ_BUFFER,
            use_aiofastnet=False,
            logger_name=_quiet(),
            backlog=4096,
        )
        self._ticker = asyncio.create_task(self._tick(), name="gateway-wheel")

    @property
    def port(self) -> int:
        """The port that is listened on; 0 before start()."""
        if self._server is None:
            return 0
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def ready(self) -> dict[str, bool]:
        """What must be true before clients should be sent here, by name."""
        return {
            "store": self._dispatcher.store_answers,
            "bus": self._dispatcher.bus_answers,
            "accepting": not self._draining,
        }

    async def drain(self, window: float) -> None:
        """Stop accepting, close every session with 4000 spread over *window* seconds, and wait."""
        self._draining = True
        if self._server is not None:
            self._server.close()
        left = list(self._connections)
        began = time.monotonic()
        for number, connection in enumerate(left):
            connection.session.close(disconnect.DRAIN)
            self.write(connection.session)
            ahead = began + number * window / len(left) - time.monotonic()
            if ahead > 0:
                await asyncio.sleep(ahead)
        patience = time.monotonic() + CLOSE_WITHIN
        while self._connections and time.monotonic() < patience:  # noqa: ASYNC110 -- rare, short
            await asyncio.sleep(0.02)
        for connection in list(self._connections):
            _cut(connection)
        if self._ticker is not None:
            self._ticker.cancel()
        await self._requests.close()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1 - self._clock() % 1)
            self.look()

    def look(self) -> None:
        """Once a second: ping, expire, and cut sockets whose close was not answered."""
        now = self._clock()
        for session in self._wheel.due(now):
            connection = session.link
            if not isinstance(connection, Connection):
                continue
            try:
                if session.state is State.CLOSED:
                    _cut(connection)
                    continue
                session.expire(now)
                self._wheel.add(session, session.deadline())
                self.write(session)
            except Exception:
                # The one timer of all connections must outlive a broken one.
                log.exception("look_failed", user=session.user_id)

    # From clients

    def _accept(self, request: WSUpgradeRequest) -> Connection | WSUpgradeResponseWithListener:
        path, _, query = request.path.decode("latin-1").partition("?")
        if path != "/ws":
            return answers.page(path, self.ready, self._metrics)
        if self._draining:
            return answers.draining()
        join_lines(request.headers)
        if asks_for_upgrade(request.headers.get("Connection", "")):
            request.headers["Connection"] = "Upgrade"
        try:
            opening = read_opening(
                query,
                request.headers,
                origins=self._origins,
                token_required=self._requests.token_required,
            )
        except SeenbyError as error:
            return answers.refused(error)
        session = Session(
            silent=opening.silent,
            user_id=opening.user_id,
            device_id=opening.device_id,
            now=self._clock(),
            connected_at_ms=int(time.time() * 1000),
        )
        connection = Connection(self, session, opening.token)
        if opening.silent:
            return connection
        response = WSUpgradeResponse.create_101_response(
            {"Sec-WebSocket-Protocol": frames.SUBPROTOCOL}
        )
        return WSUpgradeResponseWithListener(response, connection)

    def opened(self, connection: Connection, token: str | None) -> None:
        """The handshake is done."""
        session = connection.session
        self._connections.add(connection)
        self._wheel.add(session, session.deadline())
        self._requests.opened(session, token)
        self.write(session)

    def received(self, session: Session, message: bytes) -> None:
        """A whole text message has come."""
        request = session.receive(message, self._clock())
        if request is not None:
            try:
                self._requests.serve(session, request)
            except BadInput as error:
                session.refuse(error.code, str(error), self._clock())
        self.write(session)

    def ponged(self, session: Session, payload: bytes) -> None:
        """A pong has come."""
        seq = session.pong(payload, self._clock())
        if seq is not None:
            self._dispatcher.acknowledged(session, seq)

    def heard(self, session: Session) -> None:
        """A sign of life has come."""
        session.heard(self._clock())

    def writable(self, session: Session) -> None:
        """A socket takes data again."""
        self._dispatcher.writable(session)
        self.write(session)

    def closed(self, connection: Connection) -> None:
        """A socket is gone."""
        self._connections.discard(connection)
        connection.session.link = None
        connection.session.gone()
        self._dispatcher.gone(connection.session, clean=connection.clean)

    # To clients

    def write(self, session: Session) -> None:
        """Write what a session has to send; close it when it reads too slowly."""
        connection = session.link
        if not isinstance(connection, Connection) or connection.transport is None:
            return
        transport = connection.transport
        for item in session.data_to_send():
            if type(item) is bytes:
                transport.send(_TEXT, item)
            elif isinstance(item, Ping):
                transport.send_ping(item.payload)
            elif isinstance(item, Disconnect):
                self._close(connection, transport, item)
        if session.state is not State.CLOSED:
            self._written(session, transport)

    def _written(self, session: Session, transport: WSTransport) -> None:
        """Close a session that reads too slowly; look at one in time that has more to be done."""
        if session.state is not State.LIVE:
            # A token that was checked just now may end before the wheel's next look.
            self._wheel.add(session, session.deadline())
        if session.congested:
            waiting = transport.underlying_transport.get_write_buffer_size()
            if waiting > self._session_bytes:
                self._metrics.slow_consumer()
                session.close(disconnect.SLOW)
                self.write(session)
        elif session.silent and session.confirm_soon(self._clock()):
            self._wheel.add(session, session.deadline())

    def _close(self, connection: Connection, transport: WSTransport, reason: Disconnect) -> None:
        session = connection.session
        # The codes from 4000 on are not in picows' enumeration, which takes any number.
        transport.send_close(reason.code, reason.reason.encode())  # type: ignore[arg-type]
        connection.closing = reason.code
        self._metrics.disconnected(reason.code)
        self._wheel.move(session, self._clock() + CLOSE_WITHIN)
        log.debug("closed", code=reason.code, why=reason.reason, user=session.user_id)


def _cut(connection: Connection) -> None:
    if connection.transport is not None:
        connection.transport.disconnect(graceful=False)


def _quiet() -> logging.LoggerAdapter[logging.Logger]:
    """A logger for picows: an adapter, since a plain one costs 562 bytes per connection."""
    logger = logging.getLogger("picows.server")
    logger.setLevel(logging.ERROR)
    return logging.LoggerAdapter(logger)
