"""What goes back: answers and refusals, and the headers that they have on either road.

The application and the fast lane both write what is made here, so a caller cannot tell which of
them has answered.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from seenby.api import schemas
from seenby.errors import PositionLost, SeenbyError, http_status

if TYPE_CHECKING:
    from collections.abc import Collection

JSON = "application/json"

RETRY_AFTER = "1"
"""Seconds after which a request that could not be served now is worth another try."""


class Answer(NamedTuple):
    """What goes back; ``retry``: the same request may succeed a little later.

    ``more`` are headers of this answer alone.
    """

    body: bytes
    status: int = HTTPStatus.OK
    content_type: str = JSON
    retry: bool = False
    more: tuple[tuple[str, str], ...] = ()

    @property
    def headers(self) -> dict[str, str]:
        """The headers that are the same for every caller, in their order."""
        headers = {"Content-Type": self.content_type, "Server": "seenby", **dict(self.more)}
        if self.retry:
            headers["Retry-After"] = RETRY_AFTER
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        return headers


def refusal(error: SeenbyError) -> Answer:
    """The answer that tells of *error*."""
    more = {"epoch": error.epoch, "seq": error.seq} if isinstance(error, PositionLost) else None
    return Answer(schemas.failure(error, more), http_status(error), retry=error.retriable)


def fault() -> Answer:
    """The answer where something went wrong here: it is in the log, and nobody's business."""
    return refusal(SeenbyError("something went wrong here; it was logged"))


def cors(origin: str | None, origins: Collection[str]) -> dict[str, str]:
    """Headers that let a page of an allowed origin read the answer (Fetch standard, CORS protocol).

    Args:
        origin: the page's, as the request names it; None: it names none.
        origins: those that are allowed.
    """
    if origin is None:
        return {}
    headers = {"Vary": "Origin"}
    if origin in origins:
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = "Retry-After"
    return headers
