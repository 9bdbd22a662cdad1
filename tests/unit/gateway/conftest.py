"""Tests of what waits run on a loop whose time leaps: half a minute passes in no time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class LeapingLoop(asyncio.SelectorEventLoop):
    """A loop whose clock stands still while there is work, and leaps to the next timer else.

    For code that waits for nothing outside the loop.
    """

    def __init__(self) -> None:
        super().__init__()
        self._now = 1000.0
        self._clock_resolution = 1e-9
        selector: Any = self._selector  # type: ignore[attr-defined]
        select = selector.select

        def leap(timeout: float | None = None) -> Any:
            ready = select(0)
            if not ready and timeout:
                self._now += timeout
            return ready

        selector.select = leap

    def time(self) -> float:
        """Seconds of its own."""
        return self._now


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The only loop here."""
    return {"leaping": LeapingLoop}
