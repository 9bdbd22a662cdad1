"""Connections that mark, against a server that answers as it is told to."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from seenby.bench.ledger import Ledger
from seenby.bench.load import Load
from seenby.bench.readers import UNDER_WAY, HttpReaders, Marks, SocketReaders, reader, sender
from seenby.bench.schedule import Schedule
from seenby.bench.target import Target
from seenby.errors import Unreachable
from seenby.gateway import frames
from seenby.inputs import decode_batch, decode_mark, parse_mark
from seenby.model import Mark
from tests.unit.eventually import eventually
from tests.unit.listening import listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

TOKEN = {"Authorization": "Bearer t"}
RECORDED = b'{"success":true,"receipt":{}}'


def answer(status: int, body: bytes, *, name: bytes = b"Content-Length") -> bytes:
    """An HTTP answer."""
    return b"HTTP/1.1 %d X\r\n%b: %d\r\nDate: now\r\n\r\n%b" % (status, name, len(body), body)


class Api:
    """A server: keeps what it is asked, and answers with what *answers* makes of it."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.answers: Callable[[bytes], list[bytes]] = lambda _: [answer(200, RECORDED)]
        """The parts of an answer; none at all: the connection is closed."""

    async def serve(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        while True:
            head = (await source.readuntil(b"\r\n\r\n")).decode()
            length = int(head.partition("Content-Length: ")[2].partition("\r\n")[0])
            body = await source.readexactly(length)
            self.heads.append(head)
            self.bodies.append(body)
            parts = self.answers(body)
            for part in parts:
                sink.write(part)
                await sink.drain()
                # So that each part is read alone.
                await asyncio.sleep(0.001)
            if not parts:
                break


@pytest.fixture
async def api() -> AsyncIterator[tuple[Api, Target]]:
    """A server, and where it is."""
    api = Api()
    async with listening(api.serve) as port:
        yield api, Target(f"http://127.0.0.1:{port}", "127.0.0.1", port)


class Run:
    """Readers over HTTP that mark in the open loop, as often as they are told to."""

    def __init__(self, where: Target, size: int = 0) -> None:
        self.ledger = Ledger("tag", 0, time.perf_counter)
        self.readers = HttpReaders(where, TOKEN, Marks("tag", 3), self.ledger, size)

    async def mark(self, requests: int, connections: int = 1) -> None:
        """Send so many requests, and wait for what comes of them."""
        await self.readers.connect(connections)
        begin = time.perf_counter() - 1
        load = Load(Schedule(requests, begin, begin + 1), time.perf_counter)
        self.readers.start(load)
        wanted = requests * self.readers.size
        await eventually(lambda: self.ledger.asked == wanted and not self.ledger.unanswered)
        self.readers.close()


async def test_marks_are_what_the_api_takes(api: tuple[Api, Target]) -> None:
    """Each is another message; senders take turns; the length never changes."""
    server, where = api
    run = Run(where)
    await run.mark(4)
    marks = [decode_mark(body, "") for body in server.bodies]
    assert [mark.msg_id for mark in marks] == [f"tag-{number:09}" for number in range(4)]
    assert [mark.sender_id for mark in marks] == [sender(number) for number in (0, 1, 2, 0)]
    assert marks[3].reader_id == reader(3)
    assert len({len(body) for body in server.bodies}) == 1
    assert run.ledger.marks == 4


async def test_requests_carry_the_token_over_one_connection(api: tuple[Api, Target]) -> None:
    """HTTP/1.1 keeps it open by itself."""
    server, where = api
    await Run(where).mark(3)
    assert server.connections == 1
    assert server.heads[0].startswith("POST /api/v1/messages/read HTTP/1.1\r\nHost: 127.0.0.1:")
    assert all("\r\nAuthorization: Bearer t\r\n" in head for head in server.heads)
    assert all("\r\nContent-Type: application/json\r\n" in head for head in server.heads)


@pytest.mark.parametrize("cut", range(1, 30, 4))
@pytest.mark.parametrize("name", [b"Content-Length", b"content-length"])
async def test_an_answer_may_come_in_parts(api: tuple[Api, Target], cut: int, name: bytes) -> None:
    """Wherever it is cut, and however its fields are spelled."""
    server, where = api
    whole = answer(200, RECORDED, name=name)
    server.answers = lambda _: [whole[:cut], whole[cut:-cut], whole[-cut:]]
    run = Run(where)
    await run.mark(2)
    assert (run.ledger.marks, run.ledger.refusals) == (2, {})


async def test_other_answers_are_counted_by_status(api: tuple[Api, Target]) -> None:
    """And the connection goes on."""
    server, where = api
    server.answers = lambda body: [answer(503 if b"-000000001" in body else 200, b"{}")]
    run = Run(where)
    await run.mark(3)
    assert (run.ledger.marks, run.ledger.refusals) == (2, {"503": 1})
    assert server.connections == 1


async def test_a_connection_that_is_lost_is_opened_again(api: tuple[Api, Target]) -> None:
    """Nobody knows what came of its mark; the next one is asked for on a new connection."""
    server, where = api
    server.answers = lambda body: [] if b"-000000000" in body else [answer(200, RECORDED)]
    run = Run(where)
    await run.mark(2)
    assert (run.ledger.marks, run.ledger.refusals) == (1, {"connection lost": 1})
    assert server.connections == 2


async def test_an_idle_connection_that_is_lost_costs_no_mark(api: tuple[Api, Target]) -> None:
    """A server may close it; the next mark goes over a new one."""
    server, where = api
    run = Run(where)
    await run.readers.connect(1)
    clock = time.perf_counter
    now = clock()
    # Two are due now, and the next one in half an hour.
    load = Load(Schedule(1 / 1800, now - 1800, now + 3600), clock)
    server.answers = lambda _: [answer(200, RECORDED), b""]
    run.readers.start(load)
    await eventually(lambda: run.ledger.marks == 2)
    [idle] = run.readers.all
    idle.transport.abort()
    await eventually(lambda: server.connections == 2 and idle not in run.readers.all)
    assert run.ledger.refusals == {}
    run.readers.close()


async def test_an_answer_without_an_end_is_no_answer(api: tuple[Api, Target]) -> None:
    """Without its length nobody knows where the next one begins."""
    server, where = api
    server.answers = lambda body: [
        b"HTTP/1.1 200 OK\r\n\r\n{}" if b"-000000000" in body else answer(200, RECORDED)
    ]
    run = Run(where)
    await run.mark(2)
    assert (run.ledger.marks, run.ledger.refusals) == (1, {"connection lost": 1})


async def test_a_batch_is_counted_item_by_item(api: tuple[Api, Target]) -> None:
    """Each is recorded or refused on its own."""
    server, where = api
    server.answers = lambda body: [answer(200, json.dumps({"results": results(body)}).encode())]

    def results(body: bytes) -> list[dict[str, Any]]:
        marks = [mark for mark in decode_batch(body, "") if isinstance(mark, Mark)]
        return [
            {"success": False, "code": "conflict", "error": "no"}
            if mark.msg_id == "tag-000000004"
            else {"success": True, "receipt": {"msg_id": mark.msg_id}}
            for mark in marks
        ]

    run = Run(where, size=3)
    await run.mark(2)
    assert [len(decode_batch(body, "")) for body in server.bodies] == [3, 3]
    assert server.heads[0].startswith("POST /api/v1/messages/read/batch ")
    assert (run.ledger.marks, run.ledger.refusals) == (5, {"conflict": 1})


async def test_a_batch_that_is_refused_is_refused_whole(api: tuple[Api, Target]) -> None:
    """None of its marks is recorded."""
    server, where = api
    server.answers = lambda _: [answer(503, b"{}")]
    run = Run(where, size=3)
    await run.mark(1)
    assert run.ledger.refusals == {"503": 3}


async def test_what_is_not_answered_in_the_end_counts_as_refused(api: tuple[Api, Target]) -> None:
    """Once the run gives up waiting."""
    server, where = api
    server.answers = lambda _: [b"HTTP/1.1 200"]
    run = Run(where)
    await run.readers.connect(2)
    run.readers.start(Load(Schedule(0, 0.0, 1e12), time.perf_counter))
    await eventually(lambda: len(server.bodies) == 2)
    run.readers.give_up()
    assert run.ledger.refusals == {"no answer": 2}
    run.readers.close()


async def test_no_api_is_said_in_words() -> None:
    """With its address."""
    async with listening(Api().serve) as port:
        pass
    run = Run(Target(f"http://127.0.0.1:{port}", "127.0.0.1", port))
    with pytest.raises(Unreachable, match=f"no API answers at http://127.0.0.1:{port}"):
        await run.readers.connect(1)


def test_read_frames_are_what_the_gateway_takes() -> None:
    """The number is the ref; the connection's own user is the reader."""
    readers = SocketReaders(
        Target("ws://x/ws", "x", 80), {}, Marks("tag", 3), Ledger("tag", 0, time.perf_counter)
    )
    found = frames.decode(readers.frame(7, 2))
    assert isinstance(found, frames.Read)
    assert found.ref == 7
    mark = parse_mark(found.fields, "")
    assert (mark.msg_id, mark.reader_id, mark.sender_id) == ("tag-000000007", reader(2), sender(1))


def test_marks_under_way_on_a_socket_are_fewer_than_the_gateway_takes() -> None:
    """More would be refused."""
    from seenby.gateway.requests import MARKS_LIMIT

    assert UNDER_WAY < MARKS_LIMIT
