"""The token a client shows, and where a new one comes from when it has expired."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

Token = str | Callable[[], Awaitable[str]]
"""A token, or a coroutine function that fetches one; it is called again when one has expired."""


class _Fetch:
    """One call of a source, which others may wait for too."""

    def __init__(self) -> None:
        self.done: asyncio.Future[str] = asyncio.get_running_loop().create_future()


_WITHIN: ContextVar[tuple[_Fetch, ...]] = ContextVar("seenby_token_fetches", default=())
"""What is being fetched by whoever runs here: a source may use another client, with a source."""


class Credentials:
    """Keeps the token until it is told that it has expired."""

    def __init__(self, token: Token | None) -> None:
        self._source = token
        self._token = token if isinstance(token, str) else None
        self._fetch: _Fetch | None = None

    async def current(self) -> str | None:
        """The token to show; None when there is none.

        Raises:
            RuntimeError: it is the source itself that asks.
            Exception: what the source raises.
        """
        source = self._source
        while self._token is None and source is not None and not isinstance(source, str):
            if self._fetch is None:
                return await self._fetched(source)
            if self._fetch in _WITHIN.get():
                raise RuntimeError(
                    "the function that fetches a client's token must not call that client: the"
                    " call would wait for the token"
                )
            # Fetching may be a login, so whoever asks meanwhile shares what comes of it.
            done = self._fetch.done
            await asyncio.wait([done])
            if not done.cancelled():
                return done.result()
        return self._token

    def renew(self, shown: str | None) -> bool:
        """A token has expired: fetch another at the next use, unless there is another already.

        Args:
            shown: the one that has expired.

        Returns:
            False when there is no source.
        """
        if self._source is None or isinstance(self._source, str):
            return False
        if self._token == shown:
            self._token = None
        return True

    async def _fetched(self, source: Callable[[], Awaitable[str]]) -> str:
        self._fetch = fetch = _Fetch()
        before = _WITHIN.set((*_WITHIN.get(), fetch))
        try:
            self._token = await source()
        except Exception as problem:
            fetch.done.set_exception(problem)
            fetch.done.exception()  # It is raised here too: nobody else need look at it.
            raise
        else:
            fetch.done.set_result(self._token)
            return self._token
        finally:
            # Who was interrupted leaves the fetching to the next.
            fetch.done.cancel()
            self._fetch = None
            _WITHIN.reset(before)
