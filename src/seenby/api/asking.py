"""Asks the other processes what only they know; none of them can hold an answer up for long.

Only addresses that stand in our own database are called, with the ticket that stands beside them,
and no answer leads to another address.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, hdrs
from yarl import URL

from seenby.nodes import ASKED_AT, AT, USER, Told

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from seenby.store.inspecting import Node

WITHIN = 2.0
"""Seconds that a process has to answer."""

ANSWER_MAX = 16 * 1024 * 1024
"""Bytes of an answer that are read."""

LOST_MS = 60_000
"""A process whose row is older has gone without a word, and is not asked."""


class Answered(NamedTuple):
    """What a process has told; None, and why, where it has not."""

    node: Node
    told: Told | None
    why: str = ""


class Asking:
    """Asks processes, all at the same time."""

    def __init__(self, *, within: float = WITHIN) -> None:
        """Nothing is opened before it is needed."""
        self._within = within
        self._session: ClientSession | None = None

    async def close(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()

    async def ask(
        self, nodes: Sequence[Node], *, users: Collection[str], times: Collection[int]
    ) -> list[Answered]:
        """What each of *nodes* knows of these users' sessions, and of the commits of these times.

        Within a bounded time, whether they answer or not.
        """
        query = [(USER, user_id) for user_id in users] + [(AT, str(at)) for at in times]
        return await asyncio.gather(*(self._ask(node, query) for node in nodes))

    async def _ask(self, node: Node, query: list[tuple[str, str]]) -> Answered:
        if node.unseen_ms > LOST_MS:
            return Answered(node, None, "it was not seen for a while")
        try:
            async with asyncio.timeout(self._within):
                return Answered(node, await self._answer(node, query))
        except TimeoutError:
            return Answered(node, None, f"it did not answer within {self._within:g} s")
        except (ClientError, OSError):
            return Answered(node, None, "it cannot be reached")
        except (msgspec.MsgspecError, ValueError):
            return Answered(node, None, "its answer cannot be understood")

    async def _answer(self, node: Node, query: list[tuple[str, str]]) -> Told:
        if self._session is None:
            self._session = ClientSession(
                cookie_jar=DummyCookieJar(), timeout=ClientTimeout(total=self._within)
            )
        url = URL(node.url + ASKED_AT).update_query(query)
        headers = {hdrs.AUTHORIZATION: f"Bearer {node.ticket}"}
        request = self._session.get(url, headers=headers, allow_redirects=False)
        async with request as response:
            response.raise_for_status()
            body = bytearray()
            async for piece in response.content.iter_any():
                body += piece
                if len(body) > ANSWER_MAX:
                    raise ValueError("too long")
        return msgspec.json.decode(bytes(body), type=Told)
