"""Calls of the API: one request, tried again as long as that can help.

Whatever is called does no harm when it is done twice: an answer that was lost on the way may be
asked for again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar
from urllib.parse import urlencode

import aiohttp
import msgspec
from yarl import URL

from seenby.errors import (
    BadInput,
    Mismatch,
    Overloaded,
    PositionLost,
    Refused,
    SeenbyError,
    TokenExpired,
    TooLarge,
    Unreachable,
)

if TYPE_CHECKING:
    from seenby.client.pace import Pace
    from seenby.client.token import Credentials

T = TypeVar("T")

Query = Mapping[str, str | int | list[str] | None]

ATTEMPTS = 6
"""How often one call is tried: with the waits between, six to seven seconds at most."""

FIRST_WAIT = 0.2
LONGEST_WAIT = 5.0

LONGEST_RETRY_AFTER = 30.0
"""Who is told to come back later than this is told so, instead of being kept waiting."""

ANSWER_WITHIN = 10.0
"""Seconds for one attempt."""


class _Failure(msgspec.Struct):
    code: str = ""
    error: str = ""


_decode_failure = msgspec.json.Decoder(_Failure).decode


class Calls:
    """Calls one API.

    Args:
        http: not closed here.
        api: its address.
        credentials: whose token is shown.
        pace: for the waits.
    """

    def __init__(
        self, http: aiohttp.ClientSession, api: str, credentials: Credentials, pace: Pace
    ) -> None:
        self._http = http
        self._api = str(URL(api))
        self._credentials = credentials
        self._pace = pace

    async def call(
        self,
        answer: type[T],
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Mapping[str, object] | None = None,
        within: float | None = None,
        attempts: int = ATTEMPTS,
    ) -> T:
        """What the API answers.

        Args:
            answer: the form of the answer.
            method: of HTTP.
            path: below the API's address, quoted.
            query: parameters; those that are None are left out, a list is one for each of it.
            body: becomes a JSON object.
            within: seconds for one attempt; None: ANSWER_WITHIN.
            attempts: how often it is tried.

        Raises:
            Refused: one of its kinds says why; nothing was done.
            StoreUnavailable, Overloaded, Draining: seenby could not do it, in any attempt.
            Unreachable: no attempt was answered; it may have been done.
        """
        url = f"{self._api}{path}"
        if query is not None:
            given = {name: value for name, value in query.items() if value is not None}
            url = f"{url}?{urlencode(given, doseq=True)}"
        text = None if body is None else msgspec.json.encode(body)
        request = _Request(answer, method, url, text, within or ANSWER_WITHIN)
        renewed = False
        failures = 0
        while True:
            token = await self._credentials.current()
            try:
                return await self._attempt(request, token)
            except _Failed as failed:
                error, retry_after = failed.error, failed.retry_after
            if isinstance(error, TokenExpired) and not renewed and self._credentials.renew(token):
                renewed = True
                continue
            failures += 1
            if not error.retriable or failures >= attempts or retry_after > LONGEST_RETRY_AFTER:
                raise error
            wait = self._pace.jittered(failures - 1, first=FIRST_WAIT, most=LONGEST_WAIT)
            await self._pace.sleep(retry_after + wait)

    async def _attempt(self, request: _Request[T], token: str | None) -> T:
        headers = {} if request.body is None else {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        try:
            async with self._http.request(
                request.method,
                URL(request.url, encoded=True),
                data=request.body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=request.within),
                allow_redirects=False,
            ) as response:
                text = await response.read()
                status, retry_after = response.status, response.headers.get("Retry-After", "")
        except (aiohttp.ClientError, TimeoutError, OSError) as problem:
            raise _Failed(
                Unreachable(f"the API at {request.url} cannot be reached: {why(problem)}")
            ) from problem
        failure = _Failure()
        try:
            if status == HTTPStatus.OK:
                return msgspec.json.decode(text, type=request.answer)
            failure = _decode_failure(text)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass  # It was not the API that answered.
        sentence = failure.error or f"the API at {request.url} answered with status {status}"
        raise _Failed(_error(failure.code, sentence, status), _seconds(retry_after))


class _Request(NamedTuple, Generic[T]):
    """One request, as it is sent in every attempt."""

    answer: type[T]
    method: str
    url: str
    body: bytes | None
    within: float


class _Failed(Exception):  # noqa: N818 -- never leaves this module
    """One attempt failed; the next may follow after *retry_after* seconds."""

    def __init__(self, error: SeenbyError, retry_after: float = 0.0) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after = retry_after


def _seconds(retry_after: str) -> float:
    """Retry-After in seconds; its other form, a date, is not used by seenby (RFC 9110, 10.2.3)."""
    return float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.0


def why(problem: Exception) -> str:
    """What a library's error means, in as few words as there are."""
    if isinstance(problem, aiohttp.ClientConnectorDNSError):
        return problem.os_error.strerror or str(problem)
    if type(problem) is aiohttp.ClientConnectorError and (problem.errno or 0) > 0:
        # Its own words are about names, addresses and TLS that have been told, or are not used.
        return os.strerror(problem.errno or 0)
    return str(problem) or type(problem).__name__


def _kinds(of: type[SeenbyError]) -> dict[str, type[SeenbyError]]:
    found = {of.code: of}
    for kind in of.__subclasses__():
        found |= _kinds(kind)
    return found


def error_of(code: str, sentence: str) -> SeenbyError:
    """The error of that code; a refusal like any other for a code that is not known."""
    return _known(code, sentence) or Refused(sentence)


def _known(code: str, sentence: str) -> SeenbyError | None:
    kind = _kinds(SeenbyError).get(code)
    if kind is BadInput or kind is Mismatch:
        return _about_a_field(kind, sentence)
    return kind(sentence) if kind is not None and kind is not PositionLost else None


def _error(code: str, sentence: str, status: int) -> SeenbyError:
    """The error that an answer tells: by its code, else (a proxy's answer) by its status."""
    known = _known(code, sentence)
    if known is not None:
        return known
    match status:
        case HTTPStatus.TOO_MANY_REQUESTS:
            return Overloaded(sentence)
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return TooLarge(sentence)
        case HTTPStatus.BAD_GATEWAY | HTTPStatus.SERVICE_UNAVAILABLE | HTTPStatus.GATEWAY_TIMEOUT:
            return Unreachable(sentence)
        case _ if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return Refused(sentence)
        case _:
            return SeenbyError(sentence)


def _about_a_field(kind: type[BadInput | Mismatch], sentence: str) -> Refused:
    """An error whose sentence was built from a field's name: it is so again."""
    field, _, accepted = sentence.partition(" must be ")
    if not accepted:
        return Refused(sentence)
    return BadInput(field, accepted) if kind is BadInput else Mismatch(field)
