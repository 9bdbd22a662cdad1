"""The fast lane: the same answers as aiohttp's, in whatever pieces the requests arrive."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
import uvloop
from structlog.testing import capture_logs

from seenby import recorder
from seenby.api.connection import AT_ONCE, Connection
from tests.unit.api.conftest import MARK, ORIGIN, running
from tests.unit.eventually import all_waiting, eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.api.conftest import Api
    from tests.unit.api.wire import Wire

READ = "/api/v1/messages/read"
BODY = json.dumps(MARK).encode()
HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


def request(
    body: bytes = BODY, *more: str, first: str = f"POST {READ} HTTP/1.1", length: int | None = None
) -> bytes:
    """A mark as clients send it, with more header lines."""
    lines = [
        first,
        "Host: 127.0.0.1:8080",
        "Accept: */*",
        "Content-Type: application/json",
        f"Content-Length: {len(body) if length is None else length}",
        *more,
    ]
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n" + body


def mark(**changes: object) -> bytes:
    """The request for a mark with other fields."""
    return request(json.dumps(MARK | changes).encode())


def raw(*lines: str, body: bytes = b"") -> bytes:
    """Exactly these lines."""
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n" + body


CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
KIND = "Content-Type: application/json"
START = f"POST {READ} HTTP/1.1"

ODD: dict[str, tuple[bytes, int]] = {
    # Name: what is sent, and how many answers come.
    "ordinary": (request(), 1),
    "with an id that needs escaping": (mark(msg_id='a"b\\c'), 1),
    "the same twice": (request() * 2, 2),
    "a repeat that says otherwise": (request() + mark(sender_id="x"), 2),
    "one's own": (mark(reader_id="sender"), 1),
    "many": (b"".join(mark(msg_id=f"m{n}") for n in range(40)), 40),
    "a wrong field": (mark(msg_id=5), 1),
    "a missing field": (request(b"{}"), 1),
    "no JSON": (request(b"x"), 1),
    "not UTF-8": (request(b'{"msg_id": "\xff"}'), 1),
    "many brackets": (request(b"[" * 60_000), 1),
    "bad ones between good ones": (request() + request(b"x") + request() + mark(msg_id=""), 4),
    "an empty body": (request(b""), 1),
    "the longest body": (request(BODY + b" " * (64 * 1024 - len(BODY))), 1),
    "a body too long": (request(BODY + b" " * (64 * 1024 + 1 - len(BODY))), 1),
    "an allowed page": (request(BODY, f"Origin: {ORIGIN}"), 1),
    "another page": (request(BODY, "Origin: https://evil.example"), 1),
    "a page's mistake": (request(b"x", f"Origin: {ORIGIN}"), 1),
    "pages of two origins": (request(BODY, f"Origin: {ORIGIN}") + request(BODY, "Origin: x"), 2),
    "other types": (
        request().replace(b"application/json", b"application/json;charset=utf-8")
        + request().replace(b"application/json", b"application/JSON; charset=x")
        + request().replace(b"application/json", b"text/plain")
        + request(),
        4,
    ),
    "no type": (raw(START, "Host: x", f"Content-Length: {len(BODY)}", body=BODY), 1),
    "small letters": (raw(START, "host: x", KIND.lower(), "content-length: 2", body=b"{}"), 1),
    "no host": (raw(START, KIND, f"Content-Length: {len(BODY)}", body=BODY), 1),
    "two hosts": (request(BODY, "Host: y"), 1),
    "two lengths": (request(BODY, "Content-Length: 5"), 1),
    "the same length twice": (request(BODY, f"Content-Length: {len(BODY)}"), 1),
    "a list of lengths": (raw(START, "Host: x", KIND, "Content-Length: 2, 2", body=b"{}"), 1),
    "a signed length": (raw(START, "Host: x", KIND, "Content-Length: +2", body=b"{}"), 1),
    "a length with zeros": (raw(START, "Host: x", KIND, "Content-Length: 002", body=b"{}"), 1),
    "two types": (request(BODY, "Content-Type: text/plain"), 1),
    "two tokens": (request(BODY, "Authorization: a", "Authorization: b"), 1),
    "a length and chunks": (request(CHUNKED, "Transfer-Encoding: chunked"), 1),
    "chunks and a length": (
        raw(
            START, "Host: x", "Transfer-Encoding: chunked", KIND, "Content-Length: 3", body=b"0\r\n"
        ),
        1,
    ),
    "a hidden encoding": (request(BODY, "Transfer-Encoding : chunked"), 1),
    "an unknown encoding": (request(BODY, "Transfer-Encoding: xchunked"), 1),
    "chunks": (
        raw(START, "Host: x", KIND, "Transfer-Encoding: chunked", body=CHUNKED) + request(),
        2,
    ),
    "compressed, so it says": (request(BODY, "Content-Encoding: gzip"), 1),
    "expecting to go on": (request(BODY, "Expect: 100-continue"), 1),
    "expecting something else": (request(BODY, "Expect: much"), 1),
    "a folded line": (request(BODY, "X-Folded: a\r\n b"), 1),
    "a tab": (request(BODY, "X-Tab:\ta\tb\t"), 1),
    "a bare line feed": (request(BODY, "X: a\nY: b"), 1),
    "a bare carriage return": (request(BODY, "X: a\rY: b"), 1),
    "a zero byte": (request(BODY, "X: a\0b"), 1),
    "Latin letters": (request(BODY, "X: \xfc"), 1),
    "a name of no letters": (request(BODY, ": x"), 1),
    "a line without a colon": (request(BODY, "nothing"), 1),
    "a long line": (request(BODY, f"X: {'x' * 9000}"), 1),
    "many lines": (request(BODY, *(f"X{n}: x" for n in range(100))), 1),
    "too many lines": (request(BODY, *(f"X{n}: x" for n in range(200))), 1),
    "a method in small letters": (request(first=f"post {READ} HTTP/1.1"), 1),
    "another method": (request(first=f"PUT {READ} HTTP/1.1"), 1),
    "a browser's question": (
        raw(f"OPTIONS {READ} HTTP/1.1", "Host: x", f"Origin: {ORIGIN}") + request(),
        2,
    ),
    "another address": (request(first="POST /nothing HTTP/1.1"), 1),
    "a query": (request(first=f"POST {READ}?x=y HTTP/1.1"), 1),
    "a whole address": (request(first=f"POST http://x{READ} HTTP/1.1"), 1),
    "an encoded address": (request(first="POST /api/v1/messages/rea%64 HTTP/1.1"), 1),
    "two spaces": (request(first=f"POST  {READ} HTTP/1.1"), 1),
    "HTTP/1.0": (request(first=f"POST {READ} HTTP/1.0"), 1),
    "HTTP/1.0, kept alive": (
        request(BODY, "Connection: keep-alive", first=f"POST {READ} HTTP/1.0"),
        1,
    ),
    "HTTP/2.0": (request(first=f"POST {READ} HTTP/2.0"), 1),
    "HTTP/1.2": (request(first=f"POST {READ} HTTP/1.2"), 1),
    "the last one": (request(BODY, "Connection: close"), 1),
    "kept alive": (request(BODY, "Connection: keep-alive") + request(), 2),
    "an upgrade": (request(BODY, "Connection: upgrade", "Upgrade: websocket"), 1),
    "a batch": (
        request(b'{"receipts":[%b,%b,{}]}' % (BODY, BODY), first=f"POST {READ}/batch HTTP/1.1"),
        1,
    ),
    "health, then marks": (HEALTH + request() + request(b"x"), 3),
    "marks, then health, then marks": (request() + request(b"x") + HEALTH + request(), 4),
    "empty lines before it": (b"\r\n\r\n" + request(), 1),
    "empty lines between": (request() + b"\r\n" + request(), 2),
    "nothing like HTTP": (b"-\r\n\r\n", 1),
    "rubbish": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 1),
    "a body longer than it says": (request(BODY + b"GET / HT", length=len(BODY)), 1),
}


async def answered(wire: Wire, answers: int) -> bytes:
    """What the client has been sent once so many answers have come, and no more."""
    await eventually(lambda: wire.answers >= answers)
    await all_waiting()
    return wire.shown


async def asked(api: Api, fast: bool, answers: int, *pieces: bytes) -> tuple[bytes, bool, set[str]]:
    """What a client gets, whether the server then closes, and what was recorded."""
    wire = api.wire(fast=fast)
    wire.send(*pieces)
    shown = await answered(wire, answers)
    closed = wire.closed
    wire.leave()
    await all_waiting()
    return shown, closed, {one.msg_id for commit in api.store.commits for one in commit}


class TestSameAnswers:
    @pytest.mark.parametrize("name", ODD)
    async def test_whatever_is_sent(self, name: str) -> None:
        """A client cannot tell by its answers, byte for byte, whether the lane is there."""
        sent, answers = ODD[name]
        async with running() as with_lane, running() as without:
            fast = await asked(with_lane, True, answers, sent)
            slow = await asked(without, False, answers, sent)

        assert fast == slow

    @pytest.mark.parametrize("token", ["", "x", "old", "reader's", "sender's", "service's"])
    @pytest.mark.parametrize("remembered", [False, True])
    async def test_whoever_asks(self, token: str, remembered: bool) -> None:
        """Tokens are judged the same on both roads, whether they are known already or not."""
        more = [f"Authorization: Bearer {token}"] if token else []
        sent = request(BODY, *more) * 2 + request(b"x", *more)
        async with running() as with_lane, running() as without:
            for api in (with_lane, without):
                api.tokens.on = True
                api.tokens.remembered = {token} & set(api.tokens.callers) if remembered else set()
            fast = await asked(with_lane, True, 3, sent)
            slow = await asked(without, False, 3, sent)

        assert fast == slow

    async def test_wherever_it_is_cut(self, api: Api) -> None:
        """A request may arrive in two pieces, cut anywhere, head and body apart above all."""
        sent = request()
        first = await asked(api, True, 1, sent)

        for cut in range(1, len(sent)):
            assert await asked(api, True, 1, sent[:cut], sent[cut:]) == first

    async def test_byte_by_byte(self) -> None:
        """Requests may arrive byte by byte, with others behind them that are aiohttp's."""
        sent = request() + request(b"x") + mark(msg_id="") + HEALTH + request()
        async with running() as with_lane, running() as without:
            fast = await asked(with_lane, True, 5, *(sent[n : n + 1] for n in range(len(sent))))
            slow = await asked(without, False, 5, sent)

        assert fast == slow

    @pytest.mark.parametrize("line", ["Expect: much", "Connection: close", "X: \xfc"])
    async def test_cut_anywhere_before_aiohttp_takes_over(self, api: Api, line: str) -> None:
        """A request that is not ordinary reaches aiohttp whole, wherever it is cut."""
        sent = request(BODY, line)
        first = await asked(api, False, 1, sent)

        for cut in range(1, len(sent)):
            assert await asked(api, True, 1, sent[:cut], sent[cut:]) == first

    @pytest.mark.parametrize(
        "fault", ["away", "refused", "full", "draining", "broken", "broken before"]
    )
    async def test_when_something_is_wrong(
        self, fault: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Faults are told the same on both roads, and those of ours are logged."""

        def broken(*_: object, **__: object) -> None:
            raise ZeroDivisionError

        shown = []
        for fast in (True, False):
            async with running() as api:
                api.store.failing = fault == "away"
                api.store.refused = {"m1"} if fault == "refused" else set()
                with monkeypatch.context() as patch, capture_logs() as logs:
                    if fault == "full":
                        patch.setattr(recorder, "MAX_WAITING", 0)
                    elif fault == "draining":
                        await api.recorder.close()
                    elif fault == "broken":
                        patch.setattr("seenby.api.schemas.recorded", broken)
                    elif fault == "broken before":
                        patch.setattr("seenby.inputs.decode_mark", broken)
                    answers = await asked(api, fast, 1, request())
                logged = [line["event"] for line in logs if line["log_level"] == "error"]
                shown.append((*answers, logged))

        assert shown[0] == shown[1]
        assert b"200 OK" not in shown[0][0]


class TestOneByOne:
    async def test_one_request_at_a_time(self, api: Api) -> None:
        """While an answer is under way nothing more is read, and what has come waits its turn."""
        api.store.answering.clear()
        wire = api.wire()
        wire.send(mark(msg_id="a") + mark(msg_id="b"), mark(msg_id="c"))
        await eventually(lambda: len(api.store.attempts) == 1)

        assert [wire.paused, wire.written] == [True, b""]
        assert [one.msg_id for one in api.store.attempts[0]] == ["a"]

        api.store.answering.set()
        shown = await answered(wire, 3)

        assert not wire.paused
        places = [shown.index(b'"msg_id":"%b"' % name) for name in (b"a", b"b", b"c")]
        assert places == sorted(places)

    async def test_aiohttp_waits_its_turn_too(self, api: Api) -> None:
        """What is aiohttp's is handed over after the marks before it are answered."""
        api.store.answering.clear()
        wire = api.wire()
        wire.send(request() + HEALTH)
        await eventually(lambda: api.store.attempts)

        assert isinstance(wire.protocol, Connection)
        assert wire.written == b""

        api.store.answering.set()
        shown = await answered(wire, 2)

        assert shown.index(b'"receipt"') < shown.index(b'"alive"')
        assert not isinstance(wire.protocol, Connection)

    async def test_who_sends_much_that_is_refused_at_once(self, api: Api) -> None:
        """A client whose requests need no commit does not keep the others waiting for all."""
        wire = api.wire()
        wire.send(request(b"x") * 10 * AT_ONCE + HEALTH)

        assert [wire.answers, wire.paused] == [AT_ONCE, True]

        shown = await answered(wire, 10 * AT_ONCE + 1)

        assert not wire.paused
        assert shown.count(b"400 Bad Request") == 10 * AT_ONCE
        assert shown.endswith(b'{"status":"alive"}')

    async def test_a_drain_between_two_turns(self, api: Api) -> None:
        """What is not begun with when the drain comes is not answered, and nothing is left over."""
        wire, left = api.wire(), api.wire()
        for one in (wire, left):
            one.send(request(b"x") * 2 * AT_ONCE)
        left.leave()
        api.lane.draining = True
        with capture_logs() as logs:
            await eventually(lambda: wire.closed)
            await all_waiting()

        assert [wire.answers, left.answers] == [AT_ONCE, AT_ONCE]
        assert logs == []

    async def test_rubbish_behind_a_mark(self, api: Api) -> None:
        """A whole mark is answered, whatever comes behind it."""
        wire = api.wire()
        wire.send(request() + b"rubbish\r\n\r\n")
        shown = await answered(wire, 2)

        assert shown.startswith(b"HTTP/1.1 200 OK")
        assert b"HTTP/1.0 400 Bad Request" in shown

    async def test_a_client_that_does_not_read(self, api: Api) -> None:
        """Who does not read answers is not read from, until they do."""
        wire = api.wire()
        wire.send(request())
        await answered(wire, 1)
        wire.protocol.pause_writing()
        wire.send(request())
        await all_waiting()

        assert wire.paused
        assert wire.answers == 1

        wire.protocol.resume_writing()
        await answered(wire, 2)

        assert not wire.paused

    async def test_aiohttp_learns_that_a_client_does_not_read(self, api: Api) -> None:
        """A client that stops reading in the lane, and reads on with aiohttp, gets its answers."""
        wire = api.wire()
        wire.send(request(b"x"))
        wire.protocol.pause_writing()
        wire.send(HEALTH)
        wire.protocol.resume_writing()
        shown = await answered(wire, 2)

        assert b'"alive"' in shown

    async def test_answers_share_a_commit(self, api: Api) -> None:
        """Marks of many connections that wait together are recorded together."""
        api.store.answering.clear()
        wires = [api.wire() for _ in range(20)]
        for number, wire in enumerate(wires):
            wire.send(mark(msg_id=f"m{number}"))
        api.store.answering.set()
        for wire in wires:
            await answered(wire, 1)

        assert len(api.store.commits) <= 2


class TestLeaving:
    async def test_before_the_answer(self, api: Api) -> None:
        """A client that leaves does not take back its mark, and harms nobody."""
        api.store.answering.clear()
        wire = api.wire()
        with capture_logs() as logs:
            wire.send(request() + request())
            await eventually(lambda: api.store.attempts)
            wire.leave()
            await all_waiting()
            api.store.answering.set()
            await eventually(lambda: counted(api, 200))

        assert len(api.store.commits) == 1
        assert wire.written == b""
        assert {line["log_level"] for line in logs} <= {"debug"}

    async def test_in_the_middle_of_a_body(self, api: Api) -> None:
        """A body that ends too soon is counted as on aiohttp's road, and records nothing."""
        wire = api.wire()
        wire.send(request()[:-1])
        wire.leave()
        await all_waiting()

        assert counted(api, 400) == 1
        assert api.store.attempts == []

    @pytest.mark.parametrize("sent", [b"", b"POST", request()[:70]])
    async def test_in_the_middle_of_a_head(self, api: Api, sent: bytes) -> None:
        """A head that ends too soon is no request."""
        wire = api.wire()
        if sent:
            wire.send(sent)
        wire.leave()
        await all_waiting()

        assert "seenby_http_requests_total{" not in api.metrics.render()[0].decode()

    async def test_a_connection_that_is_idle(self, api: Api) -> None:
        """Connections that ask for nothing for long are closed; those that wait are not."""
        api.store.answering.clear()
        idle, begun, busy = api.wire(), api.wire(), api.wire()
        begun.send(request()[:70])
        busy.send(request())
        wires = (idle, begun, busy)
        oldest = min(wire.protocol.began for wire in wires if isinstance(wire.protocol, Connection))
        api.lane.close_idle(oldest)
        at_once = [wire.closed for wire in wires]
        api.lane.close_idle(oldest + 60.0)

        assert at_once == [False, False, False]
        assert [wire.closed for wire in wires] == [True, True, False]
        api.store.answering.set()
        await answered(busy, 1)


class TestDrain:
    async def test_what_is_under_way_is_answered(self, api: Api) -> None:
        """Requests under way are answered before their connections close; idle ones close now."""
        api.store.answering.clear()
        idle, busy, begun = api.wire(), api.wire(), api.wire()
        busy.send(request() + request())
        begun.send(request()[:-10])
        draining = asyncio.create_task(api.lane.drain(60.0))
        await all_waiting()

        assert [wire.closed for wire in (idle, busy, begun)] == [True, False, False]
        assert not draining.done()

        begun.send(request()[-10:])
        api.store.answering.set()
        await draining

        assert [wire.answers for wire in (idle, busy, begun)] == [0, 1, 1]
        assert [wire.closed for wire in (idle, busy, begun)] == [True, True, True]

    async def test_what_lasts_too_long_is_cut_off(self, api: Api) -> None:
        """A drain ends in time, whatever the clients do."""
        begun = api.wire()
        begun.send(request()[:-10])
        with capture_logs() as logs:
            await api.lane.drain(0.0)

        assert begun.closed
        assert [line["event"] for line in logs] == ["requests_cut_off"]

    async def test_who_comes_late(self, api: Api) -> None:
        """A connection that arrives during the drain is closed."""
        await api.lane.drain(0.0)

        assert api.wire().closed

    async def test_what_is_handed_over_late(self, api: Api) -> None:
        """A request that turns out to be aiohttp's during the drain is answered all the same."""
        wire = api.wire()
        wire.send(request()[:60])
        draining = asyncio.create_task(api.lane.drain(60.0))
        await all_waiting()
        wire.send(b"X: y\r\nExpect: much\r\n\r\n")
        await draining
        shown = await answered(wire, 1)
        await api.runner.cleanup()

        assert b"417" in shown
        assert wire.closed


class TestOnSockets:
    @pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
    def test_both_loops(self, loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        """Marks, what is aiohttp's and a drain with a mark under way, over sockets, on any loop."""
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(over_sockets())


async def over_sockets() -> None:
    """One connection from its first mark until the drain."""
    async with running() as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        for cut in (5, 60, len(request()) - len(BODY), len(request()) - 1):
            writer.write(request()[:cut])
            await writer.drain()
            await all_waiting()
            writer.write(request()[cut:])
            assert b"200 OK" in await reader.readuntil(b'"device_id":""}}')
        other, others = await asyncio.open_connection("127.0.0.1", api.port)
        others.write(request() + HEALTH + request())
        answers = await other.readuntil(b"alive") + await other.readuntil(b'"device_id":""}}')
        assert answers.count(b"200 OK") == 3
        api.store.answering.clear()
        writer.write(mark(msg_id="last"))
        await eventually(lambda: len(api.store.attempts) == 7)
        draining = asyncio.create_task(api.lane.drain(60.0))
        await all_waiting()
        api.store.answering.set()
        assert b'"msg_id":"last"' in await reader.read()
        await draining
        await api.runner.cleanup()
        assert await other.read() == b""
        for one in (writer, others):
            one.close()
            await one.wait_closed()


def counted(api: Api, status: int) -> int:
    """How many marks were answered with that status."""
    text = api.metrics.render()[0].decode()
    series = f'seenby_http_requests_total{{route="mark",status="{status}"}} '
    return int(float(text.partition(series)[2].partition("\n")[0] or 0))
