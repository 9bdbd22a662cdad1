"""A real gateway in the test's own loop, and clients down to single bytes."""

from __future__ import annotations

import asyncio
import json
import os
import struct
import time
from typing import TYPE_CHECKING, Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from seenby.gateway.dispatcher import Dispatcher
from seenby.gateway.hub import Hub
from seenby.gateway.requests import Requests
from seenby.gateway.server import Gateway
from seenby.metrics import Metrics
from seenby.model import Mark, NewMessage
from seenby.recorder import Recorder
from seenby.rules import Rules
from seenby.service import Service
from seenby.store.base import Store
from seenby.store.conversations import NewConversation
from seenby.store.schema import migrate
from seenby.store.sql import open_store
from seenby.store.threads import StoreThreads
from seenby.testing import HandFeed, ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from seenby.auth import Authenticator
    from seenby.gateway.session import Session
    from seenby.model import Event
    from seenby.store.base import Recorded

HANDSHAKE = (
    "GET {target} HTTP/1.1\r\n"
    "Host: localhost\r\n"
    "Upgrade: websocket\r\n"
    "Connection: {connection}\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "{headers}\r\n"
)
V1 = "Sec-WebSocket-Protocol: seenby.v1\r\n"

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


async def until(what: str, condition: Callable[[], bool], patience: float = 20.0) -> None:
    """Return as soon as the condition holds."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, f"waited {patience} s in vain until {what}"
        await asyncio.sleep(0.002)


class Unpublished:
    """The recorder's outlet: the test decides what the bus brings."""

    lease = None

    def published(self) -> Sequence[int]:
        """Nothing is put out."""
        return ()

    def committed(self, recorded: Recorded, *, discarded: Sequence[int]) -> None:
        """The store has it."""


class Running:
    """A gateway with its parts.

    Attributes:
        clock: the gateway's; move it with ``pass_time``.
        feed: the bus, by hand.
        store_calls: names of the store's methods that were called for reading.
        sql: the store itself; of what is sent to more than two, counts are told.
    """

    def __init__(
        self, path: Path, *, authenticator: Authenticator | None, session_bytes: int
    ) -> None:
        url = f"sqlite:///{path / 'gateway.db'}"
        migrate(url)
        self.sql = open_store(url, rules=Rules(aggregate_over=2))
        self.threads = CountingThreads(self.sql)
        self.metrics = Metrics()
        self.feed = HandFeed()
        self.clock = ManualClock(1000.0)
        self.hub = Hub()
        self.recorder = Recorder(self.threads, Unpublished(), self.metrics)
        self.service = Service(self.recorder, self.threads)
        self.dispatcher = Dispatcher(
            self.service, self.hub, self.feed, self.metrics, write=self._write
        )
        self.requests = Requests(
            self.dispatcher, self.service, authenticator, write=self._write, clock=self.clock
        )
        self.gateway = Gateway(
            self.dispatcher,
            self.requests,
            self.metrics,
            origins={"http://chat.example"},
            session_bytes=session_bytes,
            clock=self.clock,
        )
        self.port = 0
        self.raw: list[RawClient] = []
        self.devices: list[Device] = []
        self._marks = 0
        self._drained = False

    def _write(self, session: Session) -> None:
        self.gateway.write(session)

    async def start(self) -> None:
        """Listen on a free port."""
        self.recorder.start()
        await self.dispatcher.start()
        await self.gateway.start("127.0.0.1", 0)
        self.port = self.gateway.port

    async def stop(self) -> None:
        """Cut the clients, drain, and stop the parts."""
        for client in self.raw:
            client.cut()
        for device in self.devices:
            await device.cut()
        if not self._drained:
            await self.drain()
        await self.dispatcher.close()
        await self.recorder.close()
        await self.threads.close()

    async def drain(self) -> None:
        """As at SIGTERM."""
        self._drained = True
        await self.gateway.drain(0.0)

    @property
    def url(self) -> str:
        """Where to connect."""
        return f"ws://127.0.0.1:{self.port}/ws"

    async def record(self, count: int = 1, user: str = "sender", size: int = 8) -> list[Event]:
        """Record marks of a user's messages; returns their events, which no bus has brought."""
        marks = []
        for _ in range(count):
            self._marks += 1
            msg_id = f"{self._marks}".rjust(size, "m")
            marks.append(Mark(msg_id, "reader", user, "c"))
        recorded = await self.threads.write(
            self.threads.store.record, marks, now=int(time.time() * 1000), lease=None
        )
        return recorded.events

    async def publish(self, count: int = 1, user: str = "sender", size: int = 8) -> list[Event]:
        """Record marks, and let the bus bring them."""
        events = await self.record(count, user, size)
        self.feed.push(*events)
        return events

    async def register(self, conversation: str, *messages: tuple[str, str]) -> None:
        """Messages (id, sender) of a group in which everyone is who sends or is named in it."""
        members = ["sender", "reader", *conversation.split("-")[1:]]
        wanted = [NewConversation(conversation, "group", members)]
        await self.threads.write(self.sql.conversations.put, wanted)
        new = [NewMessage(msg_id, conversation, sender, 1) for msg_id, sender in messages]
        await self.threads.write(self.sql.conversations.register, new, now=1)

    async def read(self, reader: str, msg_id: str) -> list[Event]:
        """Somebody reads a registered message; returns the events."""
        mark = Mark(msg_id, reader, "", "")
        recorded = await self.threads.write(self.sql.record, [mark], now=_ms(), lease=None)
        return recorded.events

    async def withdraw(self, reader: str, msg_id: str) -> list[Event]:
        """Somebody takes a receipt back; returns the events."""
        withdraw = self.sql.recording.withdraw
        done = await self.threads.write(withdraw, msg_id, reader, now=_ms(), lease=None)
        return done.recorded.events

    async def read_all(self, reader: str, conversation: str) -> list[Event]:
        """Somebody reads a whole conversation; returns the events."""
        read = self.sql.recording.read_conversation
        done = await self.threads.write(read, reader, conversation, None, now=_ms(), lease=None)
        return done.recorded.events

    async def every_kind(self) -> list[Event]:
        """One event of each kind in the sender's stream, a receipt first and last."""
        await self.register("few", ("m1", "sender"), ("m2", "sender"), ("b1", "reader"))
        await self.register("many-carol-dave", ("m3", "sender"))
        events = [
            *await self.read("reader", "m1"),
            *await self.read("sender", "b1"),
            *await self.withdraw("sender", "b1"),
            *await self.withdraw("reader", "m1"),
            *await self.read_all("sender", "few"),
            *await self.read("reader", "m3"),
            *await self.read("reader", "m2"),
        ]
        return [event for event in events if event.sender_id == "sender"]

    async def live(self, sessions: int) -> None:
        """Return when so many sessions are live."""
        await until(
            f"{sessions} sessions are live",
            lambda: sum(len(s.live) for s in self.hub.streams.values()) == sessions,
        )

    def pass_time(self, seconds: float) -> None:
        """Move the clock second by second, as the gateway looks at it."""
        for _ in range(round(seconds)):
            self.clock.advance(1.0)
            self.gateway.look()

    def metric(self, line: str) -> float:
        """The value of a sample, by its name with labels."""
        body, _ = self.metrics.render()
        for text in body.decode().splitlines():
            if text.startswith(line + " "):
                return float(text.rsplit(" ", 1)[1])
        return 0.0


def _ms() -> int:
    return int(time.time() * 1000)


class CountingThreads(StoreThreads[Store]):
    """A store's threads that remember what was read."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.reads: list[str] = []

    async def read(self, call: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Remember the call, and make it."""
        self.reads.append(call.__name__)
        return await super().read(call, *args, **kwargs)


class Device:
    """A client on the ``websockets`` library."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self._task = asyncio.create_task(self._listen())

    @classmethod
    async def open(
        cls,
        running: Running,
        user: str = "sender",
        device: str = "",
        *,
        hello: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Self:
        """Connect; with *hello* as a seenby.v1 client that says it at once."""
        query = "&".join(f"{k}={v}" for k, v in (("user_id", user), ("device_id", device)) if v)
        socket = await connect(
            f"{running.url}?{query}",
            subprotocols=None if hello is None else [Subprotocol("seenby.v1")],
            additional_headers=headers,
            compression=None,
            ping_interval=None,
            proxy=None,
        )
        made = cls(socket)
        running.devices.append(made)
        if hello is not None:
            await made.send(type="hello", **hello)
        return made

    async def _listen(self) -> None:
        try:
            async for message in self.socket:
                self.frames.append(json.loads(message))
        except ConnectionClosed:
            pass
        received = self.socket.protocol.close_rcvd
        self.closed = (received.code, received.reason) if received else (1006, "")

    @property
    def seqs(self) -> list[int]:
        """The seqs that came, batches unpacked."""
        return [receipt["seq"] for receipt in self.receipts]

    @property
    def receipts(self) -> list[dict[str, Any]]:
        """The receipts that came, batches unpacked."""
        found: list[dict[str, Any]] = []
        for frame in self.frames:
            if frame["type"] == "read_receipts":
                found += frame["receipts"]
            elif frame["type"] == "read_receipt":
                found.append(frame)
        return found

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The frames of one type."""
        return [frame for frame in self.frames if frame["type"] == kind]

    async def send(self, **frame: Any) -> None:
        """Send a frame."""
        await self.socket.send(json.dumps(frame))

    async def wait(self, kind: str, count: int = 1) -> dict[str, Any]:
        """Return the last of so many frames of one type."""
        await until(f"{count} {kind}", lambda: len(self.of(kind)) >= count)
        return self.of(kind)[-1]

    async def wait_seqs(self, *seqs: int) -> None:
        """Return when these seqs, and no others, have come in this order."""
        await until(f"seqs {seqs}, not {self.seqs}", lambda: len(self.seqs) >= len(seqs))
        assert self.seqs == list(seqs)

    async def wait_events(self, count: int) -> list[dict[str, Any]]:
        """The frames after the welcome, once there are so many, and no more."""
        await until(f"{count} events", lambda: len(self.frames) > count)
        assert self.frames[0]["type"] == "welcome"
        return self.frames[1:]

    async def ended(self) -> tuple[int, str]:
        """The close code and reason, once the gateway has closed."""
        await asyncio.wait_for(self._task, 20)
        assert self.closed is not None
        return self.closed

    async def close(self) -> None:
        """Close with a close handshake."""
        await self.socket.close()
        await self._task

    async def cut(self) -> None:
        """Cut the connection without a word."""
        self.socket.transport.abort()
        await self._task


class RawClient:
    """A client that sends what it likes, byte by byte, and reads only when asked to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(
        cls,
        running: Running,
        target: str = "/ws?user_id=sender",
        *,
        headers: str = "",
        connection: str = "Upgrade",
        more: bytes = b"",
    ) -> tuple[Self, str]:
        """Send an opening handshake, *more* in the same segment; returns the answer's head too."""
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        client = cls(reader, writer)
        running.raw.append(client)
        request = HANDSHAKE.format(target=target, headers=headers, connection=connection)
        writer.write(request.encode() + more)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        return client, head.decode()

    @classmethod
    async def upgraded(
        cls, running: Running, target: str = "/ws?user_id=sender", **more: Any
    ) -> Self:
        """A client whose handshake was accepted."""
        client, head = await cls.open(running, target, **more)
        assert head.startswith("HTTP/1.1 101 "), head
        return client

    @classmethod
    async def v1(cls, running: Running) -> Self:
        """A seenby.v1 client that has been welcomed."""
        client = await cls.upgraded(running, headers=V1)
        client.frame(b'{"type":"hello"}')
        assert (await client.message())["type"] == "welcome"
        return client

    def frame(
        self,
        payload: bytes,
        kind: int = TEXT,
        *,
        fin: bool = True,
        reserved: int = 0,
        masked: bool = True,
    ) -> None:
        """Send one frame."""
        self.writer.write(frame(payload, kind, fin=fin, reserved=reserved, masked=masked))

    async def body(self) -> Any:
        """The JSON that an answered request carries."""
        return json.loads(await asyncio.wait_for(self.reader.read(), 10))

    async def receive(self) -> tuple[int, bytes]:
        """The next frame: kind and payload."""
        first, second = await asyncio.wait_for(self.reader.readexactly(2), 10)
        size = second & 0x7F
        if size == 126:
            [size] = struct.unpack("!H", await self.reader.readexactly(2))
        elif size == 127:
            [size] = struct.unpack("!Q", await self.reader.readexactly(8))
        return first & 0xF, await self.reader.readexactly(size)

    async def message(self) -> Any:
        """The next text message, as JSON."""
        kind, payload = await self.receive()
        assert kind == TEXT, (kind, payload)
        return json.loads(payload)

    async def ended(self) -> tuple[int, str]:
        """The close code and reason; what comes before is passed over. Answers the close."""
        while True:
            kind, payload = await self.receive()
            if kind == CLOSE:
                self.frame(payload[:2], CLOSE)
                assert await asyncio.wait_for(self.reader.read(), 10) == b""
                return struct.unpack("!H", payload[:2])[0], payload[2:].decode()

    def cut(self) -> None:
        """Cut the connection."""
        self.writer.transport.abort()


def frame(
    payload: bytes,
    kind: int = TEXT,
    *,
    fin: bool = True,
    reserved: int = 0,
    masked: bool = True,
) -> bytes:
    """One frame's bytes (RFC 6455, section 5.2)."""
    head = bytes([(0x80 if fin else 0) | reserved << 4 | kind])
    size = len(payload)
    flag = 0x80 if masked else 0
    if size < 126:
        head += bytes([flag | size])
    elif size < 2**16:
        head += struct.pack("!BH", flag | 126, size)
    else:
        head += struct.pack("!BQ", flag | 127, size)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    whole = (mask * (size // 4 + 1))[:size]
    return head + mask + (int.from_bytes(payload) ^ int.from_bytes(whole)).to_bytes(size)
