"""A request for each operation of the API that is right, over a chat in which it does something."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import urlencode

from aiohttp.test_utils import TestClient, TestServer

from seenby.api.app import make_app
from seenby.api.chat import ChatRoutes
from seenby.api.descriptions.operations import OPERATIONS
from seenby.api.inspect import InspectRoutes
from seenby.api.pages import Pages
from seenby.api.routes import Routes
from seenby.model import Position
from seenby.presence import Presence
from seenby.store.base import Ack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp import ClientSession

    from seenby.api.descriptions.operation import Operation
    from seenby.store.sql import SqlStore
    from seenby.store.threads import StoreThreads
    from tests.unit.api.conftest import Api

BY_NAME = {operation.name: operation for operation in OPERATIONS}

_PATH = {"user_id": "bob", "device_id": "phone", "conversation_id": "c1", "msg_id": "m1"}
_PUT = {"type": "group", "members": ["ann", "bob"], "conversation_id": "c1"}
_MESSAGE = {"msg_id": "m3", "conversation_id": "c1", "sender_id": "ann"}
_READ = {
    "msg_id": "m9",
    "reader_id": "bob",
    "sender_id": "ann",
    "conversation_id": "c9",
    "conversation_type": "private",
    "device_id": "phone",
}

BODIES: dict[str, dict[str, Any]] = {
    "mark": _READ,
    "mark_batch": {"receipts": [_READ]},
    "withdraw": {"msg_id": "m1", "reader_id": "bob"},
    "read_conversation": {"user_id": "cid", "conversation_id": "c1", "up_to_msg_id": "m2"},
    "put_conversation": _PUT,
    "put_batch": {"conversations": [_PUT]},
    "change_members": {"add": ["eve"], "remove": ["cid"], "conversation_id": "c1"},
    "change_batch": {"changes": [{"conversation_id": "c1", "add": ["eve"]}]},
    "register": {**_MESSAGE, "sent_at": 1_704_067_200},
    "register_batch": {"messages": [_MESSAGE]},
    "prefer": {"send_receipts": True, "conversation_id": "c1"},
}

QUERIES: dict[str, dict[str, str]] = {
    "receipts": {"msg_id": "m1"},
    "unread_counts": {"user_id": "bob"},
    "unread": {"user_id": "bob"},
    "gateway": {"user_id": "bob"},
}


class Asked(NamedTuple):
    """A request: method, address, and a body where there is one."""

    method: str
    path: str
    json: Any

    def but(self, *, path: str | None = None, query: str = "", **fields: Any) -> Asked:
        """The same with some fields of the body changed (None takes one away)."""
        asked = self if path is None else self._replace(path=path)
        if query:
            asked = asked._replace(path=f"{asked.path.partition('?')[0]}?{query}")
        if fields:
            body = {name: value for name, value in (self.json | fields).items() if value}
            asked = asked._replace(json=body)
        return asked


def good(operation: Operation) -> Asked:
    """A request that is answered with 200."""
    path = re.sub(r"\{(\w+)\}", lambda part: _PATH[part[1]], operation.path)
    query = urlencode(QUERIES.get(operation.name, {}))
    return Asked(
        operation.method.upper(),
        f"{path}?{query}" if query else path,
        BODIES.get(operation.name),
    )


async def a_chat(api: Api) -> None:
    """What these requests need: a group, two messages, one of them read, and a device."""
    await api.group("ann", "bob", "cid")
    await api.send("m1", "m2")
    await api.read("m1", "bob")
    epoch, _ = await api.service.heads(["bob"])
    await api.service.acknowledge([Ack("bob", "phone", Position(epoch, 1))], now=1_704_067_200_000)


@cache
def _pages(gateway_url: str) -> Pages:
    """The pages, whose files are read once."""
    return Pages(gateway_url=gateway_url, auth="jwt")


@asynccontextmanager
async def everything(
    api: Api, wrap: Callable[[Any], Any] = lambda part: part
) -> AsyncIterator[Api]:
    """The same API with all addresses there are; *wrap* may put something around their parts."""
    threads = cast("StoreThreads[SqlStore]", api.threads)
    presence = Presence(threads, api.metrics, api.relay, node="api-1", role="api")
    api.ticket = presence._ticket
    url, partitions = "wss://chat.example.com/ws", 8
    routes = Routes(api.service, api.metrics, bus=api.bus, gateway_url=url, partitions=partitions)
    inspect = InspectRoutes(threads, bus=api.bus, partitions=partitions, answer=presence.answer)
    app = make_app(
        wrap(routes),
        wrap(ChatRoutes(api.chat)),
        api.tokens,
        api.metrics,
        (),
        inspect=wrap(inspect),
        pages=_pages(url),
    )
    before = api.http
    async with TestServer(app) as server:
        client: TestClient[Any, Any] = TestClient(server)
        api.http = cast("ClientSession", client)
        yield api
        await client.close()
    api.http = before
    await inspect.close()
