"""The WebSocket server: accepts sockets, and carries bytes between them and their sessions.

Only this module and ``connection`` know sockets. There is no task and no timer per connection:
one wheel looks at those sessions that are due.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

import structlog
from picows import (
    WSMsgType,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from seenby.errors import BadInput, Draining, SeenbyError
from seenby.gateway import answers, disconnect, frames
from seenby.gateway.connection import Connection
from seenby.gateway.disconnect import Disconnect
from seenby.gateway.handshake import asks_for_upgrade, join_lines, read_opening
from seenby.gateway.session import Session, State
from seenby.gateway.wheel import Wheel
from seenby.nodes import ASKED_AT

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from seenby.gateway.dispatcher import Dispatcher
    from seenby.gateway.requests import Requests
    from seenby.gateway.session import Outgoing
    from seenby.metrics import Metrics

CLOSE_WITHIN = 5.0
"""Seconds a client has to answer a close before its socket is cut."""

TICK = 0.1
"""Seconds between two looks at the sessions that are due."""

HARD_FRAME_LIMIT = 2 * frames.MAX_MESSAGE
"""Where picows itself gives up on a frame, with 1009; ours is lower and closes with our code."""

READ_BUFFER = 1024
"""Bytes of read buffer per connection to begin with: most clients say little."""

_TEXT: Final = WSMsgType.TEXT

log = structlog.get_logger()


class Gateway:
    """Accepts sockets and carries bytes between them and their sessions.

    Args:
        dispatcher: supplies the sessions.
        metrics: served at /metrics.
        origins: what browsers may connect from.
        session_bytes: how much may wait to be written to one client.
        answer: what is answered to other processes (see ``presence``); None: nothing.
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
        answer: Callable[[str, str], bytes] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing listens before start()."""
        self._dispatcher = dispatcher
        self._requests = requests
        self._metrics = metrics
        self._origins = origins
        self._session_bytes = session_bytes
        self._answer = answer
        self._clock = clock
        self._wheel = Wheel(clock(), tick=TICK)
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
            connection.cut()
        if self._ticker is not None:
            self._ticker.cancel()
        await self._requests.close()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK - self._clock() % TICK)
            self.look()

    def look(self) -> None:
        """Once a tick: ping, expire, and cut sockets whose close was not answered."""
        self._metrics.connections(len(self._connections))
        now = self._clock()
        for session in self._wheel.due(now):
            connection = session.link
            if not isinstance(connection, Connection):
                continue
            try:
                if session.state is State.CLOSED:
                    connection.cut()
                    continue
                session.expire(now)
                self._wheel.add(session, session.deadline())
                if session.has_data:
                    self.write(session)
            except Exception:
                # The one timer of all connections must outlive a broken one.
                log.exception("look_failed", user=session.user_id)

    # From clients

    def _accept(self, request: WSUpgradeRequest) -> Connection | WSUpgradeResponseWithListener:
        path, _, query = request.path.decode("latin-1").partition("?")
        if path == ASKED_AT and self._answer is not None:
            return answers.to_others(self._answer, query, request.headers.get("Authorization", ""))
        if path != "/ws":
            return answers.page(path, self.ready, self._metrics)
        if self._draining:
            return answers.refused(Draining("this gateway is going away"))
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
        if session.confirms and not session.congested and session.ask(self._clock()):
            self._wheel.add(session, session.deadline())
        out = session.data_to_send()
        if len(out) == 1 and type(out[0]) is bytes:
            connection.transport.send(_TEXT, out[0])
        elif out:
            self._write_all(connection, out)
        if session.state is State.CLOSED:
            return
        if session.state is not State.LIVE:
            # A token that was checked just now may end before the wheel's next look.
            self._wheel.add(session, session.deadline())
        if session.congested:
            waiting = connection.transport.underlying_transport.get_write_buffer_size()
            if waiting > self._session_bytes:
                self._metrics.slow_consumer()
                session.close(disconnect.SLOW)
                self.write(session)

    def _write_all(self, connection: Connection, out: Sequence[Outgoing]) -> None:
        """Write several things in their order, at once but for a close."""
        last = out[-1]
        if isinstance(last, Disconnect):
            connection.send(out[:-1])
            self._close(connection, last)
        else:
            connection.send(out)

    def _close(self, connection: Connection, reason: Disconnect) -> None:
        session = connection.session
        connection.send_close(reason)
        self._metrics.disconnected(reason.code)
        self._wheel.move(session, self._clock() + CLOSE_WITHIN)
        log.debug("closed", code=reason.code, why=reason.reason, user=session.user_id)


def _quiet() -> logging.LoggerAdapter[logging.Logger]:
    """A logger for picows: an adapter, since a plain one costs 562 bytes per connection."""
    logger = logging.getLogger("picows.server")
    logger.setLevel(logging.ERROR)
    return logging.LoggerAdapter(logger)
