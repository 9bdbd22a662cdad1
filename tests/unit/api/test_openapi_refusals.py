"""Every refusal that the description names at an address is one that this address gives."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest

from seenby.api.descriptions.openapi import refusals_of
from seenby.api.descriptions.operations import OPERATIONS
from seenby.errors import KeysUnavailable, SeenbyError, StoreRefused, StoreUnavailable
from tests.unit.api.conftest import BACKEND, chatting
from tests.unit.api.good_requests import BY_NAME, Asked, a_chat, everything, good

if TYPE_CHECKING:
    from collections.abc import Callable

    from seenby.api.descriptions.operation import Operation
    from tests.unit.api.conftest import Api

DESCRIBED = [
    (operation.name, kind.code)
    for operation in OPERATIONS
    for kinds in refusals_of(operation).values()
    for kind in kinds
    # What goes wrong unforeseen has no request that leads to it where nobody is asked.
    if not (operation.public and kind is SeenbyError)
]

NO_TOKEN = {"unauthenticated": "", "token_expired": "old", "forbidden": "eve's"}

BAD_QUERY = {
    "receipts": "msg_id=",
    "unread_counts": "user_id=",
    "unread": "user_id=bob&limit=0",
    "missed": "after=x",
    "gateway": "user_id=",
    "node": "&".join(f"at={number}" for number in range(101)),
}

OWN: dict[tuple[str, str], Callable[[Asked], Asked]] = {
    # What leads to a refusal that not every address has.
    ("mark", "not_found"): lambda asked: asked,
    ("mark", "conflict"): lambda asked: asked.but(sender_id="cid"),
    ("mark", "own_message"): lambda asked: asked.but(sender_id="bob"),
    ("mark", "mismatch"): lambda asked: asked.but(msg_id="m2", conversation_id="c1", sender_id="x"),
    ("withdraw", "not_found"): lambda asked: asked.but(msg_id="m2"),
    ("withdraw", "too_late"): lambda asked: asked,
    ("read_conversation", "not_found"): lambda asked: asked.but(up_to_msg_id="m9"),
    ("put_conversation", "conflict"): lambda asked: asked.but(type="private"),
    ("conversation", "not_found"): lambda asked: asked.but(path="/api/v1/conversations/c2"),
    ("members", "not_found"): lambda asked: asked.but(path="/api/v1/conversations/c2/members"),
    ("change_members", "not_found"): lambda asked: asked.but(
        path="/api/v1/conversations/c2/members", conversation_id=None
    ),
    ("register", "not_found"): lambda asked: asked.but(conversation_id="c2"),
    ("register", "conflict"): lambda asked: asked.but(msg_id="m1", sender_id="bob"),
    ("receipts", "not_found"): lambda asked: asked.but(query="msg_id=m9&unread=true"),
    ("receipts", "forbidden"): lambda asked: asked.but(query="msg_id=m1&user_id=bob"),
    ("missed", "reset"): lambda asked: asked.but(query="after=99&epoch=x"),
    ("sign_off", "not_found"): lambda asked: asked.but(path="/api/v1/users/bob/devices/tablet"),
    ("prefer", "refused"): lambda asked: asked,
}


def wrong(operation: Operation) -> Asked:
    """A request whose form is wrong."""
    asked = good(operation)
    if operation.name in BAD_QUERY:
        return asked.but(query=BAD_QUERY[operation.name])
    if operation.body is not None:
        return asked._replace(json=[])
    return asked.but(path=operation.path.replace("{", "%20").replace("}", ""))


def raising(error: Exception) -> Callable[..., Any]:
    """What fails whenever it is waited for."""

    async def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def prepare(api: Api, patch: pytest.MonkeyPatch, code: str) -> None:
    """Let the inside be such that it refuses with this code, where a request alone does not."""
    match code:
        case "keys_unavailable":
            patch.setattr(api.tokens, "authenticate", raising(KeysUnavailable("no keys")))
        case "internal":
            patch.setattr(api.tokens, "authenticate", raising(RuntimeError("a bug")))
        case "store_unavailable" | "store_refused":
            error = StoreUnavailable if code == "store_unavailable" else StoreRefused
            for way in ("read", "write"):
                patch.setattr(api.threads, way, raising(error("as it was told")))
        case "draining":
            patch.setattr(api.recorder, "_closing", True)
        case "too_many":
            patch.setattr("seenby.recorder.MAX_WAITING", 0)
        case "refused":
            patch.setattr("seenby.chat.WISHES_MAX", 0)


async def asked_for(api: Api, name: str, code: str) -> tuple[int, Any]:
    """The answer to the request that leads to this refusal."""
    operation = BY_NAME[name]
    asked = good(operation)
    if (name, code) in OWN:
        asked = OWN[name, code](asked)
    token = NO_TOKEN.get(code, BACKEND)
    match code:
        case "unsupported_media_type":
            return await api.call(asked.method, asked.path, data=b"{}", token=token)
        case "too_large":
            long = io.BytesIO(b" " * (operation.body_max * 1024 + 1))
            headers = {"Content-Type": "application/json"}
            return await api.call(asked.method, asked.path, data=long, headers=headers, token=token)
        case "bad_request":
            asked = wrong(operation)
            token = api.ticket if name == "node" else token
    return await api.call(asked.method, asked.path, json=asked.json, token=token)


@pytest.mark.parametrize(("name", "code"), DESCRIBED)
async def test_a_refusal_is_given(
    database: str, monkeypatch: pytest.MonkeyPatch, name: str, code: str
) -> None:
    """There is a request that this address answers with this code, at the status described."""
    rules: dict[str, Any] = {}
    if (name, code) == ("mark", "not_found"):
        rules = {"accept_unregistered": False}
    if code == "too_late":
        rules = {"unread_window_ms": -1}
    async with chatting(database, **rules) as chat, everything(chat) as api:
        await a_chat(api)
        if (name, code) == ("mark", "conflict"):
            await api.good("POST", "/api/v1/messages/read", json=good(BY_NAME[name]).json)
        with monkeypatch.context() as patch:
            prepare(api, patch, code)
            status, document = await asked_for(api, name, code)
        statuses = {
            kind.code: number
            for number, kinds in refusals_of(BY_NAME[name]).items()
            for kind in kinds
        }
        assert (status, document["code"]) == (statuses[code], code)
