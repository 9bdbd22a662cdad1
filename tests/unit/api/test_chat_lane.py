"""Marks of registered messages on the fast lane, and other requests on the same connection."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.unit.api.conftest import BACKEND, chatting
from tests.unit.eventually import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.api.conftest import Api
    from tests.unit.api.wire import Wire

V1 = "/api/v1"
BOB: dict[str, object] = {"msg_id": "m1", "reader_id": "bob"}

MARKS: dict[str, dict[str, object]] = {
    "without sender": BOB,
    "with the right one": {**BOB, "sender_id": "ann", "conversation_id": "c1"},
    "with a wrong one": {**BOB, "sender_id": "zoe"},
    "with a wrong conversation": {**BOB, "conversation_id": "c2"},
    "of nobody's": {**BOB, "sender_id": "(erased)"},
    "with null for the sender": {**BOB, "sender_id": None},
    "one's own": {**BOB, "reader_id": "ann"},
    "a stranger's": {**BOB, "reader_id": "eve"},
    "of an unknown message": {**BOB, "msg_id": "m2"},
    "of an unknown message without its conversation": {**BOB, "msg_id": "m2", "sender_id": "ann"},
    "of an unknown message with both": {
        **BOB,
        "msg_id": "m2",
        "sender_id": "ann",
        "conversation_id": "c1",
    },
}


def request(method: str, path: str, body: object, token: str) -> bytes:
    """A request as clients send it."""
    text = json.dumps(body).encode()
    lines = [
        f"{method} {V1}{path} HTTP/1.1",
        "Host: 127.0.0.1:8080",
        "Content-Type: application/json",
        f"Content-Length: {len(text)}",
        f"Authorization: Bearer {token}",
    ]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + text


async def asked(api: Api, wire: Wire, *requests: bytes) -> bytes:
    """What is answered to requests that are sent at once."""
    before = wire.answers
    wire.send(b"".join(requests))
    await eventually(lambda: wire.answers == before + len(requests))
    return wire.shown


class TestSameAnswers:
    @pytest.mark.parametrize("accept", [True, False])
    @pytest.mark.parametrize("token", ["own", BACKEND])
    @pytest.mark.parametrize("name", MARKS)
    async def test_on_both_roads(
        self, migrated: Path, tmp_path: Path, name: str, token: str, accept: bool
    ) -> None:
        """A mark is answered alike to the byte, recorded or refused, twice."""
        mark = MARKS[name]
        whose = f"{mark['reader_id']}'s" if token == "own" else token
        answers = []
        for fast in (True, False):
            file = shutil.copy(migrated, tmp_path / f"{fast}.db")
            async with chatting(f"sqlite:///{file}", accept_unregistered=accept) as api:
                await api.group("ann", "bob")
                await api.send("m1")
                wire = api.wire(fast=fast)
                again = request("POST", "/messages/read", mark, whose)
                answers.append(await asked(api, wire, again, again))
                wire.leave()
        assert answers[0] == answers[1]

    async def test_a_missing_sender_is_named(self, chat: Api) -> None:
        """A message that is not registered does not know it."""
        wire = chat.wire()
        mark = {**BOB, "conversation_id": "c1"}
        answer = await asked(chat, wire, request("POST", "/messages/read", mark, "bob's"))
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"sender_id must be given for a message that is not registered" in answer


class TestOneConnection:
    async def test_marks_and_then_everything_else(self, chat: Api) -> None:
        """A connection that has carried marks serves every other address, and marks again."""
        await chat.group("ann", "bob")
        await chat.send("m1")
        wire = chat.wire()
        group = {"type": "group", "members": ["ann", "bob", "cid"]}
        requests = [
            request("POST", "/messages/read", BOB, BACKEND),
            request("POST", "/messages/read", BOB, BACKEND),
            request("PUT", "/conversations/c1", group, BACKEND),
            request("POST", "/messages/read", BOB, BACKEND),
            request("DELETE", "/messages/read", BOB, BACKEND),
            request("POST", "/messages/read", BOB, BACKEND),
            request(
                "POST", "/conversations/read", {"user_id": "bob", "conversation_id": "c1"}, BACKEND
            ),
            request("POST", "/messages/read/batch", {"receipts": [BOB]}, BACKEND),
        ]
        answer = await asked(chat, wire, *requests)
        wire.leave()
        assert answer.count(b"HTTP/1.1 200 OK\r\n") == len(requests)
        found = await chat.good("GET", f"{V1}/conversations/c1")
        assert found["member_count"] == 3
        assert [r["id"] for r in (await chat.seen("msg_id=m1"))["receipts"]] == [2]

    async def test_addresses_that_begin_like_a_mark(self, chat: Api) -> None:
        """Only the mark's own is the lane's: DELETE and longer ones are aiohttp's."""
        await chat.group("ann", "bob")
        await chat.send("m1")
        for method, path, status in (
            ("DELETE", "/messages/read", b"404"),
            ("POST", "/messages/read/", b"404"),
            ("POST", "/messages/readx", b"404"),
            ("POST", "/messages/read?x=1", b"200"),
            ("PUT", "/messages/read", b"405"),
        ):
            wire = chat.wire()
            answer = await asked(chat, wire, request(method, path, BOB, BACKEND))
            wire.leave()
            assert answer.startswith(b"HTTP/1.1 " + status)
