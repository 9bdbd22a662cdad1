"""Wait for a condition on the event loop, never for a duration."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


async def eventually(condition: Callable[[], object], patience: float = 60.0) -> None:
    """Return as soon as ``condition()`` is true; asked at every turn of the loop at first.

    Raises:
        TimeoutError: it did not become true within *patience* seconds.
    """
    async with asyncio.timeout(patience):
        for _ in range(100):
            if condition():
                return
            await asyncio.sleep(0)
        while not condition():  # noqa: ASYNC110 -- any condition, so there is nothing to wait on
            await asyncio.sleep(0.001)


async def all_waiting() -> None:
    """Let every task go on until all of them wait for something outside the loop."""
    for _ in range(20):
        await asyncio.sleep(0)
