"""The API over a store in memory, as it is served: behind the fast lane."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiohttp import ClientSession, web

from seenby.api.app import make_app
from seenby.api.chat import ChatRoutes
from seenby.api.connection import Connection
from seenby.api.lane import Lane
from seenby.api.routes import Routes
from seenby.chat import Chat
from seenby.errors import TokenExpired, Unauthenticated
from seenby.metrics import Metrics
from seenby.model import Caller
from seenby.recorder import Recorder
from seenby.relay import Relay
from seenby.rules import DEFAULT, Rules
from seenby.service import Service
from seenby.store.threads import StoreThreads
from seenby.testing import FailingPublisher, FailingStore, ManualClock
from tests.unit.api.wire import Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientResponse
    from yarl import URL

    from seenby.store.base import Store
    from seenby.store.sql import SqlStore

ORIGIN = "https://chat.example.com"
MARK = {
    "msg_id": "m1",
    "reader_id": "reader",
    "sender_id": "sender",
    "conversation_id": "c1",
}


class Tokens:
    """An Authenticator that knows three tokens and lets anyone in while it is off."""

    def __init__(self) -> None:
        self.on = False
        self.remembered: set[str] = set()
        self.callers = {
            "reader's": Caller("reader", everyone=False, expires_at=None),
            "sender's": Caller("sender", everyone=False, expires_at=None),
            "service's": Caller("", everyone=True, expires_at=None),
        }

    def known(self, token: str | None, now: float) -> Caller | None:
        """Whose token it is, if it is remembered."""
        if not self.on:
            return self.callers["service's"]
        return self.callers[token] if token in self.remembered else None

    async def authenticate(self, token: str | None, now: float) -> Caller:
        """Whose token it is."""
        if not self.on:
            return self.callers["service's"]
        if token == "old":
            raise TokenExpired("the token has expired")
        if token not in self.callers:
            raise Unauthenticated("a token is needed")
        return self.callers[token]


class Api:
    """The API, its parts, and short words for calling it."""

    def __init__(
        self, store: FailingStore | SqlStore | None = None, rules: Rules = DEFAULT
    ) -> None:
        self.store = FailingStore()
        self.bus = FailingPublisher()
        self.bus.partitions = 16
        self.metrics = Metrics()
        self.tokens = Tokens()
        self.clock = ManualClock(1_704_067_200.0)
        self.threads: StoreThreads[Store] = StoreThreads(store or self.store)
        self.relay = Relay(self.threads, self.bus, self.metrics, owner="api")
        self.recorder = Recorder(self.threads, self.relay, self.metrics, self.clock)
        self.service = Service(self.recorder, self.threads)
        # Without a store of its own nobody asks for conversations.
        self.chat = Chat(self.recorder, cast("StoreThreads[SqlStore]", self.threads), rules)
        self.http: ClientSession
        self.port = 0
        self.lane: Lane
        self.runner: web.AppRunner

    def wire(self, *, fast: bool = True) -> Wire:
        """A connection that arrives in the lane, or at aiohttp as if there were none."""
        return Wire(Connection(self.lane) if fast else self.lane.server())

    async def call(
        self, method: str, path: str | URL, *, token: str = "", json: Any = None, **more: Any
    ) -> tuple[int, Any]:
        """Status and document."""
        response = await self.response(method, path, token=token, json=json, **more)
        return response.status, await response.json()

    async def response(
        self, method: str, path: str | URL, *, token: str = "", **more: Any
    ) -> ClientResponse:
        """The answer itself."""
        headers = {**more.pop("headers", {})}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return await self.http.request(method, path, headers=headers, **more)

    async def mark(self, **fields: Any) -> tuple[int, Any]:
        """Mark, with MARK's fields where none are given; None leaves a field out."""
        chosen = {name: value for name, value in (MARK | fields).items() if value is not None}
        return await self.call("POST", "/api/v1/messages/read", json=chosen)

    async def marked(self, count: int, **fields: Any) -> list[Any]:
        """The receipts of m1, m2, ... each read by the same reader."""
        receipts = []
        for number in range(1, count + 1):
            status, document = await self.mark(**{"msg_id": f"m{number}", **fields})
            assert status == 200
            receipts.append(document["receipt"])
        return receipts


@asynccontextmanager
async def running(store: SqlStore | None = None, rules: Rules = DEFAULT) -> AsyncIterator[Api]:
    """The API over an empty store in memory, or one on a database, until the block ends."""
    api = Api(store, rules)
    api.relay.start()
    api.recorder.start()
    routes = Routes(
        api.service,
        api.metrics,
        bus=api.bus,
        gateway_url="wss://chat.example.com/ws",
        partitions=8,
    )
    app = make_app(routes, ChatRoutes(api.chat), api.tokens, api.metrics, {ORIGIN})
    api.runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await api.runner.setup()
    assert api.runner.server is not None
    api.lane = Lane(api.runner.server, api.service, api.tokens, api.metrics, {ORIGIN})
    api.port = await api.lane.listen("127.0.0.1", 0)
    async with ClientSession(f"http://127.0.0.1:{api.port}") as api.http:
        yield api
    await api.lane.drain(1.0)
    await api.runner.cleanup()
    await api.recorder.close()
    await api.relay.close()
    await api.threads.close()


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """The API over an empty store."""
    async with running() as api:
        yield api
