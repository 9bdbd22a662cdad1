"""A gateway and a clock for the client's tests: both do only what the test says."""

from __future__ import annotations

import asyncio
import contextlib
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from seenby.client import Pace
from tests.servers.wait import PATIENCE
from tests.unit.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from websockets.asyncio.server import ServerConnection
    from websockets.typing import Data

READ_AT = 1_704_067_200


def receipt(seq: int) -> dict[str, Any]:
    """The receipt frame of message m<seq>."""
    return {
        "type": "read_receipt",
        "msg_id": f"m{seq}",
        "reader_id": "user456",
        "read_at": READ_AT,
        "conversation_id": "c1",
        "timestamp": READ_AT + 5,
        "seq": seq,
    }


class Visit:
    """One connection of the client, seen from the gateway."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.said: list[dict[str, Any]] = []
        # The connection is gone, and everything that came over it stands in said.
        self.ended = False

    @property
    def hello(self) -> dict[str, Any]:
        """What the client said first."""
        assert self.said[0]["type"] == "hello"
        return self.said[0]

    @property
    def acks(self) -> list[int]:
        """What the client has acknowledged, in order."""
        return [frame["seq"] for frame in self.said if frame["type"] == "ack"]

    async def send(self, frame: dict[str, Any] | str) -> None:
        """One text frame."""
        await self.socket.send(frame if isinstance(frame, str) else json.dumps(frame))

    async def welcome(self, head: int = 0, epoch: str = "e1", *, resumed: bool = True) -> None:
        """The answer to hello."""
        frame = {"type": "welcome", "user_id": "user123", "device_id": "d", "heartbeat": 30}
        await self.send({**frame, "epoch": epoch, "seq": head, "resumed": resumed})

    async def push(self, *seqs: int) -> None:
        """One receipt frame for each."""
        for seq in seqs:
            await self.send(receipt(seq))

    async def push_together(self, *seqs: int) -> None:
        """One frame for all."""
        await self.send({"type": "read_receipts", "receipts": [receipt(seq) for seq in seqs]})

    async def close(self, code: int, reason: str = "") -> None:
        """End the connection as the contract says."""
        await self.socket.close(code, reason)

    def drop(self) -> None:
        """Break the connection without a word."""
        self.socket.transport.abort()


class FakeGateway:
    """Takes connections; what happens on them is up to the test."""

    def __init__(self) -> None:
        self.url = ""
        self.visits: list[Visit] = []
        self._new: asyncio.Queue[Visit] = asyncio.Queue()

    async def serve(self, socket: ServerConnection) -> None:
        """Keep what the client says until the connection ends."""
        visit = Visit(socket)
        with contextlib.suppress(ConnectionClosed):
            async for text in socket:
                visit.said.append(decoded(text))
                if len(visit.said) == 1:
                    self.visits.append(visit)
                    self._new.put_nowait(visit)
        visit.ended = True

    async def visit(self) -> Visit:
        """The next connection, once the client has said hello."""
        async with asyncio.timeout(PATIENCE):
            return await self._new.get()


def decoded(text: Data) -> dict[str, Any]:
    """A frame of the client's."""
    frame: dict[str, Any] = json.loads(text)
    return frame


@asynccontextmanager
async def gateway(*, subprotocol: bool = True) -> AsyncIterator[FakeGateway]:
    """A gateway on a free port of loopback."""
    fake = FakeGateway()
    server = await serve(
        fake.serve,
        "127.0.0.1",
        0,
        subprotocols=["seenby.v1"] if subprotocol else None,  # type: ignore[list-item]  # a NewType
        ping_interval=None,
        close_timeout=0.05,
    )
    try:
        port = next(iter(server.sockets)).getsockname()[1]
        fake.url = f"ws://127.0.0.1:{port}/ws"
        yield fake
    finally:
        server.close()
        await server.wait_closed()


class HandPace:
    """Time that moves when told to, and chance that is always the same.

    Attributes:
        now: seconds.
        chance: what random() answers.
        sleepers: how many sleep now.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.chance = 1.0
        self._sleeping: list[tuple[float, asyncio.Event]] = []
        self.pace = Pace(clock=lambda: self.now, sleep=self._sleep, random=lambda: self.chance)

    @property
    def sleepers(self) -> int:
        """How many sleep now."""
        return len(self._sleeping)

    async def _sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        entry = (self.now + seconds, asyncio.Event())
        self._sleeping.append(entry)
        try:
            await entry[1].wait()
        finally:
            self._sleeping.remove(entry)

    async def advance(self, seconds: float) -> None:
        """Let *seconds* pass, and those whose time has come wake up."""
        self.now += seconds
        due = [entry for entry in self._sleeping if entry[0] <= self.now]
        for _, wake in due:
            wake.set()
        await eventually(lambda: not any(entry in self._sleeping for entry in due))
