"""The WebSocket server: the only file that knows sockets.

picows does the framing; what it leaves to its user is done here: the Firefox handshake, reserved
bits, fragments, UTF-8 and the close handshake (RFC 6455, sections 4.2.1, 5.2, 5.4, 8.1, 5.5.1).
There is no task and no timer per connection: one wheel looks at sessions once a second.
"""

from __future__ import annotations

import asyncio
import logging
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from seenby.errors import BadInput, SeenbyError, http_status
from seenby.gateway import disconnect, frames
from seenby.gateway.disconnect import Disconnect
from seenby.gateway.handshake import asks_for_upgrade, read_opening
from seenby.gateway.session import Ping, Session, State
from seenby.gateway.wheel import Wheel

if TYPE_CHECKING:
    from collections.abc import Collection

    from seenby.gateway.dispatcher import Dispatcher
    from seenby.gateway.requests import Requests
    from seenby.metrics import Metrics

CLOSE_WITHIN = 5.0
"""Seconds a client has to answer a close before its socket is cut."""

HARD_FRAME_LIMIT = 2 * frames.MAX_MESSAGE
"""Where picows itself gives up on a frame; ours is lower and closes with our own code."""

READ_BUFFER = 1024
"""Bytes of read buffer per connection to begin with: most clients say little."""

_TEXT: Final = WSMsgType.TEXT
_CONTINUATION: Final = WSMsgType.CONTINUATION

log = structlog.get_logger()


class Connection(WSListener):
    """One socket: turns WebSocket messages into calls of its session, and back."""

    __slots__ = ("_fragments", "_server", "_token", "clean", "session", "transport")

    def __init__(self, server: Gateway, session: Session, token: str | None) -> None:
        """The handshake was accepted."""
        self._server = server
        self._token = token
        self._fragments: bytearray | None = None
        self.session = session
        self.transport: WSTransport | None = None
        self.clean = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The handshake is done."""
        self.transport = transport
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
            transport.send_pong(frame.get_payload_as_bytes())
            self._server.heard(self.session)
        elif kind is WSMsgType.CLOSE:
            self.clean = True
            if not transport.is_close_frame_sent:
                transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        else:
            self._refuse(disconnect.NOT_TEXT)

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002 (picows' signature)
        """The socket is gone."""
        self._server.closed(self)

    def pause_writing(self) -> None:
        """The socket takes no more for now."""
        self.session.congested = True

    def resume_writing(self) -> None:
        """The socket takes data again."""
        self.session.congested = False
        self._server.writable(self.session)

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
        if self._fragments is not None:
            self._fragments += message
            message = bytes(self._fragments)
        if not frame.fin:
            self._fragments = bytearray(message)
            return
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
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        requests: Requests,
        metrics: Metrics,
        *,
        origins: Collection[str],
        session_bytes: int,
    ) -> None:
        """Nothing listens before start()."""
        self._dispatcher = dispatcher
        self._requests = requests
        self._metrics = metrics
        self._origins = origins
        self._session_bytes = session_bytes
        self._wheel = Wheel(_now())
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
            "bus": self._dispatcher.healthy,
            "accepting": not self._draining,
        }

    async def drain(self, window: float) -> None:
        """Stop accepting, close every session with 4000 spread over *window* seconds, and wait."""
        self._draining = True
        if self._server is not None:
            self._server.close()
        left = list(self._connections)
        began = _now()
        for number, connection in enumerate(left):
            connection.session.close(disconnect.DRAIN)
            self.write(connection.session)
            ahead = began + number * window / len(left) - _now()
            if ahead > 0:
                await asyncio.sleep(ahead)
        patience = _now() + CLOSE_WITHIN
        while self._connections and _now() < patience:
            await asyncio.sleep(0.02)
        for connection in list(self._connections):
            _cut(connection)
        if self._ticker is not None:
            self._ticker.cancel()
        await self._requests.close()

    async def _tick(self) -> None:
        """Once a second: ping, expire, and cut sockets whose close was not answered."""
        while True:
            await asyncio.sleep(1 - _now() % 1)
            now = _now()
            for session in self._wheel.due(now):
                connection = session.link
                if not isinstance(connection, Connection):
                    continue
                if session.state is State.CLOSED:
                    _cut(connection)
                    continue
                session.expire(now)
                self._wheel.add(session, session.deadline())
                self.write(session)

    # From clients

    def _accept(self, request: WSUpgradeRequest) -> Connection | WSUpgradeResponseWithListener:
        path, _, query = request.path.decode("latin-1").partition("?")
        if path != "/ws":
            return self._answer(path)
        if self._draining:
            return _http(503, _failure("draining", "this gateway is going away"))
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
            return _http(http_status(error), _failure(error.code, str(error)))
        session = Session(
            silent=opening.silent,
            user_id=opening.user_id,
            device_id=opening.device_id,
            now=_now(),
            connected_at_ms=int(time.time() * 1000),
        )
        connection = Connection(self, session, opening.token)
        if opening.silent:
            return connection
        response = WSUpgradeResponse.create_101_response(
            {"Sec-WebSocket-Protocol": frames.SUBPROTOCOL}
        )
        return WSUpgradeResponseWithListener(response, connection)

    def _answer(self, path: str) -> WSUpgradeResponseWithListener:
        """Health, readiness and metrics are served on the same port."""
        match path:
            case "/health":
                return _http(200, {"status": "alive"})
            case "/ready":
                ready = self.ready
                whole = all(ready.values())
                return _http(200 if whole else 503, {"ready": whole, **ready})
            case "/metrics":
                body, content_type = self._metrics.render()
                return _response(200, body, content_type)
            case _:
                return _http(404, _failure("not_found", "here are /ws, /health, /ready, /metrics"))

    def opened(self, connection: Connection, token: str | None) -> None:
        """The handshake is done."""
        session = connection.session
        self._connections.add(connection)
        self._wheel.add(session, session.deadline())
        self._requests.opened(session, token)
        self.write(session)

    def received(self, session: Session, message: bytes) -> None:
        """A whole text message has come."""
        request = session.receive(message, _now())
        if request is not None:
            try:
                self._requests.serve(session, request)
            except BadInput as error:
                session.refuse(error.code, str(error), _now())
        self.write(session)

    def ponged(self, session: Session, payload: bytes) -> None:
        """A pong has come."""
        seq = session.pong(payload, _now())
        if seq is not None:
            self._dispatcher.acknowledged(session, seq)

    def heard(self, session: Session) -> None:
        """A sign of life has come."""
        session.heard(_now())

    def writable(self, session: Session) -> None:
        """A socket takes data again."""
        self._dispatcher.writable(session)

    def closed(self, connection: Connection) -> None:
        """A socket is gone."""
        self._connections.discard(connection)
        connection.session.link = None
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
        if session.state is State.CLOSED:
            return
        if session.congested:
            waiting = transport.underlying_transport.get_write_buffer_size()
            if waiting > self._session_bytes:
                self._metrics.slow_consumer()
                session.close(disconnect.SLOW)
                self.write(session)
        elif session.silent and session.confirm_soon(_now()):
            self._wheel.add(session, session.deadline())

    def _close(self, connection: Connection, transport: WSTransport, reason: Disconnect) -> None:
        session = connection.session
        # The codes from 4000 on are not in picows' enumeration, which takes any number.
        transport.send_close(reason.code, reason.reason.encode())  # type: ignore[arg-type]
        self._metrics.disconnected(reason.code)
        self._wheel.add(session, _now() + CLOSE_WITHIN)
        log.debug("closed", code=reason.code, why=reason.reason, user=session.user_id)


def _cut(connection: Connection) -> None:
    if connection.transport is not None:
        connection.transport.disconnect(graceful=False)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _failure(code: str, sentence: str) -> dict[str, Any]:
    return {"success": False, "error": sentence, "code": code}


def _http(status: int, document: dict[str, Any]) -> WSUpgradeResponseWithListener:
    return _response(status, msgspec.json.encode(document), "application/json")


def _response(status: int, body: bytes, content_type: str) -> WSUpgradeResponseWithListener:
    headers = {"Content-Type": content_type}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "1"
    if status == HTTPStatus.OK:
        response = WSUpgradeResponse.create_ok_response(body, headers)
    else:
        response = WSUpgradeResponse.create_error_response(status, body, headers)
    return WSUpgradeResponseWithListener(response, None)


def _quiet() -> logging.LoggerAdapter[logging.Logger]:
    """A logger for picows: an adapter, since a plain one costs 562 bytes per connection."""
    logger = logging.getLogger("picows.server")
    logger.setLevel(logging.ERROR)
    return logging.LoggerAdapter(logger)
