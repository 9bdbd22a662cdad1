"""What an opening handshake may ask for."""

from __future__ import annotations

from typing import Any

import pytest
from multidict import CIMultiDict

from seenby.errors import BadInput, Forbidden, Unauthenticated
from seenby.gateway.handshake import Opening, asks_for_upgrade, read_opening

ORIGINS = frozenset({"http://chat.example"})


def read(query: str, *, token_required: bool = False, **headers: Any) -> Opening:
    """Read a handshake; headers by their names with underscores."""
    named = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return read_opening(query, named, origins=ORIGINS, token_required=token_required)


@pytest.mark.parametrize(
    ("query", "headers", "opening"),
    [
        ("user_id=u", {}, Opening(True, "u", "", None)),
        ("user_id=u&device_id=d&part=3", {}, Opening(True, "u", "d", None)),
        ("user_id=a%2Bb", {}, Opening(True, "a+b", "", None)),
        ("user_id=u", {"sec_websocket_protocol": "x, seenby.v1"}, Opening(False, "u", "", None)),
        ("user_id=u", {"sec_websocket_protocol": "seenby.v2"}, Opening(True, "u", "", None)),
        ("user_id=u", {"authorization": "bearer  t"}, Opening(True, "u", "", "t")),
        ("user_id=u", {"authorization": "Basic t"}, Opening(True, "u", "", None)),
        ("user_id=u", {"authorization": "Bearer "}, Opening(True, "u", "", None)),
        ("user_id=u", {"origin": "http://chat.example"}, Opening(True, "u", "", None)),
    ],
)
def test_what_a_client_asks_for(query: str, headers: dict[str, Any], opening: Opening) -> None:
    """Who, from which device, silent or not, with which token."""
    assert read(query, **headers) == opening


@pytest.mark.parametrize(
    ("query", "headers", "error"),
    [
        ("", {}, BadInput),
        ("user_id=", {}, BadInput),
        ("user_id=a&user_id=a", {}, BadInput),
        ("user_id=a%0a", {}, BadInput),
        ("user_id=a+b", {}, BadInput),
        ("user_id=" + "a" * 65, {}, BadInput),
        ("user_id=a&token=", {}, BadInput),
        ("user_id=a", {"origin": "http://chat.example:81"}, Forbidden),
        ("user_id=a", {"origin": ""}, Forbidden),
    ],
)
def test_what_is_refused(query: str, headers: dict[str, Any], error: type[Exception]) -> None:
    """With the field or the setting in the sentence."""
    with pytest.raises(error):
        read(query, **headers)


def test_with_authentication_the_token_names_the_user() -> None:
    """A silent client has it in its header; another may say it in hello."""
    v1: dict[str, Any] = {"sec_websocket_protocol": "seenby.v1"}
    assert read("", token_required=True, **v1) == Opening(False, "", "", None)
    assert read("", token_required=True, authorization="Bearer t") == Opening(True, "", "", "t")
    with pytest.raises(Unauthenticated):
        read("user_id=u", token_required=True)


@pytest.mark.parametrize(
    ("header", "asks"),
    [("Upgrade", True), ("keep-alive, Upgrade", True), ("keep-alive", False), ("", False)],
)
def test_an_upgrade_may_be_one_of_several(header: str, asks: bool) -> None:
    """Firefox says ``keep-alive, Upgrade``."""
    assert asks_for_upgrade(header) is asks
