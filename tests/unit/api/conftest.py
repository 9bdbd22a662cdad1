"""The API over a store in memory, called by aiohttp's own test client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from seenby.api.app import make_app
from seenby.api.routes import Routes
from seenby.errors import TokenExpired, Unauthenticated
from seenby.metrics import Metrics
from seenby.model import Caller
from seenby.recorder import Recorder
from seenby.relay import Relay
from seenby.service import Service
from seenby.store.threads import StoreThreads
from seenby.testing import FailingPublisher, FailingStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientResponse
    from yarl import URL

ORIGIN = "https://chat.example.com"
MARK = {
    "msg_id": "m1",
    "reader_id": "reader",
    "sender_id": "sender",
    "conversation_id": "c1",
}

Http = TestClient[web.Request, web.Application]


class Tokens:
    """An Authenticator that knows three tokens and lets anyone in while it is off."""

    def __init__(self) -> None:
        self.on = False
        self.callers = {
            "reader's": Caller("reader", everyone=False, expires_at=None),
            "sender's": Caller("sender", everyone=False, expires_at=None),
            "service's": Caller("", everyone=True, expires_at=None),
        }

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

    def __init__(self, http: Http, store: FailingStore, bus: FailingPublisher) -> None:
        self.http = http
        self.store = store
        self.bus = bus
        self.metrics = Metrics()
        self.tokens = Tokens()

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


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """The API over an empty store."""
    store, bus, metrics, tokens = FailingStore(), FailingPublisher(), Metrics(), Tokens()
    bus.partitions = 16
    threads = StoreThreads(store)
    relay = Relay(threads, bus, metrics, owner="api")
    recorder = Recorder(threads, relay, metrics)
    relay.start()
    recorder.start()
    routes = Routes(
        Service(recorder, threads),
        metrics,
        bus=bus,
        gateway_url="wss://chat.example.com/ws",
        partitions=8,
    )
    app = make_app(routes, tokens, metrics, {ORIGIN})
    server = TestServer(app)
    async with TestClient(server) as http:
        assert server.runner is not None
        assert server.runner.server is not None
        # As seenby itself runs it: a client that leaves does not cancel what it asked for.
        server.runner.server.handler_cancellation = False
        api = Api(http, store, bus)
        api.metrics, api.tokens = metrics, tokens
        yield api
    await recorder.close()
    await relay.close()
    await threads.close()
