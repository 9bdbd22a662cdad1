"""Clients' lives on real sockets: where they begin, what they get, and how they end."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from seenby.errors import Forbidden, KeysUnavailable, TokenExpired, Unauthenticated
from seenby.gateway import disconnect
from seenby.model import Caller
from tests.contract.gateway.running import (
    CLOSE,
    PING,
    PONG,
    V1,
    Device,
    RawClient,
    Running,
    until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from seenby.errors import SeenbyError


class Tokens:
    """An authenticator that knows its tokens by heart, and may be told to wait."""

    def __init__(self) -> None:
        self.answering = asyncio.Event()
        self.answering.set()
        self.asked = 0
        self.known: dict[str, Caller | SeenbyError] = {
            "sender": Caller("sender", everyone=False, expires_at=None),
            "at once": Caller("sender", everyone=False, expires_at=time.time() + 5),
            "soon": Caller("sender", everyone=False, expires_at=time.time() + 100),
            "service": Caller("", everyone=True, expires_at=None),
            "expired": TokenExpired("the token has expired"),
            "later": KeysUnavailable("the keys cannot be fetched now"),
        }

    async def authenticate(self, token: str | None, now: float) -> Caller:
        """The bearer of *token*."""
        self.asked += 1
        await self.answering.wait()
        known = self.known.get(token or "", Unauthenticated("the token is not known"))
        if isinstance(known, Caller):
            return known
        raise known


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Running]:
    """A gateway that asks for tokens."""
    running = Running(tmp_path, authenticator=Tokens(), session_bytes=256 * 1024)
    await running.start()
    yield running
    await running.stop()


def tokens(running: Running) -> Tokens:
    """What *running* asks about tokens."""
    found = running.requests._authenticator
    assert isinstance(found, Tokens)
    return found


class TestDelivery:
    async def test_a_silent_socket_gets_the_originals_frame(self, running: Running) -> None:
        """Field by field, and nothing before it."""
        device = await Device.open(running)
        await running.live(1)
        [event] = await running.publish()
        await device.wait_seqs(1)
        [receipt] = device.frames
        assert receipt.pop("timestamp") >= receipt["read_at"]
        assert receipt == {
            "type": "read_receipt",
            "msg_id": event.msg_id,
            "reader_id": "reader",
            "read_at": event.read_at // 1000,
            "conversation_id": "c",
            "seq": 1,
        }

    async def test_every_device_gets_every_receipt_once_and_in_order(
        self, running: Running
    ) -> None:
        """Silent and seenby.v1, early and late, whatever the bus loses, doubles and reorders."""
        early = await Device.open(running, device="phone")
        await running.live(1)
        events = await running.record(30)
        running.feed.push(*events[:5], events[3])
        late = await Device.open(running, device="pc", hello={"batch": True})
        running.feed.push(events[9], events[7], events[6])
        running.feed.push(*reversed(events[20:]))
        for device in (early, late):
            await device.wait_seqs(*range(1, 31))

    async def test_a_hole_that_lasts_is_filled_from_the_store(self, running: Running) -> None:
        """50 ms after the bus has skipped something; no device sees any of it."""
        device = await Device.open(running)
        await running.live(1)
        events = await running.record(9)
        running.feed.push(*events[:3], *events[6:])
        await device.wait_seqs(*range(1, 10))
        await until("it was counted", lambda: running.metric("seenby_holes_filled_total") == 3)
        assert running.metric("seenby_rescued_total") == 0

    async def test_a_client_without_a_device_gets_what_comes_after_it(
        self, running: Running
    ) -> None:
        """From the moment of connecting, also while the store has not answered yet."""
        await running.record(3)
        await asyncio.sleep(0.005)
        device = await Device.open(running)
        events = await running.record(2)
        await running.live(1)
        running.feed.push(*events)
        await device.wait_seqs(4, 5)

    async def test_the_second_session_of_a_user_does_not_lead_the_first_astray(
        self, running: Running
    ) -> None:
        """Two clients without a device that come in one after the other begin where they came."""
        await running.record(250)
        await asyncio.sleep(0.005)
        running.feed.answering.clear()
        first = await Device.open(running)
        await asyncio.sleep(0.01)
        second = await Device.open(running)
        running.feed.answering.set()
        await running.live(2)
        await running.publish(2)
        for device in (first, second):
            await device.wait_seqs(251, 252)

    async def test_an_event_of_another_producer_is_delivered_live(self, running: Running) -> None:
        """Without a seq, to whoever is here."""
        device = await Device.open(running, hello={})
        await device.wait("welcome")
        [event] = await running.record()
        running.feed.push(replace(event, seq=0))
        receipt = await device.wait("read_receipt")
        assert "seq" not in receipt

    async def test_users_do_not_get_each_others_receipts(self, running: Running) -> None:
        """A stream is one user's."""
        other = await Device.open(running, user="other", hello={})
        mine = await Device.open(running, hello={})
        await running.live(2)
        await running.publish(3)
        await mine.wait_seqs(1, 2, 3)
        await running.publish(1, user="other")
        await other.wait_seqs(1)


class TestResuming:
    async def test_a_client_goes_on_after_what_it_says_it_has(self, running: Running) -> None:
        """With its last epoch and seq: exactly once over reconnects, in pages or not."""
        await running.record(500)
        for batch in (False, True):
            hello = {"epoch": running.hub.epoch, "seq": 123, "batch": batch}
            device = await Device.open(running, hello=hello)
            welcome = await device.wait("welcome")
            assert (welcome["seq"], welcome["resumed"]) == (500, True)
            await device.wait_seqs(*range(124, 501))

    @pytest.mark.parametrize(
        "hello", [{"seq": 2}, {"seq": 2, "epoch": "before"}, {"seq": 4, "epoch": None}]
    )
    async def test_a_position_that_means_nothing_here_is_reset(
        self, running: Running, hello: dict[str, Any]
    ) -> None:
        """Seq without epoch, another epoch, above the head: welcome, reset, then live."""
        await running.record(3)
        if hello.get("seq") == 4:
            hello["epoch"] = running.hub.epoch
        device = await Device.open(running, hello=hello)
        welcome = await device.wait("welcome")
        reset = await device.wait("reset")
        assert welcome["resumed"] is False
        assert reset == {"type": "reset", "epoch": running.hub.epoch, "seq": 3}
        await running.publish()
        await device.wait_seqs(4)

    async def test_an_acknowledged_device_resumes_behind_its_ack(self, running: Running) -> None:
        """Also when it comes back before the ack is stored, and when the store has it."""
        await running.record(5)
        device = await Device.open(running, device="phone", hello={})
        await device.wait_seqs(1, 2, 3, 4, 5)
        await device.send(type="ack", seq=3)
        await device.send(type="ping")
        await device.wait("pong")
        await device.close()
        again = await Device.open(running, device="phone", hello={})
        await again.wait_seqs(4, 5)
        await running.dispatcher._store_positions()
        third = await Device.open(running, device="phone", hello={})
        assert (await third.wait("welcome"))["resumed"] is True
        await third.wait_seqs(4, 5)

    async def test_an_ack_beyond_the_head_is_refused(self, running: Running) -> None:
        """By name; the socket stays."""
        await running.record(3)
        device = await Device.open(running, device="phone", hello={})
        await device.wait("welcome")
        await device.send(type="ack", seq=4)
        assert await device.wait("error") == {
            "type": "error",
            "code": "bad_request",
            "error": "seq must be at most the head",
        }
        await device.send(type="ping")
        await device.wait("pong")

    async def test_a_silent_device_resumes_behind_the_ping_it_answered(
        self, running: Running
    ) -> None:
        """A ping follows a push within a second; what it was sent behind is had."""
        await running.record(2)
        client = await RawClient.upgraded(running, "/ws?user_id=sender&device_id=phone")
        assert [(await client.message())["seq"] for _ in range(2)] == [1, 2]
        running.pass_time(1)
        assert await client.receive() == (PING, b"2")
        client.frame(b"2", PONG)
        await running.publish()
        assert (await client.message())["seq"] == 3
        await until("the pong has come", lambda: len(running.dispatcher._positions) > 0)
        client.cut()
        again = await Device.open(running, device="phone")
        await again.wait_seqs(3)

    async def test_a_silent_device_resumes_behind_our_close_that_it_answered(
        self, running: Running
    ) -> None:
        """It has read all that came before: nothing is sent again."""
        client = await RawClient.upgraded(running, "/ws?user_id=sender&device_id=phone")
        await running.live(1)
        await running.publish(4)
        [stream] = running.hub.streams.values()
        [session] = stream.sessions
        session.close(disconnect.DRAIN)
        running.gateway.write(session)
        assert await client.ended() == disconnect.DRAIN
        await until("it is gone", lambda: running.hub.sessions == 0)
        await running.record()
        again = await Device.open(running, device="phone")
        await again.wait_seqs(5)

    @pytest.mark.parametrize("crossing", [False, True])
    async def test_a_silent_device_that_closes_by_itself_may_not_have_read_the_last(
        self, running: Running, *, crossing: bool
    ) -> None:
        """A browser drops what comes behind its close(), also when ours is on its way to it."""
        client = await RawClient.upgraded(running, "/ws?user_id=sender&device_id=phone")
        await running.live(1)
        await running.publish(2)
        if crossing:
            [stream] = running.hub.streams.values()
            [session] = stream.sessions
            session.close(disconnect.DRAIN)
            running.gateway.write(session)
        client.frame(struct.pack("!H", 1000), CLOSE)
        await until("it is gone", lambda: running.hub.sessions == 0)
        again = await Device.open(running, device="phone")
        await again.wait_seqs(1, 2)

    async def test_what_comes_after_our_close_was_not_had(self, running: Running) -> None:
        """While a drained device answers the close, more is recorded: it gets that later."""
        client = await RawClient.upgraded(running, "/ws?user_id=sender&device_id=phone")
        await running.live(1)
        await running.publish(2)
        [stream] = running.hub.streams.values()
        [session] = stream.sessions
        session.close(disconnect.DRAIN)
        running.gateway.write(session)
        await running.publish(2)
        assert await client.ended() == disconnect.DRAIN
        await until("it is gone", lambda: running.hub.sessions == 0)
        again = await Device.open(running, device="phone")
        await again.wait_seqs(3, 4)

    async def test_a_new_epoch_sends_everybody_away(self, running: Running) -> None:
        """4000; who comes back with the old position is reset, a silent device gets all again."""
        await running.record(3)
        silent = await Device.open(running, device="phone")
        talking = await Device.open(running, hello={})
        await silent.wait_seqs(1, 2, 3)
        before = (await talking.wait("welcome"))["epoch"]
        await running.threads.write(running.threads.store.new_epoch)
        await running.dispatcher._repair._find_behind()
        assert (await talking.ended())[0] == (await silent.ended())[0] == 4000
        again = await Device.open(running, hello={"epoch": before, "seq": 3})
        assert (await again.wait("reset"))["epoch"] != before
        phone = await Device.open(running, device="phone")
        await phone.wait_seqs(1, 2, 3)
        await running.live(2)
        assert running.feed.joined


class TestMany:
    async def test_500_connections_resume_in_few_queries(self, running: Running) -> None:
        """No query per connection: heads, positions and pages are read for many at once."""
        for user in range(100):
            await running.record(20, user=f"user{user}")
        running.threads.reads.clear()
        running.feed.answering.clear()
        devices = await asyncio.gather(
            *(
                Device.open(
                    running,
                    user=f"user{number % 100}",
                    device=f"device{number}",
                    hello={"batch": number % 2 == 0},
                )
                for number in range(500)
            )
        )
        running.feed.answering.set()
        await running.live(500)
        await until("all have all", lambda: all(len(d.seqs) == 20 for d in devices))
        reads = Counter(running.threads.reads)
        assert sum(reads[name] for name in ("heads", "positions", "pages")) < 30, reads

    async def test_the_101st_connection_of_a_user_is_refused(self, running: Running) -> None:
        """4429: do not reconnect. Others come in."""
        for _ in range(100):
            await RawClient.upgraded(running)
        await until("all are in", lambda: running.hub.sessions == 100)
        device = await Device.open(running)
        code, reason = await device.ended()
        assert (code, "too many connections" in reason) == (4429, True)
        other = await Device.open(running, user="other", hello={})
        await other.wait("welcome")

    async def test_a_client_that_does_not_read_is_closed_and_holds_nobody_up(
        self, running: Running
    ) -> None:
        """4008 within its byte limit, while the user's other devices go on; it resumes later."""
        server = running.gateway._server
        assert server is not None
        server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        slow = await RawClient.upgraded(running, "/ws?user_id=sender&device_id=slow")
        slow.reader._limit = 1  # type: ignore[attr-defined]  # it stops reading by itself
        server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        await running.live(1)
        [stream] = running.hub.streams.values()
        [session] = stream.live
        transport = session.link.transport.underlying_transport  # type: ignore[attr-defined]
        fast = await Device.open(running, device="fast", hello={})
        await running.live(2)
        largest = 0
        sent = 0
        while running.metric("seenby_slow_consumers_total") == 0:
            assert sent < 60_000
            events = await running.publish(500, size=64)
            sent += len(events)
            largest = max(largest, transport.get_write_buffer_size())
            await until("the other has all", lambda: len(fast.seqs) == sent)  # noqa: B023 -- awaited here
        # The check follows each flush, so the last one comes on top.
        assert largest < 256 * 1024 + 500 * 250
        await running.publish(1)
        await until("the other has all", lambda: len(fast.seqs) == sent + 1)
        assert fast.seqs == list(range(1, sent + 2))
        running.pass_time(6)
        await until("the slow one is cut", lambda: running.hub.sessions == 1)
        assert running.metric('seenby_disconnects_total{code="4008"}') == 1
        again = await Device.open(running, device="slow")
        await until("it has all", lambda: len(again.seqs) == sent + 1)


class TestTime:
    async def test_heartbeat_and_silence(self, running: Running) -> None:
        """A ping every 30 s; 90 s without a word end it, in words."""
        client = await RawClient.v1(running)
        for _ in range(2):
            running.pass_time(31)
            assert await client.receive() == (PING, b"0")
        running.pass_time(31)
        code, reason = await client.ended()
        assert (code, "nothing was heard" in reason) == (4002, True)

    async def test_a_ping_of_the_client_is_a_sign_of_life(self, running: Running) -> None:
        """As any other frame."""
        client = await RawClient.v1(running)
        for _ in range(6):
            running.pass_time(40)
            client.frame(b"", PING)
            while (await client.receive())[0] != PONG:
                pass
        assert running.hub.sessions == 1

    async def test_a_close_that_is_not_answered_is_cut(self, running: Running) -> None:
        """After five seconds."""
        client = await RawClient.v1(running)
        running.pass_time(28)
        client.frame(b"x", 2)
        await client.receive()
        running.pass_time(4)
        for _ in range(20):
            await asyncio.sleep(0)
        assert running.hub.sessions == 1
        running.pass_time(2)
        await until("it is cut", lambda: running.hub.sessions == 0)

    async def test_a_drain_closes_with_4000_and_takes_nobody_in(self, running: Running) -> None:
        """In words; what was acknowledged is stored."""
        await running.record(2)
        device = await Device.open(running, device="phone", hello={})
        await device.wait_seqs(1, 2)
        await device.send(type="ack", seq=2)
        await device.send(type="ping")
        await device.wait("pong")
        await running.drain()
        code, reason = await device.ended()
        assert (code, "reconnect" in reason) == (4000, True)
        with pytest.raises(ConnectionRefusedError):
            await RawClient.open(running)
        await running.dispatcher.close()
        stored = await running.service.positions([("sender", "phone")])
        assert stored["sender", "phone"].seq == 2


class TestSilentClients:
    @pytest.mark.parametrize("message", ['{"type":"ping"}', "hello", ""])
    async def test_a_data_frame_ends_it(self, running: Running, message: str) -> None:
        """4400, with the subprotocol it should have asked for."""
        device = await Device.open(running)
        await device.socket.send(message)
        assert await device.ended() == (4400, "data frames need the subprotocol seenby.v1")


FIELDS = {"msg_id": "m", "reader_id": "reader", "sender_id": "sender", "conversation_id": "c"}


class TestMarks:
    async def test_a_mark_over_the_socket_is_recorded(self, running: Running) -> None:
        """The receipt in the form of the HTTP answer, with the client's reference."""
        device = await Device.open(running, user="reader", hello={})
        await device.wait("welcome")
        for ref in ("a", 7, None, 2**63 - 1):
            await device.send(type="read", ref=ref, **FIELDS)
        await device.wait("read_result", 4)
        results = device.of("read_result")
        assert [result["ref"] for result in results] == ["a", 7, None, 2**63 - 1]
        receipt = results[0]["receipt"]
        assert {name: receipt[name] for name in FIELDS} == FIELDS
        assert all(result["success"] and result["receipt"] == receipt for result in results)

    @pytest.mark.parametrize(
        ("changes", "code", "words"),
        [
            ({"msg_id": ""}, "bad_request", "msg_id must be"),
            ({"msg_id": None}, "bad_request", "msg_id must be"),
            ({"conversation_type": "x"}, "bad_request", "conversation_type must be"),
            ({"sender_id": "reader"}, "own_message", "must not be the sender"),
        ],
    )
    async def test_a_refused_mark_is_answered_by_name(
        self, running: Running, changes: dict[str, Any], code: str, words: str
    ) -> None:
        """And does not count as a useless frame."""
        device = await Device.open(running, user="reader", hello={})
        await device.wait("welcome")
        for _ in range(4):
            await device.send(type="read", ref=1, **(FIELDS | changes))
        result = await device.wait("read_result", 4)
        assert (result["ref"], result["success"], result["code"]) == (1, False, code)
        assert words in result["error"]
        assert device.of("error") == []

    @pytest.mark.parametrize("ref", [2**64, 1.5, [1], {"a": 1}, True])
    async def test_a_reference_that_cannot_be_given_back_is_an_error(
        self, running: Running, ref: Any
    ) -> None:
        """Named; the socket stays."""
        device = await Device.open(running, user="reader", hello={})
        await device.wait("welcome")
        await device.send(type="read", ref=ref, **FIELDS)
        assert (await device.wait("error"))["error"].startswith("ref must be")

    async def test_fields_of_our_own_mean_nothing_from_outside(self, running: Running) -> None:
        """A key that is called ``fields`` is one that is not known."""
        device = await Device.open(running, user="reader", hello={})
        await device.wait("welcome")
        await device.send(type="read", ref=1, fields={"msg_id": "other"}, **FIELDS)
        assert (await device.wait("read_result"))["receipt"]["msg_id"] == "m"
        await device.send(type="read", ref=2, fields=5, **FIELDS)
        assert (await device.wait("read_result", 2))["success"] is True

    async def test_a_flood_of_marks_is_refused_past_its_bound(self, running: Running) -> None:
        """A hundred of a client may be under way; the rest is told so at once."""
        device = await RawClient.v1(running)
        text = json.dumps({"type": "read", "ref": 1, **FIELDS}).encode()
        for _ in range(300):
            device.frame(text)
        results = [await device.message() for _ in range(300)]
        refused = [result for result in results if not result["success"]]
        assert {result["code"] for result in refused} == {"too_many"}
        assert 0 < len(refused) <= 200

    async def test_marking_for_others_is_forbidden(self, guarded: Running) -> None:
        """reader_id must be the token's user."""
        device = await Device.open(guarded, user="", hello={"token": "sender"})
        await device.wait("welcome")
        await device.send(type="read", ref=1, **FIELDS)
        result = await device.wait("read_result")
        assert (result["code"], result["success"]) == (Forbidden.code, False)


class TestTokens:
    async def test_in_the_header_or_in_hello(self, guarded: Running) -> None:
        """A socket is the token's user."""
        bearer = {"Authorization": "Bearer sender"}
        silent = await Device.open(guarded, user="", device="phone", headers=bearer)
        header = await Device.open(guarded, user="", hello={}, headers=bearer)
        hello = await Device.open(guarded, user="", hello={"token": "sender"})
        for device in (header, hello):
            assert (await device.wait("welcome"))["user_id"] == "sender"
        await guarded.live(3)
        await guarded.publish()
        for device in (silent, header, hello):
            await device.wait_seqs(1)

    async def test_a_service_acts_for_the_user_in_the_query(self, guarded: Running) -> None:
        """Its token names nobody in particular."""
        device = await Device.open(guarded, user="anyone", hello={"token": "service"})
        assert (await device.wait("welcome"))["user_id"] == "anyone"

    @pytest.mark.parametrize(
        ("user", "hello", "code"),
        [
            ("sender", {}, 4401),
            ("sender", {"token": "wrong"}, 4401),
            ("sender", {"token": "expired"}, 4001),
            ("other", {"token": "sender"}, 4403),
            ("", {"token": "service"}, 4400),
            ("sender", {"token": "later"}, 1013),
        ],
    )
    async def test_who_does_not_come_in(
        self, guarded: Running, user: str, hello: dict[str, Any], code: int
    ) -> None:
        """Closed with a code that says whether to try again, and a reason."""
        device = await Device.open(guarded, user=user, hello=hello)
        ended, reason = await device.ended()
        assert ended == code
        assert reason
        assert (device.frames, guarded.hub.sessions) == ([], 0)

    async def test_a_silent_client_without_a_token_is_refused(self, guarded: Running) -> None:
        """401, before the upgrade."""
        client, head = await RawClient.open(guarded)
        assert head.startswith("HTTP/1.1 401 ")
        assert (await client.body())["code"] == "unauthenticated"

    async def test_hello_comes_within_ten_seconds(self, guarded: Running) -> None:
        """Else 4401."""
        client = await RawClient.upgraded(guarded, "/ws", headers=V1)
        guarded.pass_time(11)
        code, reason = await client.ended()
        assert (code, "10 seconds" in reason) == (4401, True)

    async def test_an_expired_token_ends_its_socket(self, guarded: Running) -> None:
        """4001, at its time."""
        device = await Device.open(guarded, user="", hello={"token": "soon"})
        await device.wait("welcome")
        for number in range(3):
            guarded.pass_time(32)
            await device.send(type="ping")
            await device.wait("pong", number + 1)
        assert device.closed is None
        guarded.pass_time(6)
        assert (await device.ended())[0] == 4001

    async def test_a_token_that_ends_within_the_time_for_hello(self, guarded: Running) -> None:
        """Its socket does not live until the next look that was planned before it was known."""
        device = await Device.open(guarded, user="", hello={"token": "at once"})
        await device.wait("welcome")
        guarded.pass_time(7)
        assert (await device.ended())[0] == 4001

    async def test_who_leaves_while_the_token_is_checked_leaves_nothing(
        self, guarded: Running
    ) -> None:
        """No session is left in the hub for a socket that is gone."""
        asked = tokens(guarded)
        asked.answering.clear()
        device = await Device.open(guarded, user="", hello={"token": "sender"})
        await until("the token is checked", lambda: asked.asked == 1)
        await device.cut()
        await until("the gateway knows", lambda: not guarded.gateway._connections)
        asked.answering.set()
        await until("the check is over", lambda: not guarded.requests._tasks)
        assert guarded.hub.sessions == 0

    async def test_a_hello_while_the_headers_token_is_checked_waits(self, guarded: Running) -> None:
        """It is not taken for a client without a token."""
        asked = tokens(guarded)
        asked.answering.clear()
        bearer = {"Authorization": "Bearer sender"}
        device = await Device.open(guarded, user="", hello={}, headers=bearer)
        await device.send(type="ping")
        await device.wait("pong")
        asked.answering.set()
        assert (await device.wait("welcome"))["user_id"] == "sender"
        assert asked.asked == 1
