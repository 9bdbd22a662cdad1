"""Reads what a client asks for in its opening handshake; no socket here."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import msgspec

from seenby.auth import bearer
from seenby.errors import BadInput, Forbidden, Unauthenticated
from seenby.gateway import frames
from seenby.model import DEVICE_ID_MAX, USER_ID_MAX

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from multidict import MutableMultiMapping


class Opening(msgspec.Struct, frozen=True):
    """A client that may come in: ``silent`` without the subprotocol, ``token`` from the header."""

    silent: bool
    user_id: str
    device_id: str
    token: str | None


def read_opening(
    query: str, headers: Mapping[str, str], *, origins: Collection[str], token_required: bool
) -> Opening:
    """Check an opening handshake to ``/ws``.

    Args:
        query: the raw query string.
        headers: by any spelling of their names.
        origins: what browsers may connect from; a client without an Origin is no browser.
        token_required: authentication is on.

    Raises:
        BadInput: a query parameter is missing, doubled or of the wrong form.
        Forbidden: the origin is not allowed (RFC 6455, section 10.2).
        Unauthenticated: a silent client without a token where one is required.
    """
    origin = headers.get("Origin")
    if origin is not None and origin not in origins:
        raise Forbidden("this origin may not connect; SEENBY_ALLOWED_ORIGINS names those that may")
    parameters = parse_qs(query, keep_blank_values=True)
    if "token" in parameters or "access_token" in parameters:
        raise BadInput("token", "sent in the Authorization header or in hello, never in the query")
    user_id = _id("user_id", parameters, USER_ID_MAX)
    device_id = _id("device_id", parameters, DEVICE_ID_MAX)
    offered = headers.get("Sec-WebSocket-Protocol", "").split(",")
    silent = frames.SUBPROTOCOL not in (name.strip() for name in offered)
    token = bearer(headers.get("Authorization", ""))
    if token_required:
        if silent and token is None:
            raise Unauthenticated("a token is needed in the Authorization header")
    elif not user_id:
        raise BadInput("user_id", "given in the query: /ws?user_id=...&device_id=...")
    return Opening(silent, user_id, device_id, token)


def join_lines(headers: MutableMultiMapping[str]) -> None:
    """Make one line of a header that lists things and came in several (RFC 9110, section 5.3)."""
    for name in ("Connection", "Sec-WebSocket-Protocol"):
        lines = headers.getall(name, ())
        if len(lines) > 1:
            headers[name] = ", ".join(lines)


def asks_for_upgrade(connection: str) -> bool:
    """Whether a Connection header lists ``Upgrade`` (Firefox says ``keep-alive, Upgrade``)."""
    return "upgrade" in (option.strip().lower() for option in connection.split(","))


def _id(name: str, parameters: Mapping[str, list[str]], longest: int) -> str:
    values = parameters.get(name, [""])
    value = values[0]
    printable = all("\x21" <= character <= "\x7e" for character in value)
    if len(values) > 1 or len(value) > longest or not printable:
        raise BadInput(name, f"given once, with at most {longest} printable ASCII characters")
    return value
