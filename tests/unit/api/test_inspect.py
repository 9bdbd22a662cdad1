"""What operators are answered: everything that is known of a receipt, and no hidden name."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from seenby.api import asking
from seenby.nodes import ASKED_AT, Here, SessionSeen, UserSeen
from tests.unit.api.conftest import BACKEND, MARK, chatting
from tests.unit.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.unit.api.conftest import Api

    Answers = Callable[[web.Request], Awaitable[web.StreamResponse]]

PATHS = ("overview", "users/ann", "messages/m1")


class Phone:
    """A gateway with one phone of each user, which was written everything, and said so."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def now_here(self) -> Here:
        """One user, one partition."""
        return Here(1, [3], bus=True)

    def seen(self, user_id: str) -> UserSeen:
        """One session."""
        self.asked.append(user_id)
        steps = [(100, 2_000_000_000_000)]
        return UserSeen(
            user_id, [SessionSeen("phone", False, "live", 1000, 100, 0, 0, steps, 0, steps)]
        )


@pytest.fixture
async def phone(chat: Api) -> Phone:
    """A process, this one, with a gateway."""
    station = Phone()
    chat.presence.start(f"http://127.0.0.1:{chat.port}", station)
    store = chat.presence._threads.store
    await eventually(lambda: bool(store.inspecting.nodes()))
    return station


def other(chat: Api, url: str, node: str = "n2", ticket: str = "t") -> None:
    """Another process has a row."""
    chat.presence._threads.store.inspecting.report(
        node, "gateway", url=url, ticket=ticket, uptime_ms=1, numbers="{}"
    )


async def look(chat: Api, path: str, token: str = BACKEND) -> Any:
    """What the backend is answered."""
    return await chat.good("GET", f"/api/v1/inspect/{path}", token=token)


async def mark(chat: Api, **fields: str) -> None:
    """A message is read."""
    await chat.good("POST", "/api/v1/messages/read", json=MARK | {"sender_id": "ann"} | fields)


@pytest.mark.parametrize("path", PATHS)
async def test_it_is_for_services_only(chat: Api, path: str) -> None:
    """No user sees it, not even of their own."""
    address = f"/api/v1/inspect/{path}"
    assert (await chat.call("GET", address, token="ann's"))[0] == 403
    assert (await chat.call("GET", address))[0] == 401
    assert (await chat.call("GET", address, token=BACKEND))[0] == 200


@pytest.mark.parametrize("path", PATHS)
async def test_with_authentication_off_it_is_open(chat: Api, path: str) -> None:
    """As everything is."""
    chat.tokens.on = False
    assert (await chat.call("GET", f"/api/v1/inspect/{path}"))[0] == 200


async def test_a_receipt_from_its_mark_to_the_phone(chat: Api, phone: Phone) -> None:
    """One answer has all of it."""
    await mark(chat)
    found = await look(chat, "messages/m1")
    [receipt] = found["receipts"]
    assert (receipt["reader_id"], receipt["sender_id"], receipt["seq"]) == ("reader", "ann", 1)
    assert receipt["recorded_at"] == "2024-01-01T00:00:00.000Z"
    assert receipt["published"]["state"] == "published"
    assert receipt["published"]["at"] is not None
    [step] = receipt["devices"]
    assert (step["device_id"], step["state"], step["node"]) == ("phone", "acknowledged", "n1")
    assert step["pushed"] == {"at": "2033-05-18T03:33:20.000Z", "exact": True}
    assert phone.asked == ["ann"]
    assert (found["count"], found["registered"], found["missing"]) == (1, None, [])


async def test_what_the_bus_has_not_taken_waits(chat: Api, phone: Phone) -> None:
    """Since when, and nobody has it while the bus is away."""
    chat.bus.healthy = False
    chat.clock.now = time.time()
    await mark(chat)
    published = (await look(chat, "messages/m1"))["receipts"][0]["published"]
    assert (published["state"], published["at"], published["by"]) == ("waiting", None, None)
    assert published["since"] is not None
    chat.bus.healthy = True
    async with asyncio.timeout(60):
        while published["state"] == "waiting":
            published = (await look(chat, "messages/m1"))["receipts"][0]["published"]
    assert published["state"] == "published"
    assert published["at"] is not None


async def test_a_registered_message(chat: Api, phone: Phone) -> None:
    """What is registered of it is told with it."""
    await chat.group("ann", "bob", "cid")
    await chat.send("m1")
    await chat.read("m1", "bob")
    registered = (await look(chat, "messages/m1"))["registered"]
    assert registered["conversation_id"] == "c1"
    assert (registered["sender_id"], registered["member_count"], registered["readers"]) == (
        "ann",
        2,
        1,
    )


async def test_names_that_are_hidden_stay_hidden(chat: Api, phone: Phone) -> None:
    """From operators too: of a message, and in both streams."""
    await chat.group("ann", "bob", "cid")
    await chat.send("m1")
    await chat.hide("bob")
    await chat.read("m1", "bob", "cid")
    message = await look(chat, "messages/m1")
    assert [receipt["reader_id"] for receipt in message["receipts"]] == ["cid"]
    sender, reader = await look(chat, "users/ann"), await look(chat, "users/bob")
    assert [event["reader_id"] for event in sender["recent"]] == ["cid"]
    # That bob's devices are told of something is known; what he has read is not.
    assert [(e["type"], e["msg_id"], e["reader_id"]) for e in reader["recent"]] == [
        ("read_self", None, None)
    ]


async def test_counted_readers_have_no_names(database: str) -> None:
    """A group that is told counts: the event is there, and nobody stands in it."""
    async with chatting(database, aggregate_over=1) as chat:
        await chat.group("ann", "bob", "cid")
        await chat.send("m1")
        await chat.read("m1", "bob")
        [receipt] = (await look(chat, "messages/m1"))["receipts"]
        assert (receipt["seq"], receipt["devices"]) == (None, [])
        assert receipt["published"]["state"] == "unknown"
        [event] = (await look(chat, "users/ann"))["recent"]
        assert (event["type"], event["msg_id"], event["reader_id"]) == ("read_count", "m1", None)


async def test_many_receipts_come_in_pages(chat: Api) -> None:
    """Each once, in order."""
    for number in range(45):
        await mark(chat, reader_id=f"r{number}")
    readers: list[str] = []
    cursor: str | None = ""
    sizes = []
    while cursor is not None:
        found = await look(chat, "messages/m1" + (f"?cursor={cursor}" if cursor else ""))
        readers += [receipt["reader_id"] for receipt in found["receipts"]]
        sizes.append(len(found["receipts"]))
        cursor = found["next_cursor"]
    assert readers == [f"r{number}" for number in range(45)]
    assert sizes == [20, 20, 5]


async def test_a_user_and_the_devices(chat: Api, phone: Phone) -> None:
    """The stream, its newest events first, and the phone that is connected."""
    for number in range(25):
        await mark(chat, msg_id=f"m{number}")
    found = await look(chat, "users/ann")
    assert (found["head"], found["floor"]) == (25, 0)
    assert [event["seq"] for event in found["recent"]] == list(range(25, 5, -1))
    [device] = found["devices"]
    assert (device["device_id"], device["seq"]) == ("phone", None)
    assert device["sessions"][0]["node"] == "n1"


async def test_who_is_unknown_has_nothing(chat: Api) -> None:
    """Neither is that an error: it is the answer."""
    user, message = await look(chat, "users/nobody"), await look(chat, "messages/nothing")
    assert (user["head"], user["devices"], user["recent"]) == (0, [], [])
    assert (message["count"], message["receipts"], message["next_cursor"]) == (0, [], None)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("users/a%20b", "user_id"),
        ("messages/" + "m" * 65, "msg_id"),
        ("messages/m1?cursor=x", "cursor"),
    ],
)
async def test_what_is_no_id_is_named(chat: Api, path: str, field: str) -> None:
    """With the accepted form."""
    status, refused = await chat.call("GET", f"/api/v1/inspect/{path}", token=BACKEND)
    assert (status, refused["code"]) == (400, "bad_request")
    assert refused["error"].startswith(f"{field} must be")


async def test_the_overview_has_every_process(chat: Api, phone: Phone) -> None:
    """With and without a gateway."""
    other(chat, "http://127.0.0.1:1", node="a2")
    found = await look(chat, "overview")
    assert [(node["node"], node["role"]) for node in found["nodes"]] == [
        ("a2", "gateway"),
        ("n1", "serve"),
    ]
    assert found["nodes"][1]["partitions"] == [3]
    assert "ticket" not in str(found)


# Others that do not answer as they should


@pytest.fixture
async def elsewhere() -> AsyncIterator[Callable[[Answers], Awaitable[str]]]:
    """Starts a process that answers as it is told; returns its address."""
    runners: list[web.AppRunner] = []

    async def start(answers: Answers) -> str:
        app = web.Application()
        app.router.add_get(ASKED_AT, answers)
        app.router.add_get("/elsewhere", answers)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield start
    for runner in runners:
        await runner.cleanup()


async def answer_nothing(_: web.Request) -> web.StreamResponse:
    """Never."""
    await asyncio.Event().wait()
    return web.Response()


async def answer_elsewhere(request: web.Request) -> web.StreamResponse:
    """By leading to another address, where everything would be fine."""
    if request.path == "/elsewhere":
        return web.json_response({"users": [], "published": [[1, 1]]})
    raise web.HTTPFound("/elsewhere")


async def answer_nonsense(_: web.Request) -> web.StreamResponse:
    """In a form that nobody knows."""
    return web.json_response({"users": "all"})


async def answer_without_end(request: web.Request) -> web.StreamResponse:
    """More than anyone wants to know."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" " * 65536)


async def refuse(_: web.Request) -> web.StreamResponse:
    """The ticket is not mine."""
    return web.json_response({}, status=401)


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (answer_nothing, "within 5 s"),
        (answer_elsewhere, "understood"),
        (answer_nonsense, "understood"),
        (answer_without_end, "understood"),
        (refuse, "reached"),
        (None, "reached"),
    ],
)
async def test_one_that_does_not_answer_is_named_and_hides_nothing(
    chat: Api,
    phone: Phone,
    elsewhere: Callable[[Answers], Awaitable[str]],
    monkeypatch: pytest.MonkeyPatch,
    answers: Answers | None,
    why: str,
) -> None:
    """What the others know is answered all the same, and a fault is told without a wait."""
    monkeypatch.setattr(asking, "ANSWER_MAX", 200_000)
    if answers is answer_nothing:
        chat.asking._within = 5.0
    other(chat, "http://127.0.0.1:1" if answers is None else await elsewhere(answers))
    await mark(chat)
    found = await look(chat, "messages/m1")
    [missing] = found["missing"]
    assert (missing["node"], missing["role"]) == ("n2", "gateway")
    assert why in missing["why"]
    assert found["receipts"][0]["devices"][0]["state"] == "acknowledged"


async def test_one_that_is_lost_is_not_asked(chat: Api, phone: Phone) -> None:
    """Its row is old: nobody waits for it."""
    other(chat, "http://127.0.0.1:1")
    chat.presence._threads.store.connections.run(
        lambda connection: connection.change("UPDATE nodes SET seen = 0 WHERE node = 'n2'")
    )
    [missing] = (await look(chat, "users/ann"))["missing"]
    assert "not seen" in missing["why"]
    lost = {node["node"]: node["lost"] for node in (await look(chat, "overview"))["nodes"]}
    assert lost == {"n1": False, "n2": True}


async def test_only_whoever_has_the_ticket_is_answered(chat: Api, phone: Phone) -> None:
    """No other token opens it, and it opens nothing else."""
    [row] = chat.presence._threads.store.inspecting.nodes()
    for token in ("", BACKEND, "x", "\u00e9"):
        status, _ = await chat.call("GET", f"{ASKED_AT}?user_id=ann", token=token)
        assert status == 401
    status, told = await chat.call("GET", f"{ASKED_AT}?user_id=ann&at=1&at=x", token=row.ticket)
    assert (status, len(told["users"]), told["published"]) == (200, 1, [])
    many = "&".join(["user_id=ann"] * 101)
    assert (await chat.call("GET", f"{ASKED_AT}?{many}", token=row.ticket))[0] == 400
    assert (await chat.call("GET", "/api/v1/inspect/overview", token=row.ticket))[0] == 401
