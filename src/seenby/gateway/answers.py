"""What the gateway's port answers that is no WebSocket: health, readiness, metrics, refusals."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from picows import WSUpgradeResponse, WSUpgradeResponseWithListener

from seenby.errors import NotFound, SeenbyError, http_status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from seenby.metrics import Metrics


def page(path: str, ready: Mapping[str, bool], metrics: Metrics) -> WSUpgradeResponseWithListener:
    """The answer to a plain GET of *path*; *ready* says what must hold to be ready, by name."""
    match path:
        case "/health":
            return _json(200, {"status": "alive"})
        case "/ready":
            whole = all(ready.values())
            return _json(200 if whole else 503, {"ready": whole, **ready})
        case "/metrics":
            return _response(200, *metrics.render())
        case _:
            return refused(NotFound("here are /ws, /health, /ready, /metrics"))


def to_others(
    answer: Callable[[str, str], bytes], query: str, authorization: str
) -> WSUpgradeResponseWithListener:
    """The answer to another process of seenby."""
    try:
        return _response(200, answer(query, authorization), "application/json")
    except SeenbyError as error:
        return refused(error)


def refused(error: SeenbyError) -> WSUpgradeResponseWithListener:
    """The answer to a request, or a handshake, that cannot be served."""
    document = {"success": False, "error": error.told, "code": error.code}
    return _json(http_status(error), document)


def _json(status: int, document: dict[str, Any]) -> WSUpgradeResponseWithListener:
    return _response(status, msgspec.json.encode(document), "application/json")


def _response(status: int, body: bytes, content_type: str) -> WSUpgradeResponseWithListener:
    headers = {"Content-Type": content_type}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "1"
    if status == HTTPStatus.OK:
        response = WSUpgradeResponse.create_ok_response(body, headers)
    else:
        response = WSUpgradeResponse.create_error_response(status, body, headers)
    return WSUpgradeResponseWithListener(response, None)
