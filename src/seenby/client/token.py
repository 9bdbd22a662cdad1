"""The token a client shows, and where a new one comes from when it has expired."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

Token = str | Callable[[], Awaitable[str]]
"""A token, or a coroutine function that fetches one; it is called again when one has expired."""


class Credentials:
    """Keeps the token until it is told that it has expired."""

    def __init__(self, token: Token | None) -> None:
        self._source = token
        self._token = token if isinstance(token, str) else None

    async def current(self) -> str | None:
        """The token to show; None when there is none. Raises what the source raises."""
        if self._token is None and self._source is not None and not isinstance(self._source, str):
            self._token = await self._source()
        return self._token

    def renew(self) -> bool:
        """The token has expired: fetch another at the next use. False when there is no source."""
        if self._source is None or isinstance(self._source, str):
            return False
        self._token = None
        return True
