"""Each test here runs on uvloop, as in production, and on asyncio's own loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import uvloop

from tests.contract.gateway.running import Running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loops, by the names that stand in the tests' ids."""
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    """A gateway that listens, with authentication off."""
    running = Running(tmp_path, authenticator=None, session_bytes=256 * 1024)
    await running.start()
    yield running
    await running.stop()
