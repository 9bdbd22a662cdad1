"""With JWT on: who may mark, who may read, whose a socket is."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import jwt
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.acceptance.devices import Api, Device

if TYPE_CHECKING:
    from tests.acceptance.conftest import Launch
    from tests.servers.seenby import Seenby

SECRET = "a secret of at least thirty-two bytes"
MARK = {"msg_id": "m1", "reader_id": "reader", "sender_id": "sender", "conversation_id": "c"}


def token(user: str, *, seconds: float = 600.0, scope: str = "", secret: str = SECRET) -> str:
    """A token as the chat's own sign-in would make it."""
    claims = {"sub": user, "exp": time.time() + seconds, "scope": scope}
    return jwt.encode(claims, secret, algorithm="HS256")


@pytest.fixture
def seenby(launch: Launch) -> Seenby:
    """An embedded seenby that asks for tokens."""
    return launch("serve", SEENBY_AUTH="jwt", SEENBY_JWT_SECRET=SECRET, SEENBY_JWT_LEEWAY="0")


def marked(seenby: Seenby, bearer: str, msg_id: str = "m1") -> tuple[int, str]:
    """Status and code of a mark with that token."""
    api = Api(seenby.api, bearer)
    status, document = api.request("POST", "/api/v1/messages/read", MARK | {"msg_id": msg_id})
    api.close()
    return status, document.get("code", "")


def closed(device: Device) -> tuple[int, str]:
    """With which code and reason the gateway closes it."""
    device.wait("the close", lambda d: d.closed is not None)
    assert device.closed is not None
    device.close()
    return device.closed


class TestMarks:
    def test_who_may_mark(self, seenby: Seenby) -> None:
        """Only the reader and a service may mark for the reader."""
        assert marked(seenby, "") == (401, "unauthenticated")
        assert marked(seenby, "x.y.z") == (401, "unauthenticated")
        assert marked(seenby, token("reader", secret="x" * 32)) == (401, "unauthenticated")
        assert marked(seenby, token("reader", seconds=-1)) == (401, "token_expired")
        assert marked(seenby, token("somebody")) == (403, "forbidden")
        assert marked(seenby, token("reader")) == (200, "")
        assert marked(seenby, token("backend", scope="service")) == (200, "")

    def test_who_may_read(self, seenby: Seenby) -> None:
        """A user's receipts are read by that user and by services only."""
        marked(seenby, token("reader"))
        statuses, counts = [], []
        for bearer in (token("reader"), token("sender"), token("backend", scope="service")):
            api = Api(seenby.api, bearer)
            statuses.append(api.request("GET", "/api/v1/users/sender/receipts")[0])
            counts.append(api.request("GET", "/api/v1/messages/receipts?msg_id=m1")[1]["count"])
            api.close()

        assert statuses == [403, 200, 200]
        assert counts == [0, 1, 1]


class TestSockets:
    def test_a_socket_is_the_tokens_user(self, seenby: Seenby) -> None:
        """Silent by header, seenby.v1 by header or hello: the user is the token's."""
        mine = token("sender")
        with (
            Device(seenby.gateway, device="phone", token=mine) as silent,
            Device(seenby.gateway, token=mine, hello={"device_id": "pc"}) as by_header,
            Device(seenby.gateway, hello={"device_id": "tab", "token": mine}) as by_hello,
            Device(seenby.gateway, token=token("somebody"), hello={}) as other,
        ):
            by_hello.wait("welcome", lambda d: bool(d.of("welcome")))
            assert marked(seenby, token("reader")) == (200, "")
            for device in (silent, by_header, by_hello):
                device.wait_receipts(1)
            other.send({"type": "ping"})
            other.wait("pong", lambda d: bool(d.of("pong")))

        assert [frame["user_id"] for frame in by_hello.of("welcome")] == ["sender"]
        assert other.receipts == []

    def test_another_users_socket(self, seenby: Seenby) -> None:
        """A user_id that is not the token's is closed with 4403."""
        code, reason = closed(Device(seenby.gateway, "sender", token=token("somebody"), hello={}))

        assert code == 4403
        assert "user_id" in reason

    @pytest.mark.parametrize(
        ("bearer", "code"), [(token("sender", secret="x" * 32), 4401), ("nonsense", 4401)]
    )
    def test_a_token_that_does_not_hold(self, seenby: Seenby, bearer: str, code: int) -> None:
        """A token that does not hold is closed with 4401, whichever way it came."""
        assert closed(Device(seenby.gateway, token=bearer, hello={}))[0] == code
        assert closed(Device(seenby.gateway, hello={"token": bearer}))[0] == code

    def test_no_token(self, seenby: Seenby) -> None:
        """A hello without a token is closed with 4401; a silent client is not let in at all."""
        assert closed(Device(seenby.gateway, hello={}))[0] == 4401
        with pytest.raises(InvalidStatus) as refused:
            Device(seenby.gateway, "sender")

        assert refused.value.response.status_code == 401

    def test_a_token_in_the_query(self, seenby: Seenby) -> None:
        """A token in the query is refused, so that none lands in a log."""
        with pytest.raises(InvalidStatus) as refused:
            Device(f"{seenby.gateway}?token={token('sender')}")

        assert refused.value.response.status_code == 400

    def test_an_expiring_token(self, seenby: Seenby) -> None:
        """A token that expires closes its socket with 4001, after what was sent before."""
        for msg_id, seconds in (("m1", 2), ("m2", 8), ("m3", 32)):
            device = Device(seenby.gateway, token=token("sender", seconds=seconds), hello={})
            device.wait("welcome", lambda d: bool(d.of("welcome")) or d.closed is not None)
            assert marked(seenby, token("reader"), msg_id) == (200, "")
            code, reason = closed(device)
            # On a busy machine it may have expired before the mark: once more then, with more time.
            if device.receipts:
                break
        else:
            pytest.fail("no receipt came before a token expired")

        assert code == 4001
        assert "expired" in reason
        assert [receipt["msg_id"] for receipt in device.receipts] == [msg_id]

    def test_a_service_may_listen_for_anyone(self, seenby: Seenby) -> None:
        """A service's socket is the user's that it names."""
        bearer = token("backend", scope="service")
        with Device(seenby.gateway, "sender", token=bearer, hello={}) as device:
            device.wait("welcome", lambda d: bool(d.of("welcome")))
            marked(seenby, token("reader"))
            device.wait_receipts(1)

        assert device.of("welcome")[0]["user_id"] == "sender"


def test_no_token_and_no_body_is_logged(seenby: Seenby) -> None:
    """What a caller sends does not end up in the log, whatever happens with it."""
    secrets = [token("reader"), token("reader", secret="y" * 32), token("sender", seconds=-1)]
    for bearer in secrets:
        marked(seenby, bearer)
        api = Api(seenby.api, bearer)
        api.request("POST", "/api/v1/messages/read", '{"msg_id": "canary-in-a-body')
        api.close()
        with Device(seenby.gateway, hello={"token": bearer}) as device:
            with contextlib.suppress(ConnectionClosed):
                device.send_raw("canary-in-a-frame")
            device.wait("an answer", lambda d: bool(d.frames) or d.closed is not None)
    log = seenby.process.log.read_text(encoding="utf-8")

    assert "started" in log
    assert "canary" not in log
    for bearer in secrets:
        assert bearer.split(".")[2] not in log
