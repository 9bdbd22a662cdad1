"""An API for the client's tests that answers what the test says."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    Answering = Callable[[web.Request, Any], tuple[int, Any]]


def recorded(mark: dict[str, Any]) -> dict[str, Any]:
    """The answer to a mark that is recorded."""
    receipt = {
        "id": 1,
        "sender_id": "user123",
        "conversation_id": "c1",
        "conversation_type": "private",
        "read_at": "2024-01-01T12:00:00Z",
        "device_id": "",
    }
    return {"success": True, "receipt": receipt | mark}


def refusal(code: str, sentence: str = "a sentence") -> dict[str, Any]:
    """The answer to a mark that is not."""
    return {"success": False, "error": sentence, "code": code}


def record_all(_: web.Request, body: Any) -> tuple[int, Any]:
    """An API that is well and takes every mark."""
    if "receipts" in body:
        return 200, {"success": True, "results": [recorded(mark) for mark in body["receipts"]]}
    return 200, recorded(body)


class FakeApi:
    """Keeps what it is asked; ``answering`` says what it answers.

    Attributes:
        url: its address.
        bodies: what came, in order: the documents of all requests.
        paths: and their addresses.
    """

    def __init__(self, answering: Answering) -> None:
        self.answering = answering
        self.url = ""
        self.bodies: list[Any] = []
        self.paths: list[str] = []

    @property
    def batches(self) -> list[list[str]]:
        """The messages of each batch that came."""
        return [
            [mark["msg_id"] for mark in body["receipts"]]
            for body in self.bodies
            if body and "receipts" in body
        ]

    async def serve(self, request: web.Request) -> web.Response:
        """Answer one request."""
        text = await request.read()
        body = json.loads(text) if text else None
        self.bodies.append(body)
        self.paths.append(request.raw_path)
        status, answer = self.answering(request, body)
        return web.json_response(answer, status=status)


@asynccontextmanager
async def fake_api(answering: Answering = record_all) -> AsyncIterator[FakeApi]:
    """The API on a free port of loopback."""
    fake = FakeApi(answering)
    app = web.Application(client_max_size=2**20)
    app.router.add_route("*", "/{_:.*}", fake.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield fake
    finally:
        await runner.cleanup()
