"""Marking over HTTP: what is tried again, for how long, and what is raised in the end."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from seenby.client import Client, Pace, Receipt
from seenby.client.marks import ATTEMPTS
from seenby.errors import (
    BadInput,
    Conflict,
    Forbidden,
    KeysUnavailable,
    Overloaded,
    OwnMessage,
    Refused,
    SeenbyError,
    StoreUnavailable,
    TokenExpired,
    Unauthenticated,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RECEIPT = {
    "id": 12345,
    "msg_id": "m1",
    "reader_id": "user456",
    "sender_id": "user123",
    "conversation_id": "c1",
    "conversation_type": "private",
    "read_at": "2024-01-01T12:00:00Z",
    "device_id": "",
}
Answer = tuple[int, Any, dict[str, str]]
DONE: Answer = (200, {"success": True, "receipt": RECEIPT}, {})


def refused(status: int, code: str, sentence: str = "a sentence", **headers: str) -> Answer:
    """An answer of the API that is no receipt."""
    body = {"success": False, "error": sentence, "code": code}
    return status, body, {name.replace("_", "-"): value for name, value in headers.items()}


class Bench:
    """An API that gives these answers, the last one for ever, and a client of user456."""

    def __init__(self, answers: tuple[Answer, ...]) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[dict[str, Any], str | None]] = []
        self.slept: list[float] = []
        self.url = ""
        self.pace = Pace(sleep=self._sleep, random=lambda: 1.0)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def answer(self, request: web.Request) -> web.Response:
        """One request."""
        assert request.content_type == "application/json"
        self.requests.append((await request.json(), request.headers.get("Authorization")))
        status, body, headers = self.answers[0]
        if len(self.answers) > 1:
            del self.answers[0]
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, headers=headers)

    async def mark(self, **more: Any) -> Receipt:
        """One mark through a client."""
        async with Client(user_id="user456", api=self.url, pace=self.pace, **more) as client:
            return await client.mark(msg_id="m1", sender_id="user123", conversation_id="c1")


@asynccontextmanager
async def api(*answers: Answer) -> AsyncIterator[Bench]:
    """The API on a free port of loopback."""
    bench = Bench(answers)
    app = web.Application()
    app.router.add_post("/api/v1/messages/read", bench.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        bench.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        yield bench
    finally:
        await runner.cleanup()


async def test_a_mark_is_the_contracts_request_and_answer() -> None:
    """Section 1: the fields, and a receipt with its time."""
    async with api(DONE) as bench:
        receipt = await bench.mark(device_id="phone", token="a.b.c")
    assert receipt.read_at.isoformat() == "2024-01-01T12:00:00+00:00"
    assert (receipt.id, receipt.msg_id, receipt.conversation_type) == (12345, "m1", "private")
    sent = {
        "msg_id": "m1",
        "reader_id": "user456",
        "sender_id": "user123",
        "conversation_id": "c1",
        "conversation_type": "private",
        "device_id": "phone",
    }
    assert bench.requests == [(sent, "Bearer a.b.c")]


async def test_without_a_token_none_is_shown() -> None:
    """Authentication is off."""
    async with api(DONE) as bench:
        await bench.mark()
    assert bench.requests[0][1] is None


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refused(400, "bad_request", "msg_id must be given: 1 to 64"), BadInput),
        (refused(400, "bad_request", "odd"), Refused),
        (refused(401, "unauthenticated"), Unauthenticated),
        (refused(401, "token_expired"), TokenExpired),
        (refused(403, "forbidden"), Forbidden),
        (refused(409, "conflict"), Conflict),
        (refused(422, "own_message"), OwnMessage),
        (refused(410, "reset"), Refused),
        (refused(418, "new_word"), Refused),
        ((404, "<html>no such page</html>", {}), Refused),
        ((302, "", {"Location": "/elsewhere"}), SeenbyError),
        ((200, "<html>welcome to this network</html>", {}), SeenbyError),
        ((200, {"success": True}, {}), SeenbyError),
        (refused(500, "internal"), SeenbyError),
    ],
)
async def test_what_will_not_get_better_is_raised_at_once(
    answer: Answer, kind: type[SeenbyError]
) -> None:
    """By the code of the answer, or by its status where something else answered."""
    async with api(answer, DONE) as bench:
        with pytest.raises(SeenbyError) as problem:
            await bench.mark()
    assert type(problem.value) is kind
    assert len(bench.requests) == 1
    if isinstance(answer[1], dict) and "error" in answer[1]:
        assert str(problem.value) == answer[1]["error"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refused(429, "too_many"), Overloaded),
        (refused(503, "store_unavailable"), StoreUnavailable),
        (refused(503, "keys_unavailable"), KeysUnavailable),
        ((429, "slow down", {}), Overloaded),
        ((502, "<html>bad gateway</html>", {}), Unreachable),
        ((503, "", {}), Unreachable),
        ((504, "", {}), Unreachable),
    ],
)
async def test_what_may_pass_is_tried_again(answer: Answer, kind: type[SeenbyError]) -> None:
    """A mark twice is a mark once; some seconds later the error is raised after all."""
    async with api(answer, answer, DONE) as bench:
        assert (await bench.mark()).id == 12345
        assert bench.slept == [0.2, 0.4]
    async with api(answer) as bench:
        with pytest.raises(kind):
            await bench.mark()
    assert len(bench.requests) == ATTEMPTS
    assert bench.slept == [0.2, 0.4, 0.8, 1.6, 3.2]


@pytest.mark.parametrize(
    ("retry_after", "waited"), [("2", 2.2), ("0", 0.2), ("soon", 0.2), ("-1", 0.2), ("٣", 0.2)]
)
async def test_retry_after_is_waited_for(retry_after: str, waited: float) -> None:
    """And the jitter on top, so that not everyone comes back in the same moment."""
    async with api(refused(503, "store_unavailable", Retry_After=retry_after), DONE) as bench:
        await bench.mark()
    assert bench.slept == [waited]


@pytest.mark.parametrize("retry_after", ["31", "9" * 400])
async def test_a_long_retry_after_is_left_to_the_application(retry_after: str) -> None:
    """Whoever waits for a mark should not wait for half a minute without knowing why."""
    answer = refused(503, "store_unavailable", Retry_After=retry_after)
    async with api(answer, DONE) as bench:
        with pytest.raises(StoreUnavailable):
            await bench.mark()
    assert bench.slept == []


async def test_nobody_there_is_unreachable() -> None:
    """After all attempts; it may come back in between."""
    async with api(DONE) as bench:
        pass
    with pytest.raises(Unreachable, match="cannot be reached"):
        await bench.mark()
    assert len(bench.slept) == ATTEMPTS - 1


async def test_an_answer_that_never_comes_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each attempt is bounded."""
    monkeypatch.setattr("seenby.client.marks.ANSWER_WITHIN", 0.005)
    attempts = 0
    over = asyncio.Event()

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        await over.wait()
        writer.close()

    bench = Bench(())
    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        bench.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(Unreachable, match="cannot be reached"):
            await bench.mark()
        over.set()
    assert attempts == ATTEMPTS


async def test_an_expired_token_is_renewed_once() -> None:
    """At once, and not again and again when the source has no better one."""
    tokens = iter(["first", "second", "third", "fourth"])

    async def token() -> str:
        return next(tokens)

    async with api(refused(401, "token_expired"), DONE) as bench:
        await bench.mark(token=token)
        assert [shown for _, shown in bench.requests] == ["Bearer first", "Bearer second"]
        assert bench.slept == []
    async with api(refused(401, "token_expired")) as bench:
        with pytest.raises(TokenExpired):
            await bench.mark(token=token)
    assert [shown for _, shown in bench.requests] == ["Bearer third", "Bearer fourth"]
