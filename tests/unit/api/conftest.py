"""The API over a store in memory or in a file, as it is served: behind the fast lane."""

from __future__ import annotations

import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiohttp import ClientSession, web

from seenby.api.app import make_app
from seenby.api.asking import Asking
from seenby.api.chat import ChatRoutes
from seenby.api.connection import Connection
from seenby.api.inspect import InspectRoutes
from seenby.api.lane import Lane
from seenby.api.routes import Routes
from seenby.chat import Chat
from seenby.errors import TokenExpired, Unauthenticated
from seenby.metrics import Metrics
from seenby.model import Caller
from seenby.presence import Presence
from seenby.recorder import Recorder
from seenby.relay import Relay
from seenby.rules import DEFAULT, Rules
from seenby.service import Service
from seenby.store.schema import migrate
from seenby.store.sql import open_store
from seenby.store.threads import StoreThreads
from seenby.testing import FailingPublisher, FailingStore, ManualClock
from tests.unit.api import described
from tests.unit.api.wire import Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiohttp import ClientResponse
    from yarl import URL

    from seenby.api.pages import Pages
    from seenby.store.base import Store
    from seenby.store.sql import SqlStore

BACKEND = "service's"
ORIGIN = "https://chat.example.com"
MARK = {
    "msg_id": "m1",
    "reader_id": "reader",
    "sender_id": "sender",
    "conversation_id": "c1",
}


class Tokens:
    """An Authenticator that lets anyone in while it is off.

    The token ``x's`` is that of the user x, ``service's`` the backend's, ``old`` nobody's any more.
    """

    def __init__(self) -> None:
        self.on = False
        self.remembered: set[str] = set()
        users = ("reader", "sender", "ann", "bob", "cid", "eve")
        self.callers = {
            f"{user}'s": Caller(user, everyone=False, expires_at=None) for user in users
        }
        self.callers[BACKEND] = Caller("", everyone=True, expires_at=None)

    def known(self, token: str | None, now: float) -> Caller | None:
        """Whose token it is, if it is remembered."""
        if not self.on:
            return self.callers[BACKEND]
        return self.callers[token] if token in self.remembered else None

    async def authenticate(self, token: str | None, now: float) -> Caller:
        """Whose token it is."""
        if not self.on:
            return self.callers[BACKEND]
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
        self.presence: Presence
        # Other processes may take long on a busy machine.
        self.asking = Asking(within=60.0)
        self.http: ClientSession
        self.port = 0
        self.lane: Lane
        self.runner: web.AppRunner
        self.ticket = ""

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

    # A chat: its backend, and its users

    async def good(self, method: str, path: str | URL, **more: Any) -> Any:
        """The document of an answer that must be a 200; asked by the backend."""
        more.setdefault("token", BACKEND)
        status, document = await self.call(method, path, **more)
        assert status == 200, document
        return document

    async def group(self, *members: str, conversation_id: str = "c1", kind: str = "group") -> Any:
        """A conversation with exactly these members."""
        return await self.good(
            "PUT",
            f"/api/v1/conversations/{conversation_id}",
            json={"type": kind, "members": members},
        )

    async def send(
        self, *msg_ids: str, sender_id: str = "ann", conversation_id: str = "c1"
    ) -> None:
        """Messages that are registered."""
        for msg_id in msg_ids:
            message = {"msg_id": msg_id, "conversation_id": conversation_id, "sender_id": sender_id}
            await self.good("POST", "/api/v1/messages", json=message)

    async def read(self, msg_id: str, *reader_ids: str) -> None:
        """A registered message that these users read."""
        for reader_id in reader_ids:
            body = {"msg_id": msg_id, "reader_id": reader_id}
            await self.good("POST", "/api/v1/messages/read", json=body)

    async def hide(self, *user_ids: str) -> None:
        """These users wish that their names are not told."""
        for user_id in user_ids:
            await self.good(
                "PUT", f"/api/v1/users/{user_id}/settings", json={"send_receipts": False}
            )

    async def seen(self, query: str, token: str = BACKEND) -> Any:
        """What the address of receipts answers."""
        return await self.good("GET", f"/api/v1/messages/receipts?{query}", token=token)


@asynccontextmanager
async def running(
    store: SqlStore | None = None, rules: Rules = DEFAULT, pages: Pages | None = None
) -> AsyncIterator[Api]:
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
    threads = cast("StoreThreads[SqlStore]", api.threads)
    api.presence = Presence(threads, api.metrics, api.relay, node="n1", role="serve")
    inspect = InspectRoutes(
        threads, bus=api.bus, partitions=8, answer=api.presence.answer, asking=api.asking
    )
    app = make_app(
        routes,
        ChatRoutes(api.chat),
        api.tokens,
        api.metrics,
        {ORIGIN},
        inspect=inspect,
        pages=pages,
    )
    api.runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await api.runner.setup()
    assert api.runner.server is not None
    api.lane = Lane(api.runner.server, api.service, api.tokens, api.metrics, {ORIGIN})
    api.port = await api.lane.listen("127.0.0.1", 0)
    # Whatever these tests are told must be as /openapi.json describes it.
    address, traces = f"http://127.0.0.1:{api.port}", [described.watching()]
    async with ClientSession(address, trace_configs=traces) as api.http:
        yield api
    await api.presence.close()
    await inspect.close()
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


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database with all its tables."""
    path = tmp_path_factory.mktemp("migrated") / "seenby.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def database(migrated: Path, tmp_path: Path) -> str:
    """The address of such a database of its own."""
    return f"sqlite:///{shutil.copy(migrated, tmp_path / 'seenby.db')}"


@asynccontextmanager
async def chatting(database: str, **rules: Any) -> AsyncIterator[Api]:
    """The API over a database under these rules, with tokens, until the block ends."""
    decided = Rules(**rules)
    async with running(open_store(database, rules=decided), decided) as api:
        api.tokens.on = True
        yield api


@pytest.fixture
async def chat(database: str) -> AsyncIterator[Api]:
    """The same under the rules of an operator who has decided nothing."""
    async with chatting(database) as api:
        yield api
