"""Marking over HTTP: one request, tried again as long as that can help.

Marks are idempotent (the first read wins), so an answer that was lost on the way may be asked for
again without harm.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp
import msgspec

from seenby.errors import (
    BadInput,
    Overloaded,
    PositionLost,
    Refused,
    SeenbyError,
    TokenExpired,
    Unreachable,
)
from seenby.inputs import PublicReceipt

if TYPE_CHECKING:
    from seenby.client.pace import Pace
    from seenby.client.token import Credentials

ATTEMPTS = 6
"""How often one mark is tried: with the waits between, six to seven seconds at most."""

FIRST_WAIT = 0.2
LONGEST_WAIT = 5.0

LONGEST_RETRY_AFTER = 30.0
"""Who is told to come back later than this is told so, instead of being kept waiting."""

ANSWER_WITHIN = 10.0
"""Seconds for one attempt."""


Receipt = PublicReceipt
"""The recorded fact: reader read message at time."""


class _Answer(msgspec.Struct):
    success: bool
    receipt: Receipt | None = None
    code: str = ""
    error: str = ""


_decode = msgspec.json.Decoder(_Answer).decode


class Marks:
    """Sends marks to one API.

    Args:
        http: not closed here.
        url: of the endpoint.
        credentials: whose token is shown.
        pace: for the waits.
    """

    def __init__(
        self, http: aiohttp.ClientSession, url: str, credentials: Credentials, pace: Pace
    ) -> None:
        self._http = http
        self._url = url
        self._credentials = credentials
        self._pace = pace

    async def record(self, mark: dict[str, str]) -> Receipt:
        """Record a mark; returns its receipt, or the first one if it is a repeat.

        Raises:
            Refused: one of its kinds says why; the mark was not recorded.
            StoreUnavailable, Overloaded, Draining: seenby could not record it, in any attempt.
            Unreachable: no attempt was answered; the mark may have been recorded.
        """
        body = msgspec.json.encode(mark)
        renewed = False
        failures = 0
        while True:
            try:
                return await self._attempt(body)
            except _Failed as failed:
                error, retry_after = failed.error, failed.retry_after
            if isinstance(error, TokenExpired) and not renewed and self._credentials.renew():
                renewed = True
                continue
            failures += 1
            if not error.retriable or failures >= ATTEMPTS or retry_after > LONGEST_RETRY_AFTER:
                raise error
            wait = self._pace.jittered(failures - 1, first=FIRST_WAIT, most=LONGEST_WAIT)
            await self._pace.sleep(retry_after + wait)

    async def _attempt(self, body: bytes) -> Receipt:
        headers = {"Content-Type": "application/json"}
        token = await self._credentials.current()
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        try:
            async with self._http.post(
                self._url,
                data=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN),
                allow_redirects=False,
            ) as response:
                text = await response.read()
                status, retry_after = response.status, response.headers.get("Retry-After", "")
        except (aiohttp.ClientError, TimeoutError, OSError) as problem:
            raise _Failed(
                Unreachable(f"the API at {self._url} cannot be reached: {_why(problem)}")
            ) from problem
        try:
            answer = _decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError):
            answer = _Answer(success=False)
        if answer.success and answer.receipt is not None:
            return answer.receipt
        sentence = answer.error or f"the API at {self._url} answered with status {status}"
        raise _Failed(_error(answer.code, sentence, status), _seconds(retry_after))


class _Failed(Exception):  # noqa: N818 -- never leaves this module
    """One attempt failed; the next may follow after *retry_after* seconds."""

    def __init__(self, error: SeenbyError, retry_after: float = 0.0) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after = retry_after


def _seconds(retry_after: str) -> float:
    """Retry-After in seconds; its other form, a date, is not used by seenby (RFC 9110, 10.2.3)."""
    return float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.0


def _why(problem: Exception) -> str:
    return str(problem) or type(problem).__name__


def _kinds(of: type[SeenbyError]) -> dict[str, type[SeenbyError]]:
    found = {of.code: of}
    for kind in of.__subclasses__():
        found |= _kinds(kind)
    return found


def _error(code: str, sentence: str, status: int) -> SeenbyError:
    """The error that an answer tells: by its code, else (a proxy's answer) by its status."""
    kind = _kinds(SeenbyError).get(code)
    if kind is BadInput:
        field, _, accepted = sentence.partition(" must be ")
        return BadInput(field, accepted) if accepted else Refused(sentence)
    if kind is not None and kind is not PositionLost:
        return kind(sentence)
    match status:
        case HTTPStatus.TOO_MANY_REQUESTS:
            return Overloaded(sentence)
        case HTTPStatus.BAD_GATEWAY | HTTPStatus.SERVICE_UNAVAILABLE | HTTPStatus.GATEWAY_TIMEOUT:
            return Unreachable(sentence)
        case _ if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return Refused(sentence)
        case _:
            return SeenbyError(sentence)
