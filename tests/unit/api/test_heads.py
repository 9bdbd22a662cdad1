"""Which head is an ordinary mark's, and which is aiohttp's to judge."""

from __future__ import annotations

import pytest

from seenby.api.heads import BODY_MAX, HEAD_MAX, START, Head, may_become, read_head

HOST = "Host: chat.example.com"
TYPE = "Content-Type: application/json"
LENGTH = "Content-Length: 120"
TRACE = "0af7651916cd43dd8448eb211c80319c"


def head(*lines: str, start: bytes = START) -> bytes:
    """A head of these lines."""
    return start + "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n"


class TestOrdinary:
    def test_what_is_read(self) -> None:
        """A head says how long the body is, whose token it is, its trace and its page."""
        found = read_head(
            head(
                HOST,
                "User-Agent: any (thing) / 1.0",
                "Accept:",
                "authorization:   Bearer   a.b.c  ",
                f"traceparent: 00-{TRACE}-b7ad6b7169203331-01",
                "Origin: https://chat.example.com",
                "CONTENT-TYPE: Application/JSON; charset=UTF-8",
                "content-length: 65536",
                "Connection: Keep-Alive",
            )
        )

        assert found == Head(BODY_MAX, "a.b.c", TRACE, "https://chat.example.com")

    def test_what_need_not_be_said(self) -> None:
        """Without a token, a trace and a page it is ordinary too."""
        assert read_head(head(HOST, TYPE, LENGTH)) == Head(120, None, "", None)

    @pytest.mark.parametrize("value", ["nonsense", f"ff-{TRACE}-b7ad6b7169203331-01", ""])
    def test_a_trace_that_is_none(self, value: str) -> None:
        """A traceparent that holds no trace id is as good as none."""
        assert read_head(head(HOST, TYPE, LENGTH, f"traceparent: {value}")) is not None


class TestNotOrdinary:
    @pytest.mark.parametrize(
        "start",
        [
            b"GET /api/v1/messages/read HTTP/1.1\r\n",
            b"post /api/v1/messages/read HTTP/1.1\r\n",
            b"POST /api/v1/messages/read HTTP/1.0\r\n",
            b"POST /api/v1/messages/read/batch HTTP/1.1\r\n",
            b"POST /api/v1/messages/read?x=1 HTTP/1.1\r\n",
            b"POST  /api/v1/messages/read HTTP/1.1\r\n",
            b"POST http://x/api/v1/messages/read HTTP/1.1\r\n",
            b"POST /api/v1/messages/rea%64 HTTP/1.1\r\n",
            b"POST /api/v1/messages/read HTTP/1.1\n",
            b"\r\nPOST /api/v1/messages/read HTTP/1.1\r\n",
        ],
    )
    def test_another_first_line(self, start: bytes) -> None:
        """Only one first line is ordinary."""
        assert read_head(head(HOST, TYPE, LENGTH, start=start)) is None

    @pytest.mark.parametrize(
        "line",
        [
            "Transfer-Encoding: chunked",
            "transfer-encoding: identity",
            "Expect: 100-continue",
            "Upgrade: websocket",
            "Content-Encoding: gzip",
            "Connection: close",
            "Connection: keep-alive, upgrade",
            "Proxy-Connection: close",
            "TE: trailers",
            "Trailer: x",
            "HTTP2-Settings: AAMAAABk",
            "Sec-WebSocket-Key1: x",
            "Transfer-Encoding : chunked",
            " Transfer-Encoding: chunked",
            "Transfer-Encoding\t: chunked",
            "X: a\tb",
            "X: \x00",
            "X: \x7f",
            "X: ü",
            "X: a\r\n folded",
            "X: a\rb: c",
            "X: a\nb: c",
            "X",
            ": empty",
            "Ümlaut: x",
        ],
    )
    def test_a_special_or_malformed_line(self, line: str) -> None:
        """What changes how a request is read, and what is not well formed, is not ordinary."""
        assert read_head(head(HOST, TYPE, LENGTH, line)) is None

    @pytest.mark.parametrize("line", [HOST, TYPE, LENGTH, "Cookie: a=b"])
    def test_a_name_twice(self, line: str) -> None:
        """No name comes twice, in whatever case: servers differ in which of two they take."""
        name, _, value = line.partition(":")

        twice = (line, f"{name.upper()}:{value}")
        others = [other for other in (HOST, TYPE, LENGTH) if other != line]
        assert read_head(head(*others, *twice)) is None
        assert read_head(head(*others, line)) is not None

    @pytest.mark.parametrize("missing", [HOST, TYPE, LENGTH])
    def test_a_line_that_is_missing(self, missing: str) -> None:
        """Host, type and length must be said."""
        assert read_head(head(*(line for line in (HOST, TYPE, LENGTH) if line != missing))) is None

    @pytest.mark.parametrize(
        "length",
        ["", "0", "00", "012", "+12", "-1", "1 2", "12, 12", "0x10", "1_0", "65537", "1e3"],
    )
    def test_another_length(self, length: str) -> None:
        """A length is one plain number within the limit."""
        assert read_head(head(HOST, TYPE, f"Content-Length: {length}")) is None

    @pytest.mark.parametrize("kind", ["", "text/plain", "application/json, x", "application/jsonx"])
    def test_another_type(self, kind: str) -> None:
        """What may not be JSON is aiohttp's to refuse."""
        assert read_head(head(HOST, LENGTH, f"Content-Type: {kind}")) is None

    @pytest.mark.parametrize("host", ["", "a b", "a/b", "user@host", "a,b"])
    def test_another_host(self, host: str) -> None:
        """A host is a name or an address, with its port."""
        assert read_head(head(TYPE, LENGTH, f"Host: {host}")) is None

    @pytest.mark.parametrize("tail", [b"", b"\r\n", b"\n\n", b"\r\n\r", b"\r\n\r\n "])
    def test_another_end(self, tail: bytes) -> None:
        """A head ends with its first empty line."""
        assert read_head(head(HOST, TYPE, LENGTH).removesuffix(b"\r\n\r\n") + tail) is None

    def test_a_long_one(self) -> None:
        """Neither very many bytes nor very many lines."""
        room = HEAD_MAX - len(head(HOST, TYPE, LENGTH, "X: "))

        assert read_head(head(HOST, TYPE, LENGTH, f"X: {'x' * room}")) is not None
        assert read_head(head(HOST, TYPE, LENGTH, f"X: {'x' * (room + 1)}")) is None
        assert read_head(head(HOST, TYPE, LENGTH, *(f"X{n}: x" for n in range(61)))) is not None
        assert read_head(head(HOST, TYPE, LENGTH, *(f"X{n}: x" for n in range(62)))) is None


class TestBegun:
    def test_every_beginning_of_an_ordinary_one(self) -> None:
        """However little of it has come, an ordinary head may still become one."""
        whole = head(HOST, "Accept:", TYPE, LENGTH)

        assert all(may_become(whole[:length]) for length in range(1, len(whole)))

    @pytest.mark.parametrize(
        "begun",
        [
            b"G",
            b"POST /api/v1/messages/read/",
            b"\x16\x03\x01",
            START + b"Host: x\n",
            START + b"Host: x\n\n",
            START + b"Host: x\r\nY\r\n",
            START + b"X: \x00",
            START + b'Host: x\r\n{"msg_id',
            START + b"Host : x",
            START + b"Host: x\r\r",
            START + b"X: " + b"x" * HEAD_MAX,
        ],
    )
    def test_what_cannot_become_one(self, begun: bytes) -> None:
        """What is not ordinary already is not waited for."""
        assert not may_become(begun)
