"""The receipts of one user as a stream that outlives its connections.

One task keeps a connection, reads it and acknowledges; the application takes items from a short
queue. So pings are answered while the application is busy, and a full queue stops the reading:
what is not read waits in the gateway, which closes a client that stays behind, and the stream
resumes later.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NoReturn, Self

import aiohttp
import msgspec

from seenby.client import frames
from seenby.client.answers import Gateway
from seenby.client.calls import why
from seenby.client.ending import EXPIRED, LOST, NO_CODE, Ending, of_handshake
from seenby.client.token import Credentials
from seenby.errors import Refused, SeenbyError
from seenby.model import Position

if TYPE_CHECKING:
    from seenby.client.cursor import Cursor
    from seenby.client.frames import Item
    from seenby.client.pace import Pace

QUEUE_LIMIT = 1000
"""Items that wait for the application before reading stops; one frame may go over it."""

FIRST_WAIT = 1.0
LONGEST_WAIT = 30.0
"""Bounds of the wait before connecting again, in seconds; see Pace.jittered."""

STEADY = 10.0
"""Seconds after the welcome from which a connection counts as a good one."""

OPEN_WITHIN = 10.0
"""Seconds for the opening handshake, and as many for the welcome."""

SILENT_AFTER = 2.5
"""Heartbeats without a word after which the gateway is taken for gone."""

ACK_EVERY = 0.3
"""Seconds between two acknowledgements."""

CLOSE_WITHIN = 2.0
"""Seconds for the last words on a connection."""


log = logging.getLogger(__name__)


class Connected(msgspec.Struct, frozen=True):
    """The gateway has said welcome; ``resumed``: the stream goes on where it was left.

    ``head``: the last event there is; what comes up to there has happened before.
    """

    resumed: bool
    head: Position


class Disconnected(msgspec.Struct, frozen=True):
    """A connection ended, or did not come about; the next attempt is ``retry_in`` seconds away."""

    code: int
    reason: str
    retry_in: float


Notice = Connected | Disconnected


class Route(msgspec.Struct, frozen=True):
    """How to reach the stream of a user; ``where`` is asked before each connection."""

    http: aiohttp.ClientSession
    where: Callable[[], Awaitable[Gateway]]
    user_id: str
    device_id: str
    credentials: Credentials

    async def open(self, gateway: Gateway) -> aiohttp.ClientWebSocketResponse:
        """A connection on which nothing has been said yet."""
        part = "" if gateway.part is None else str(gateway.part)
        query = {"user_id": self.user_id, "device_id": self.device_id, "part": part}
        return await self.http.ws_connect(
            gateway.url,
            params={name: value for name, value in query.items() if value},
            protocols=(frames.SUBPROTOCOL,),
            autoping=False,
            timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_WITHIN),
        )


class Receipts:
    """An asynchronous iterator over a user's receipts and resets; made by Client.receipts()."""

    def __init__(
        self,
        route: Route,
        cursor: Cursor,
        pace: Pace,
        *,
        position: Position | None,
        before: Receipts | None,
        moved: Callable[[Position], object],
        batch: bool,
        auto_ack: bool,
        notice: Callable[[Notice], None] | None,
    ) -> None:
        self._route = route
        self._cursor = cursor
        self._pace = pace
        self._position = position
        self._before = before
        self._moved = moved
        self._batch = batch
        self._auto_ack = auto_ack
        self._notice = notice or (lambda _: None)
        self._items: deque[Item] = deque()
        self._given: Item | None = None
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._ack_wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._failures = 0
        # Of the connection that is open now:
        self._shown: str | None = None
        self._welcomed_at: float | None = None
        self._silence_limit = OPEN_WITHIN
        self._heard_at = 0.0
        self._reading = False
        self._acknowledged = 0

    # The application's side

    def __aiter__(self) -> Self:
        """The stream itself."""
        return self

    async def __anext__(self) -> Item:
        """The next item; with auto_ack the one before counts as handled now.

        Raises:
            Refused: one of its kinds says why the gateway does not want this client back.
        """
        if self._given is not None and self._auto_ack:
            self.handled(self._given)
        self._given = None
        if self._task is None and not self._closed:
            self._task = asyncio.create_task(self._stay_connected(), name="seenby-receipts")
            self._task.add_done_callback(lambda _: self._arrived.set())
        while not self._items:
            if self._closed or self._task is None:
                raise StopAsyncIteration
            if self._task.done():
                self._closed = True
                self._task.result()
            self._arrived.clear()
            await self._arrived.wait()
        item = self._items.popleft()
        self._room.set()
        self._given = item
        return item

    def handled(self, item: Item) -> None:
        """The application is done with *item* and all before it: acknowledge soon."""
        if self._cursor.handle(item) and item.position is not None:
            self._moved(item.position)
            self._ack_wanted.set()

    async def aclose(self) -> None:
        """Acknowledge what is still to be acknowledged, and disconnect."""
        self._closed = True
        self._items.clear()
        self._arrived.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._end_the_one_before()

    # The connection's side

    async def _end_the_one_before(self) -> None:
        if self._before is not None:
            await self._before.aclose()
            self._before = None

    async def _stay_connected(self) -> None:
        await self._end_the_one_before()
        self._cursor.begin(self._position)
        while True:
            self._welcomed_at = None
            ending = await self._connect_once()
            expired = ending.code == EXPIRED
            if ending.final or (expired and not self._route.credentials.renew(self._shown)):
                raise ending.error()
            wait = self._wait_after(ending)
            self._notice(Disconnected(ending.code, ending.reason, wait))
            await self._pace.sleep(wait)

    def _wait_after(self, ending: Ending) -> float:
        """Seconds before the next attempt; none where the gateway asked for it, once."""
        if self._welcomed_at is not None and self._pace.clock() >= self._welcomed_at + STEADY:
            self._failures = 0
        failures, self._failures = self._failures, self._failures + 1
        if ending.at_once and failures == 0:
            return 0.0
        return self._pace.jittered(failures, first=FIRST_WAIT, most=LONGEST_WAIT)

    async def _connect_once(self) -> Ending:
        """Connect, and stay until the connection ends."""
        try:
            gateway = await self._route.where()
            self._shown = token = await self._route.credentials.current()
        except SeenbyError as problem:
            if not problem.retriable:
                raise
            return Ending(LOST, str(problem))
        except (aiohttp.ClientError, TimeoutError, OSError) as problem:
            return Ending(LOST, f"there is no token: {why(problem)}")
        try:
            socket = await self._route.open(gateway)
        except aiohttp.WSServerHandshakeError as problem:
            return of_handshake(problem.status, gateway.url)
        except (aiohttp.ClientError, TimeoutError, OSError) as problem:
            return Ending(LOST, f"{gateway.url} cannot be reached: {why(problem)}")
        try:
            if socket.protocol != frames.SUBPROTOCOL:
                raise Refused(f"the server at {gateway.url} does not speak seenby.v1")
            return await self._converse(socket, token)
        except (aiohttp.ClientError, ConnectionError) as problem:
            return Ending(LOST, f"the connection is lost: {why(problem)}")
        finally:
            await socket.close()

    async def _converse(self, socket: aiohttp.ClientWebSocketResponse, token: str | None) -> Ending:
        self._heard_at = self._pace.clock()
        self._silence_limit = OPEN_WITHIN
        self._acknowledged = 0
        await socket.send_str(
            frames.hello(
                token=token,
                device_id=self._route.device_id,
                position=self._cursor.said,
                batch=self._batch,
            )
        )
        works = (self._read(socket), self._listen_for_silence(), self._acknowledge(socket))
        tasks = [asyncio.create_task(work) for work in works]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with asyncio.timeout(CLOSE_WITHIN):
                    await self._send_ack(socket)
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        # In the order above: what the gateway said at the end counts more than that we noticed.
        return next(task for task in tasks if not task.cancelled()).result()

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> Ending:
        while True:
            # Before a frame is read, for what the cursor has taken must reach the queue.
            await self._room_in_queue()
            self._heard_at = self._pace.clock()
            self._reading = True
            message = await socket.receive()
            self._reading = False
            match message.type:
                case aiohttp.WSMsgType.TEXT:
                    try:
                        frame = frames.decode(message.data)
                    except ValueError as problem:
                        return Ending(LOST, f"a frame cannot be understood: {problem}")
                    if frame is not None:
                        self._take(frame)
                case aiohttp.WSMsgType.PING:
                    await socket.pong(message.data)
                case aiohttp.WSMsgType.CLOSE:
                    return Ending(message.data or NO_CODE, message.extra or "")
                case aiohttp.WSMsgType.ERROR:
                    return Ending(LOST, f"the connection is lost: {message.data}")
                case aiohttp.WSMsgType.CLOSED | aiohttp.WSMsgType.CLOSING:
                    return Ending(LOST, "the connection is lost")
                case _:
                    pass

    async def _room_in_queue(self) -> None:
        while len(self._items) >= QUEUE_LIMIT:
            self._room.clear()
            await self._room.wait()

    def _take(self, frame: frames.Frame) -> None:
        for item in self._cursor.take(frame):
            self._items.append(item)
            self._arrived.set()
        if isinstance(frame, frames.ErrorFrame):
            log.warning("the gateway could not use a frame of this client: %s", frame.error)
        if isinstance(frame, frames.Welcome):
            self._welcomed_at = self._pace.clock()
            self._silence_limit = SILENT_AFTER * frame.heartbeat
            self._ack_wanted.set()
            self._notice(Connected(frame.resumed, Position(frame.epoch, frame.seq)))

    async def _listen_for_silence(self) -> Ending:
        """Return when nothing has been heard for too long; not while the application is behind."""
        while True:
            silent = self._pace.clock() - self._heard_at if self._reading else 0.0
            if silent >= self._silence_limit:
                return Ending(LOST, f"nothing was heard for {silent:.0f} seconds")
            await self._pace.sleep(self._silence_limit - silent)

    async def _acknowledge(self, socket: aiohttp.ClientWebSocketResponse) -> NoReturn:
        while True:
            await self._ack_wanted.wait()
            self._ack_wanted.clear()
            try:
                sent = await self._send_ack(socket)
            except (aiohttp.ClientError, ConnectionError):
                continue  # The reader will know how the connection ended.
            if sent:
                await self._pace.sleep(ACK_EVERY)

    async def _send_ack(self, socket: aiohttp.ClientWebSocketResponse) -> bool:
        seq = self._cursor.to_acknowledge(self._acknowledged)
        if seq is None or self._welcomed_at is None:
            return False
        self._acknowledged = seq
        await socket.send_str(frames.ack(seq))
        return True
