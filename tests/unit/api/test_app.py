"""What all addresses have in common: limits, errors, CORS, who calls."""

from __future__ import annotations

import asyncio
import io
import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from yarl import URL

from seenby import recorder
from tests.unit.api.conftest import MARK, ORIGIN
from tests.unit.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.unit.api.conftest import Api

READ = "/api/v1/messages/read"
JSON = {"Content-Type": "application/json"}


class TestBodies:
    @pytest.mark.parametrize(
        "body", ["", "x", "[1, 2", '"text"', "[]", "null", "3", '{"msg_id": "m1"', "\x00"]
    )
    async def test_what_is_not_a_json_object(self, api: Api, body: str) -> None:
        """A body that is not a JSON object is a 400 that says so."""
        status, document = await api.call("POST", READ, data=body, headers=JSON)

        assert status == 400
        assert document == {
            "success": False,
            "error": "body must be a JSON object",
            "code": "bad_request",
        }

    @pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
    async def test_another_media_type(self, api: Api, kind: str) -> None:
        """A body that is not declared as JSON is a 415, so a foreign page cannot mark unasked."""
        response = await api.response(
            "POST",
            READ,
            data=json.dumps(MARK).encode(),
            headers={"Content-Type": kind} if kind else {},
            skip_auto_headers=["Content-Type"],
        )
        document = await response.json()

        assert response.status == 415
        assert document["code"] == "unsupported_media_type"
        assert "application/json" in document["error"]
        assert api.store.commits == []

    async def test_a_charset_does_no_harm(self, api: Api) -> None:
        """``application/json; charset=utf-8`` is JSON."""
        status, _ = await api.call(
            "POST",
            READ,
            data=json.dumps(MARK).encode(),
            headers={"Content-Type": "application/json; charset=utf-8"},
        )

        assert status == 200

    @pytest.mark.parametrize("declared", [True, False])
    async def test_a_body_over_64_kib(self, api: Api, declared: bool) -> None:
        """A mark over 64 KiB is a 413, whether its length is declared or not."""
        body = json.dumps(MARK | {"more": "x" * 65536}).encode()

        async def chunks() -> AsyncIterator[bytes]:
            yield body

        response = await api.response(
            "POST", READ, data=body if declared else chunks(), headers=JSON
        )
        document = await response.json()

        assert response.status == 413
        assert document["code"] == "too_large"
        assert "64 KiB" in document["error"]
        assert api.store.commits == []

    async def test_a_batch_may_have_a_mebibyte(self, api: Api) -> None:
        """A batch of a thousand marks over 64 KiB is taken; one over 1 MiB is a 413."""
        marks = [MARK | {"msg_id": f"m{n}", "conversation_id": "c" * 100} for n in range(1000)]
        body = json.dumps({"receipts": marks}).encode()
        assert 65536 < len(body) < 1024 * 1024
        fine, document = await api.call("POST", READ + "/batch", data=body, headers=JSON)
        padded = body + b" " * (1024 * 1024 + 1 - len(body))
        large, refused = await api.call(
            "POST", READ + "/batch", data=io.BytesIO(padded), headers=JSON
        )

        assert fine == 200
        assert len(document["results"]) == 1000
        assert large == 413
        assert "1024 KiB" in refused["error"]

    async def test_a_body_that_is_not_encoded_as_it_says(self, api: Api) -> None:
        """A body that its Content-Encoding does not describe is the caller's fault, not ours."""
        status, document = await api.call(
            "POST", READ, data=b"no gzip", headers=JSON | {"Content-Encoding": "gzip"}
        )

        assert status == 400
        assert document["error"] == "body must be encoded as the headers say"
        assert api.store.commits == []

    async def test_a_client_that_leaves_in_the_middle(self, api: Api) -> None:
        """A body that ends too soon records nothing and is no fault of ours."""
        _, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(
            f"POST {READ} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            "Content-Length: 500\r\n\r\n{".encode()
        )
        await writer.drain()
        # A whole request behind it, so that the server has begun with the first.
        await api.call("GET", "/health")
        writer.close()
        counted = 'seenby_http_requests_total{route="mark",status="400"} 1.0'
        await eventually(lambda: counted in api.metrics.render()[0].decode())

        assert api.store.commits == []

    async def test_a_client_that_leaves_before_the_answer(self, api: Api) -> None:
        """What was asked for whole is done, whether or not anybody waits for the answer."""
        body = json.dumps(MARK)
        _, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(
            f"POST {READ} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        await writer.drain()
        writer.close()
        await eventually(lambda: api.store.commits)
        _, document = await api.mark()

        assert document["receipt"]["id"] == 1


class TestAddresses:
    async def test_an_unknown_one(self, api: Api) -> None:
        """An address that does not exist is a 404 as JSON."""
        status, document = await api.call("GET", "/api/v1/nothing")

        assert status == 404
        assert document["code"] == "not_found"

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("GET", READ, "POST, DELETE, OPTIONS"),
            ("PUT", READ + "/batch", "POST, OPTIONS"),
            ("POST", "/api/v1/messages/receipts", "GET, HEAD, OPTIONS"),
            ("DELETE", "/api/v1/users/u/devices", "GET, HEAD, OPTIONS"),
            ("GET", "/api/v1/users/u/devices/d", "DELETE, OPTIONS"),
            ("POST", "/health", "GET, HEAD, OPTIONS"),
        ],
    )
    async def test_a_wrong_method(self, api: Api, method: str, path: str, allowed: str) -> None:
        """A method that the address does not have is a 405 that names those it has."""
        response = await api.response(method, path)
        document = await response.json()

        assert response.status == 405
        assert document["code"] == "method_not_allowed"
        assert response.headers["Allow"] == allowed
        assert allowed in document["error"]

    @pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/api/v1/users/u/devices"])
    async def test_head(self, api: Api, path: str) -> None:
        """HEAD answers as GET does, without the body: some monitors ask no other way."""
        head = await api.response("HEAD", path)

        assert head.status == 200
        assert await head.read() == b""

    @pytest.mark.parametrize(
        "user_id", ["{u}", "a/b", "a?b#c", "100%", "%2F", "a+b", "".join(map(chr, range(64, 127)))]
    )
    async def test_any_id_fits_into_an_address(self, api: Api, user_id: str) -> None:
        """An id may have every printable character, percent-encoded where it must be."""
        await api.mark(sender_id=user_id)
        part = quote(user_id, safe="")
        status, document = await api.call(
            "GET", URL(f"/api/v1/users/{part}/receipts", encoded=True)
        )
        gone, refused = await api.call(
            "DELETE", URL(f"/api/v1/users/{part}/devices/{part}", encoded=True)
        )

        assert status == 200
        assert [receipt["msg_id"] for receipt in document["receipts"]] == ["m1"]
        assert gone == 404
        assert "no device of that id" in refused["error"]


class TestCors:
    async def test_a_preflight_of_an_allowed_origin(self, api: Api) -> None:
        """A browser learns what pages of an allowed origin may send."""
        response = await api.response("OPTIONS", READ, headers={"Origin": ORIGIN})

        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert response.headers["Access-Control-Allow-Methods"] == "POST, DELETE"
        assert "Content-Type" in response.headers["Access-Control-Allow-Headers"]
        assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
        assert response.headers["Vary"] == "Origin"

    async def test_a_preflight_of_another_origin(self, api: Api) -> None:
        """Pages of other origins are told nothing that would let them."""
        response = await api.response("OPTIONS", READ, headers={"Origin": "https://evil.example"})

        assert not [name for name in response.headers if name.startswith("Access-Control")]

    @pytest.mark.parametrize("fields", [{}, {"msg_id": ""}])
    async def test_answers_may_be_read(self, api: Api, fields: dict[str, str]) -> None:
        """Answers and errors alike may be read by pages of allowed origins, and by no others."""
        ours = await api.response("POST", READ, json=MARK | fields, headers={"Origin": ORIGIN})
        other = await api.response("POST", READ, json=MARK | fields, headers={"Origin": "http://x"})

        assert ours.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "Access-Control-Allow-Origin" not in other.headers


class TestCallers:
    async def test_without_a_token(self, api: Api) -> None:
        """A missing token is a 401 that says which scheme is wanted."""
        api.tokens.on = True
        response = await api.response("POST", READ, json=MARK)
        document = await response.json()

        assert response.status == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert document["code"] == "unauthenticated"

    async def test_an_expired_token(self, api: Api) -> None:
        """An expired token is a 401 with a code of its own, so that a client fetches another."""
        api.tokens.on = True
        status, document = await api.call("POST", READ, json=MARK, token="old")

        assert status == 401
        assert document["code"] == "token_expired"

    @pytest.mark.parametrize(
        ("token", "status"), [("reader's", 200), ("sender's", 403), ("service's", 200)]
    )
    async def test_who_may_mark(self, api: Api, token: str, status: int) -> None:
        """A user marks for themselves only; a service for anyone."""
        api.tokens.on = True
        found, document = await api.call("POST", READ, json=MARK, token=token)

        assert found == status
        assert document.get("code", "") == ("forbidden" if status == 403 else "")
        assert len(api.store.commits) == (0 if status == 403 else 1)

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/api/v1/users/sender/receipts"),
            ("GET", "/api/v1/users/sender/devices"),
            ("DELETE", "/api/v1/users/sender/devices/d"),
            ("GET", "/api/v1/gateway?user_id=sender"),
        ],
    )
    async def test_what_is_a_users_own(self, api: Api, method: str, path: str) -> None:
        """What belongs to a user is shown to that user and to services, to nobody else."""
        api.tokens.on = True
        statuses = [
            (await api.call(method, path, token=token))[0]
            for token in ("reader's", "sender's", "service's")
        ]
        there = 404 if method == "DELETE" else 200

        assert statuses == [403, there, there]

    @pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
    async def test_health_is_open(self, api: Api, path: str) -> None:
        """Health, readiness and metrics need no token."""
        api.tokens.on = True
        response = await api.response("GET", path)

        assert response.status == 200


class TestFaults:
    async def test_the_store_is_away(self, api: Api) -> None:
        """Without a store a mark is a 503 with Retry-After, and nothing was recorded."""
        api.store.failing = True
        response = await api.response("POST", READ, json=MARK)
        document = await response.json()
        api.store.failing = False
        _, later = await api.mark()

        assert response.status == 503
        assert response.headers["Retry-After"] == "1"
        assert document["code"] == "store_unavailable"
        assert document["error"] == "the database is not available now"
        assert later["receipt"]["id"] == 1

    async def test_more_than_can_be_recorded(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """At its limit the API answers 429 with Retry-After, and nothing was recorded."""
        monkeypatch.setattr(recorder, "MAX_WAITING", 0)
        response = await api.response("POST", READ, json=MARK)
        document = await response.json()

        assert response.status == 429
        assert response.headers["Retry-After"] == "1"
        assert document["code"] == "too_many"
        assert api.store.commits == []

    async def test_requests_are_counted(self, api: Api) -> None:
        """Requests are counted by route and status, never by address."""
        await api.mark()
        await api.mark(msg_id="")
        await api.call("GET", "/api/v1/users/somebody/devices")
        await api.call("GET", "/nothing/here")
        text = api.metrics.render()[0].decode()

        assert 'seenby_http_requests_total{route="mark",status="200"} 1.0' in text
        assert 'seenby_http_requests_total{route="mark",status="400"} 1.0' in text
        assert 'seenby_http_requests_total{route="devices",status="200"} 1.0' in text
        assert 'seenby_http_requests_total{route="unknown",status="404"} 1.0' in text
        assert "somebody" not in text

    async def test_a_fault_of_ours_is_not_shown(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What nobody expected is a 500 as JSON that shows nothing of the inside."""
        monkeypatch.setattr(api.store, "devices", lambda _: 1 / 0)
        status, document = await api.call("GET", "/api/v1/users/u/devices")

        assert status == 500
        assert document["code"] == "internal"
        assert "zero" not in document["error"]
