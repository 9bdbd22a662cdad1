"""Calls over HTTP: what is sent, what is tried again, for how long, and what is raised at last."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from seenby.client import Client, Pace, Receipt, Unread, UnreadCount, UnreadCounts, UnreadMessage
from seenby.client.calls import ATTEMPTS
from seenby.errors import (
    BadInput,
    Conflict,
    Forbidden,
    KeysUnavailable,
    Mismatch,
    NotFound,
    Overloaded,
    OwnMessage,
    Refused,
    SeenbyError,
    StoreUnavailable,
    TokenExpired,
    TooLate,
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
        self.requests: list[tuple[Any, str | None]] = []
        self.calls: list[tuple[str, str, dict[str, Any] | None]] = []
        self.slept: list[float] = []
        self.url = ""
        self.pace = Pace(sleep=self._sleep, random=lambda: 1.0)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def answer(self, request: web.Request) -> web.Response:
        """One request."""
        body = await request.read()
        assert not body or request.content_type == "application/json"
        said = json.loads(body) if body else None
        self.calls.append((request.method, request.raw_path, said))
        self.requests.append((said, request.headers.get("Authorization")))
        status, answer, headers = self.answers[0]
        if len(self.answers) > 1:
            del self.answers[0]
        if not isinstance(answer, bytes):
            answer = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        return web.Response(status=status, body=answer, headers=headers)

    def client(self, user_id: str = "user456", **more: Any) -> Client:
        """A client of this API."""
        return Client(user_id=user_id, api=self.url, pace=self.pace, **more)

    async def mark(self, **more: Any) -> Receipt:
        """One mark through a client."""
        async with self.client(**more) as client:
            return await client.mark(msg_id="m1", sender_id="user123", conversation_id="c1")


@asynccontextmanager
async def api(*answers: Answer) -> AsyncIterator[Bench]:
    """The API on a free port of loopback."""
    bench = Bench(answers)
    app = web.Application()
    app.router.add_route("*", "/{_:.*}", bench.answer)
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


async def test_of_a_registered_message_its_id_is_enough() -> None:
    """What is not said is not sent: the message has it."""
    async with api(DONE) as bench, bench.client() as client:
        await client.mark(msg_id="m1")
    assert bench.calls == [
        (
            "POST",
            "/api/v1/messages/read",
            {
                "msg_id": "m1",
                "reader_id": "user456",
                "conversation_type": "private",
                "device_id": "",
            },
        )
    ]


async def test_a_receipt_is_taken_back() -> None:
    """The message's id and the reader's; the answer is the receipt that there was."""
    async with api(DONE) as bench, bench.client() as client:
        receipt = await client.unmark("m1")
    assert receipt.id == 12345
    said = {"msg_id": "m1", "reader_id": "user456"}
    assert bench.calls == [("DELETE", "/api/v1/messages/read", said)]


async def test_a_receipt_that_was_taken_back_by_a_lost_attempt_is_not_found() -> None:
    """What the first attempt did cannot be told from what was never there."""
    async with api((502, "", {}), refused(404, "not_found")) as bench, bench.client() as client:
        with pytest.raises(NotFound):
            await client.unmark("m1")
    assert len(bench.calls) == 2


async def test_a_conversation_is_read() -> None:
    """Whole, or up to a message; how many receipts that made."""
    done: Answer = (200, {"success": True, "rows_affected": 500}, {})
    async with api(done) as bench, bench.client() as client:
        assert await client.read_conversation("c1") == 500
        assert await client.read_conversation("c1", up_to="m9") == 500
    whole = {"user_id": "user456", "conversation_id": "c1"}
    assert bench.calls == [
        ("POST", "/api/v1/conversations/read", whole),
        ("POST", "/api/v1/conversations/read", {**whole, "up_to_msg_id": "m9"}),
    ]


async def test_what_is_unread_is_counted_by_conversation() -> None:
    """And in all."""
    document = {
        "user_id": "user456",
        "count": 7,
        "conversations": [{"conversation_id": "c1", "conversation_type": "group", "count": 7}],
    }
    async with api((200, document, {})) as bench, bench.client() as client:
        counts = await client.unread_counts()
    assert counts == UnreadCounts(7, [UnreadCount("c1", "group", 7)])
    assert bench.calls == [("GET", "/api/v1/messages/unread/count?user_id=user456", None)]


async def test_what_is_unread_comes_in_pages() -> None:
    """Each says where the next one begins, until there is none."""
    message = {
        "msg_id": "m1",
        "conversation_id": "c1",
        "sender_id": "user123",
        "sent_at": "2024-01-01T12:00:00Z",
    }
    document = {"user_id": "user456", "messages": [message]}
    pages: list[Answer] = [(200, {**document, "next_offset": 1}, {}), (200, document, {})]
    async with api(*pages) as bench, bench.client("a&b/c") as client:
        first = await client.unread(limit=1)
        last = await client.unread(1, 1, conversation_id="c 1")
    sent_at = datetime(2024, 1, 1, 12, tzinfo=UTC)
    messages = [UnreadMessage("m1", "c1", "user123", sent_at)]
    assert (first, last) == (Unread(messages, 1), Unread(messages, None))
    path = "/api/v1/messages/unread?user_id=a%26b%2Fc&limit=1&offset="
    assert [call[1] for call in bench.calls] == [f"{path}0", f"{path}1&conversation_id=c+1"]


async def test_what_a_user_wishes_is_set_in_general_or_for_a_conversation() -> None:
    """None is said as null, which takes a wish back; any user's id has an address."""
    async with api((200, {"success": True}, {})) as bench, bench.client("a/b?c%") as client:
        await client.set_preferences(send_receipts=False)
        await client.set_preferences(send_receipts=None, conversation_id="c1")
    path = "/api/v1/users/a%2Fb%3Fc%25/settings"
    assert bench.calls == [
        ("PUT", path, {"send_receipts": False}),
        ("PUT", path, {"send_receipts": None, "conversation_id": "c1"}),
    ]


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
        (refused(409, "too_late"), TooLate),
        (refused(422, "own_message"), OwnMessage),
        (refused(422, "mismatch", str(Mismatch("sender_id"))), Mismatch),
        (refused(422, "mismatch", "odd"), Refused),
        (refused(410, "reset"), Refused),
        (refused(418, "new_word"), Refused),
        ((404, "<html>no such page</html>", {}), Refused),
        ((302, "", {"Location": "/elsewhere"}), SeenbyError),
        ((200, "<html>welcome to this network</html>", {}), SeenbyError),
        ((200, {"success": True}, {}), SeenbyError),
        ((200, {"success": True, "receipt": {}}, {}), SeenbyError),
        ((500, b"\xff", {}), SeenbyError),
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
    with pytest.raises(Unreachable, match=r"cannot be reached: Connection refused$"):
        await bench.mark()
    assert len(bench.slept) == ATTEMPTS - 1


async def test_an_answer_that_never_comes_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each attempt is bounded."""
    monkeypatch.setattr("seenby.client.calls.ANSWER_WITHIN", 0.005)
    over = asyncio.Event()

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    bench = Bench(())
    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        bench.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(Unreachable, match="cannot be reached"):
            await bench.mark()
        over.set()
    # Not those that the server has seen: on a busy machine time is up before it looks.
    assert len(bench.slept) == ATTEMPTS - 1


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
