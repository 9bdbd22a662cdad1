"""The fast lane: ordinary marks are answered here, every other connection goes to aiohttp.

Before its commit and after it, a mark costs the event loop 119 us through aiohttp (parser, request,
router, response, task) and 21 here. The lane stands where connections arrive: as long as one
brings ordinary marks (``heads``) it is served here (``connection``).
"""

from __future__ import annotations

import asyncio
import logging
import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

import structlog

from seenby.api.answers import Answer, cors
from seenby.api.connection import Connection
from seenby.api.heads import read_head

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiohttp import web

    from seenby.auth import QuickAuthenticator
    from seenby.metrics import Metrics
    from seenby.service import Service

KEEP_ALIVE = 3630.0
"""Seconds that a connection may be idle: longer than the proxies in front wait (aiohttp's own)."""

LOOK_EVERY = 60.0
"""Seconds between looks for connections that are idle: a timer each would cost 1 us per mark."""

HEADS = 512
"""Heads that are remembered: a client's differ in the length of the body only, so there are few."""

RECORDED = Answer(b"")

log = structlog.get_logger()


class Lane:
    """Accepts the API's connections.

    Args:
        server: aiohttp's, for what is not an ordinary mark.
        service: records marks.
        authenticator: tells who calls.
        metrics: counts requests by route and status.
        origins: of the web pages that may call.
    """

    def __init__(
        self,
        server: web.Server,
        service: Service,
        authenticator: QuickAuthenticator,
        metrics: Metrics,
        origins: Collection[str],
    ) -> None:
        """Nothing is accepted before listen()."""
        self.server = server
        self.service = service
        self.authenticator = authenticator
        self.metrics = metrics
        self.draining = False
        # Asked once: a line that nobody wants costs 0.9 us.
        self.tells_marks = log.is_enabled_for(logging.DEBUG)
        self._origins = frozenset(origins)
        self._connections: set[Connection] = set()
        self._listening: asyncio.Server | None = None
        self._look: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Event = asyncio.Event()
        self._date = (0, b"")
        self._recorded = self.prefix(RECORDED, None)
        self.read_head = lru_cache(HEADS)(read_head)

    async def listen(self, host: str, port: int, *, backlog: int = 4096) -> int:
        """Accept connections; returns the port, which differs from *port* when that is 0.

        Raises:
            OSError: the port cannot be had.
        """
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(
            lambda: Connection(self), host, port, backlog=backlog
        )
        self._look = loop.call_later(LOOK_EVERY, self._look_around)
        found: int = self._listening.sockets[0].getsockname()[1]
        return found

    async def drain(self, within: float) -> None:
        """Accept no more; answer what is under way, for *within* seconds at most, and close.

        What aiohttp serves is its runner's to clean up, afterwards: requests that are begun here
        may still become its own.
        """
        if self._listening is not None:
            self._listening.close()
        if self._look is not None:
            self._look.cancel()
        # What has arrived already is begun with first.
        await asyncio.sleep(0)
        self.draining = True
        for connection in list(self._connections):
            if connection.idle:
                connection.close()
        if self._connections:
            self._emptied.clear()
            try:
                async with asyncio.timeout(within):
                    await self._emptied.wait()
            except TimeoutError:
                log.warning("requests_cut_off", requests=len(self._connections))
        for connection in list(self._connections):
            connection.abort()

    # For its connections

    def entered(self, connection: Connection) -> None:
        """A connection has begun."""
        self._connections.add(connection)
        if self.draining:
            connection.close()

    def left(self, connection: Connection) -> None:
        """A connection is closed, or aiohttp's from now on."""
        self._connections.discard(connection)
        if not self._connections:
            self._emptied.set()

    def prefix(self, answer: Answer, origin: str | None) -> bytes:
        """An answer's head for a page of *origin* up to the number of its bytes, as aiohttp's."""
        status = HTTPStatus(answer.status)
        lines = [f"HTTP/1.1 {status.value} {status.phrase}"]
        headers = answer.headers | cors(origin, self._origins)
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "Content-Length: "]).encode()

    def recorded(self, origin: str | None) -> bytes:
        """The same for a mark that is recorded."""
        return self._recorded if origin is None else self.prefix(RECORDED, origin)

    def date(self) -> bytes:
        """The Date header's value, made once a second."""
        now = int(time.time())
        if self._date[0] != now:
            self._date = now, formatdate(now, usegmt=True).encode()
        return self._date[1]

    def _look_around(self) -> None:
        self.close_idle(time.perf_counter() - KEEP_ALIVE)
        self._look = asyncio.get_running_loop().call_later(LOOK_EVERY, self._look_around)

    def close_idle(self, since: float) -> None:
        """Close connections that have asked for nothing since then (perf_counter's seconds)."""
        for connection in list(self._connections):
            if not connection.busy and connection.began < since:
                # Not close(): that would wait for a client that does not read.
                connection.abort()
