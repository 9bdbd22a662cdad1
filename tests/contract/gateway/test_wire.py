"""The gateway's handshake and framing, byte by byte, on either event loop (RFC 6455)."""

from __future__ import annotations

import asyncio

import pytest

from tests.contract.gateway.running import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    V1,
    RawClient,
    Running,
    frame,
    until,
)

PING_FRAME = b'{"type":"ping"}'
LIMIT = 64 * 1024


class TestHandshake:
    @pytest.mark.parametrize(
        "connection", ["Upgrade", "keep-alive, Upgrade", "upgrade", "Upgrade,keep-alive"]
    )
    async def test_a_connection_header_may_list_more(
        self, running: Running, connection: str
    ) -> None:
        """Firefox sends ``keep-alive, Upgrade`` (RFC 6455, section 4.2.1)."""
        await RawClient.upgraded(running, connection=connection)

    async def test_a_connection_header_may_stand_in_two_lines(self, running: Running) -> None:
        """Two lines are one list (RFC 9110, section 5.3)."""
        await RawClient.upgraded(
            running, connection="keep-alive", headers="Connection: Upgrade\r\n"
        )

    async def test_the_subprotocol_is_confirmed(self, running: Running) -> None:
        """To those that ask for it, among others or alone, and to nobody else."""
        for headers, confirmed in (
            (V1, True),
            ("Sec-WebSocket-Protocol: chat, seenby.v1\r\n", True),
            ("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: seenby.v1\r\n", True),
            ("", False),
            ("Sec-WebSocket-Protocol: chat\r\n", False),
        ):
            _client, head = await RawClient.open(running, headers=headers)
            assert head.startswith("HTTP/1.1 101 ")
            assert ("seenby.v1" in head) is confirmed

    @pytest.mark.parametrize("target", ["/ws", "/ws?user_id=", "/ws?device_id=phone"])
    async def test_a_missing_user_is_named(self, running: Running, target: str) -> None:
        """400, with the field and how it is given."""
        client, head = await RawClient.open(running, target)
        assert head.startswith("HTTP/1.1 400 ")
        assert await client.body() == {
            "success": False,
            "error": "user_id must be given in the query: /ws?user_id=...&device_id=...",
            "code": "bad_request",
        }

    @pytest.mark.parametrize(
        ("target", "field"),
        [
            (f"/ws?user_id={'u' * 65}", "user_id"),
            ("/ws?user_id=a&user_id=b", "user_id"),
            ("/ws?user_id=a%20b", "user_id"),
            ("/ws?user_id=%C3%A9", "user_id"),
            (f"/ws?user_id=a&device_id={'d' * 65}", "device_id"),
            ("/ws?user_id=a&device_id=%00", "device_id"),
            ("/ws?user_id=a&token=secret", "token"),
            ("/ws?user_id=a&access_token=secret", "token"),
        ],
    )
    async def test_a_query_that_cannot_be_used_is_refused_by_name(
        self, running: Running, target: str, field: str
    ) -> None:
        """A token never comes in the query: it would stand in every log on the way."""
        client, head = await RawClient.open(running, target)
        assert head.startswith("HTTP/1.1 400 ")
        answer = await client.body()
        assert answer["error"].startswith(f"{field} must be")
        assert "secret" not in answer["error"]

    @pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://chat.example.evil"])
    async def test_another_origin_is_refused(self, running: Running, origin: str) -> None:
        """RFC 6455, section 10.2: the page of another site must not read a user's receipts."""
        client, head = await RawClient.open(running, headers=f"Origin: {origin}\r\n")
        assert head.startswith("HTTP/1.1 403 ")
        assert "SEENBY_ALLOWED_ORIGINS" in (await client.body())["error"]

    async def test_an_allowed_origin_comes_in(self, running: Running) -> None:
        """As it stands in the settings."""
        await RawClient.upgraded(running, headers="Origin: http://chat.example\r\n")

    async def test_a_part_is_the_load_balancers(self, running: Running) -> None:
        """The gateway ignores it, as it does any other parameter."""
        await RawClient.upgraded(running, "/ws?user_id=sender&part=7&x=y")

    @pytest.mark.parametrize(
        ("path", "status"),
        [("/health", 200), ("/ready", 200), ("/metrics", 200), ("/", 404), ("/ws/", 404)],
    )
    async def test_plain_http_is_answered_too(
        self, running: Running, path: str, status: int
    ) -> None:
        """Health, readiness and metrics are on the gateway's port."""
        _, head = await RawClient.open(running, path)
        assert head.startswith(f"HTTP/1.1 {status} ")

    async def test_what_is_no_handshake_is_refused(self, running: Running) -> None:
        """An ordinary GET of /ws gets an answer, not a hanging connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"GET /ws?user_id=a HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 400 ")
        writer.close()
        assert running.hub.sessions == 0

    async def test_a_gateway_whose_bus_or_store_is_away_is_not_ready(
        self, running: Running
    ) -> None:
        """503, and which of them it is."""
        running.feed.healthy = False
        client, head = await RawClient.open(running, "/ready")
        assert head.startswith("HTTP/1.1 503 ")
        assert await client.body() == {
            "ready": False,
            "store": True,
            "bus": False,
            "accepting": True,
        }

    async def test_frames_behind_the_handshake_count(self, running: Running) -> None:
        """A hello in the same segment as the request is heard."""
        client, head = await RawClient.open(running, headers=V1, more=frame(b'{"type":"hello"}'))
        assert head.startswith("HTTP/1.1 101 ")
        assert (await client.message())["type"] == "welcome"


class TestFrames:
    @pytest.mark.parametrize(
        "message", [b"", b"{", b"[]", b"null", b"\x00", b'{"type":"nonsense"}', b'{"type":5}', b"9"]
    )
    async def test_garbage_is_an_error_and_the_third_ends_it(
        self, running: Running, message: bytes
    ) -> None:
        """Within a minute: 4400."""
        client = await RawClient.v1(running)
        for _ in range(2):
            client.frame(message)
            error = await client.message()
            assert (error["type"], error["code"]) == ("error", "bad_request")
            assert error["error"]
        client.frame(message)
        assert await client.ended() == (4400, "too many frames that cannot be used")

    async def test_the_longest_message_is_taken(self, running: Running) -> None:
        """64 KiB in one frame, and in fragments."""
        client = await RawClient.v1(running)
        message = PING_FRAME + b" " * (LIMIT - len(PING_FRAME))
        client.frame(message)
        assert await client.message() == {"type": "pong"}
        client.frame(message[:40_000], fin=False)
        client.frame(message[40_000:], CONTINUATION)
        assert await client.message() == {"type": "pong"}

    @pytest.mark.parametrize("pieces", [1, 2, 5])
    async def test_a_longer_message_ends_it(self, running: Running, pieces: int) -> None:
        """4400 and a reason, whole or in fragments; nothing piles up."""
        client = await RawClient.v1(running)
        piece = b" " * (LIMIT // pieces + 1)
        for number in range(pieces):
            kind = CONTINUATION if number else TEXT
            client.frame(piece, kind, fin=number == pieces - 1)
        assert await client.ended() == (4400, "the message is over 64 KiB")

    async def test_a_frame_beyond_all_measure_is_not_read(self, running: Running) -> None:
        """Its header is enough for a close in words: 1009 (RFC 6455, section 7.4.1)."""
        client = await RawClient.v1(running)
        client.writer.write(frame(b" " * (16 * LIMIT))[:1000])
        code, reason = await client.ended()
        assert code == 1009
        assert "1048576 > 131072" in reason
        await until("it is forgotten", lambda: running.hub.sessions == 0)

    async def test_fragments_make_one_message(self, running: Running) -> None:
        """However they are cut, with control frames between them (section 5.4)."""
        client = await RawClient.v1(running)
        for number in range(len(PING_FRAME)):
            kind = CONTINUATION if number else TEXT
            client.frame(PING_FRAME[number : number + 1], kind, fin=False)
        client.frame(b"between", PING)
        client.frame(b"", CONTINUATION)
        assert await client.receive() == (PONG, b"between")
        assert await client.message() == {"type": "pong"}
        client.frame(PING_FRAME)
        assert await client.message() == {"type": "pong"}

    async def test_a_character_may_be_cut_in_two(self, running: Running) -> None:
        """UTF-8 is that of the message, not of its fragments (section 8.1)."""
        client = await RawClient.v1(running)
        message = '{"type":"ping","x":"é"}'.encode()
        cut = message.index(b"\xc3") + 1
        client.frame(message[:cut], fin=False)
        client.frame(message[cut:], CONTINUATION)
        assert await client.message() == {"type": "pong"}

    @pytest.mark.parametrize(
        ("frames", "reason"),
        [
            ([(b"x", CONTINUATION, True)], "the fragments do not make one message"),
            ([(b"x", TEXT, False), (b"y", TEXT, True)], "the fragments do not make one message"),
            ([(b"x", BINARY, True)], "only text frames are understood"),
            ([(b"x", TEXT, False), (b"y", BINARY, True)], "only text frames are understood"),
            ([(b"\xff", TEXT, True)], "the text is not UTF-8"),
            ([(b"\xed\xa0\x80", TEXT, True)], "the text is not UTF-8"),
            ([(b"\xc3", TEXT, False), (b"x", CONTINUATION, True)], "the text is not UTF-8"),
        ],
    )
    async def test_frames_that_make_no_message_end_it(
        self, running: Running, frames: list[tuple[bytes, int, bool]], reason: str
    ) -> None:
        """Orphan continuations, interleaved messages, binary, broken text: 4400."""
        client = await RawClient.v1(running)
        for payload, kind, fin in frames:
            client.frame(payload, kind, fin=fin)
        assert await client.ended() == (4400, reason)

    @pytest.mark.parametrize("reserved", [1, 2, 4])
    @pytest.mark.parametrize("kind", [TEXT, PING])
    async def test_reserved_bits_end_it(self, running: Running, kind: int, reserved: int) -> None:
        """No extension was agreed on (section 5.2)."""
        client = await RawClient.v1(running)
        client.frame(PING_FRAME, kind, reserved=reserved)
        assert (await client.ended())[0] == 4400

    async def test_an_unmasked_frame_ends_it(self, running: Running) -> None:
        """Section 5.1: 1002, in words."""
        client = await RawClient.v1(running)
        client.frame(PING_FRAME, masked=False)
        code, reason = await client.ended()
        assert code == 1002
        assert "mask" in reason

    @pytest.mark.parametrize("payload", [b"", b"any", b"x" * 125])
    async def test_a_ping_is_answered_with_its_payload(
        self, running: Running, payload: bytes
    ) -> None:
        """Section 5.5.3."""
        client = await RawClient.v1(running)
        client.frame(payload, PING)
        assert await client.receive() == (PONG, payload)

    @pytest.mark.parametrize(
        ("payload", "answer"),
        [
            (b"", 1000),
            (b"\x03\xe8", 1000),
            (b"\x03\xe9going", 1001),
            (b"\x0f\xa0", 4000),
            (b"\x0b\xb8", 3000),
            (b"\x00\x00", 1000),
            (b"\x03\xee", 1000),
        ],
    )
    async def test_a_close_is_answered_with_a_code_that_may_be_sent(
        self, running: Running, payload: bytes, answer: int
    ) -> None:
        """Its own; 1000 for what must not be on the wire (section 7.4.1), as a browser's none."""
        client = await RawClient.v1(running)
        client.frame(payload, CLOSE)
        kind, payload = await client.receive()
        assert (kind, int.from_bytes(payload[:2])) == (CLOSE, answer)
        assert await asyncio.wait_for(client.reader.read(), 10) == b""
        await until("it is forgotten", lambda: running.hub.sessions == 0)

    async def test_many_tiny_fragments_cost_little(self, running: Running) -> None:
        """The time to put a message together grows with its length, not with its square."""
        client = await RawClient.v1(running)
        piece = frame(b" ", CONTINUATION, fin=False)
        client.writer.write(frame(b" ", fin=False) + piece * 60_000)
        client.frame(PING_FRAME, CONTINUATION)
        began = asyncio.get_running_loop().time()
        assert await client.message() == {"type": "pong"}
        assert asyncio.get_running_loop().time() - began < 2.0

    async def test_pings_that_are_not_read_for_pile_up_nowhere(self, running: Running) -> None:
        """A client that pings and does not read gets no more pongs than its buffers hold."""
        client = await RawClient.v1(running)
        [stream] = running.hub.streams.values()
        [session] = stream.live
        transport = session.link.transport.underlying_transport  # type: ignore[attr-defined]
        flood = frame(b"x" * 125, PING) * 1000
        client.reader._limit = 1  # type: ignore[attr-defined]  # it stops reading by itself
        for _ in range(400):
            client.writer.write(flood)
            await asyncio.sleep(0)
            if session.congested:
                break
        await until("the socket takes no more", lambda: session.congested)
        before = transport.get_write_buffer_size()
        client.writer.write(flood)
        await asyncio.sleep(0.05)
        assert transport.get_write_buffer_size() <= before
