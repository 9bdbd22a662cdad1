"""The client as an application meets it."""

from __future__ import annotations

from typing import Any

import pytest

from seenby.client import Client
from seenby.errors import BadInput


def test_what_cannot_be_is_refused_before_anything_is_connected() -> None:
    """In a sentence that names the argument."""
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"user_id": ""}, "user_id"),
        ({"user_id": "two words"}, "user_id"),
        ({"user_id": "u", "device_id": "x" * 65}, "device_id"),
        ({"user_id": "u", "api": "localhost:8080"}, "api"),
        ({"user_id": "u", "api": "ws://localhost"}, "api"),
        ({"user_id": "u", "gateway": "http://localhost/ws"}, "gateway"),
        ({"user_id": "u", "gateway": "ws:///ws"}, "gateway"),
    ]
    for arguments, name in wrong:
        with pytest.raises(BadInput) as problem:
            Client(**arguments)
        assert problem.value.field == name


async def test_a_client_that_is_not_open_says_so() -> None:
    """Forgetting `async with` is the commonest slip."""
    client = Client(user_id="user123")
    with pytest.raises(RuntimeError, match="async with"):
        client.receipts()
    with pytest.raises(RuntimeError, match="async with"):
        await client.mark(msg_id="m1", sender_id="user456", conversation_id="c1")


async def test_nothing_is_connected_before_it_is_needed() -> None:
    """Opening and closing a client asks nobody for anything."""
    async with Client(user_id="user123", gateway="ws://127.0.0.1:1/ws") as client:
        assert client.position is None
