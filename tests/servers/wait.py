"""Wait for a condition, never for a duration."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PAUSE = 0.05

PATIENCE = 60.0
"""Seconds after which waiting for a server is given up: one that shares two cores with five others
now and then needs ten for what takes it half a second alone. Who waits in vain fails later, that
is all."""


def wait_until(what: str, condition: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Return as soon as ``condition()`` is true.

    Args:
        what: The condition in words: "the broker answers".
        condition: Asked again and again, every 50 ms.
        patience: Seconds after which waiting is given up.

    Raises:
        TimeoutError: The condition did not become true in time.
    """
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {patience} s in vain until {what}")
        time.sleep(PAUSE)
