"""Devices that come back, all at once, and catch up what they have missed."""

from __future__ import annotations

import asyncio
import json
import resource
import time
from typing import TYPE_CHECKING, Any

from seenby.bench.sockets import Sockets
from seenby.gateway.frames import SUBPROTOCOL

if TYPE_CHECKING:
    from seenby.bench.sockets import Socket

HEADERS = {"Sec-WebSocket-Protocol": SUBPROTOCOL}
WITHIN = 30.0
"""Seconds after which whoever is not served is given up."""


class Returning:
    """One device for each user; each says where it stood, as seenby's own clients do."""

    def __init__(self) -> None:
        self._positions: dict[str, tuple[str, int]] = {}
        self._heads: dict[str, tuple[str, int]] = {}
        self._got: dict[str, int] = {}
        self._wrong = 0
        self._events = 0
        self._served = 0

    async def visit(self, gateway: str, users: list[str]) -> dict[str, Any]:
        """Connect, learn the head of one's stream, and leave."""
        sockets = Sockets(self._took)
        self._heads.clear()
        self._begin(0)
        for socket in await sockets.connect(gateway, _devices(users), headers=HEADERS):
            socket.send(json.dumps({"type": "hello", "device_id": "d"}).encode())
        await self._served_all(len(users))
        self._positions = dict(self._heads)
        sockets.close()
        return {"welcome": len(self._heads)}

    async def come_back(self, gateway: str, events: int) -> dict[str, Any]:
        """All at once: connect, say the position, and take *events* events each, in order."""
        sockets = Sockets(self._took)
        self._begin(events)
        users = list(self._positions)
        used = resource.getrusage(resource.RUSAGE_SELF)
        began = time.perf_counter()

        async def one(user: str) -> None:
            [socket] = await sockets.connect(gateway, _devices([user]), headers=HEADERS)
            epoch, seq = self._positions[user]
            socket.seq = seq
            hello = {"type": "hello", "device_id": "d", "epoch": epoch, "seq": seq}
            socket.send(json.dumps(hello).encode())

        await asyncio.gather(*map(one, users))
        await self._served_all(len(users))
        took = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_SELF)
        sockets.close()
        return {
            "seconds": took,
            "missing": len(users) - self._served,
            "wrong": self._wrong,
            "cpu_seconds": after.ru_utime - used.ru_utime + after.ru_stime - used.ru_stime,
        }

    def _begin(self, events: int) -> None:
        self._events = events
        self._got = {}
        self._wrong = self._served = 0

    async def _served_all(self, users: int) -> None:
        until = time.perf_counter() + WITHIN
        while self._served < users and time.perf_counter() < until:  # noqa: ASYNC110 -- a count
            await asyncio.sleep(0.002)

    def _took(self, socket: Socket, text: bytes) -> None:
        frame = json.loads(text)
        user = socket.query["user_id"]
        if frame["type"] == "welcome":
            self._heads[user] = (frame["epoch"], frame["seq"])
            if not self._events:
                self._served += 1
        elif frame["type"] == "read_receipt" and self._events:
            if frame["seq"] != socket.seq + 1:
                self._wrong += 1
            socket.seq = frame["seq"]
            got = self._got[user] = self._got.get(user, 0) + 1
            if got == self._events:
                self._served += 1
        elif frame["type"] == "reset":
            self._wrong += 1


def _devices(users: list[str]) -> list[dict[str, str]]:
    return [{"user_id": user} for user in users]
