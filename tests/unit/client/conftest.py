"""What holds for all tests of the client."""

from __future__ import annotations

import pytest

from seenby.client import calls, client, stream, sync
from tests.servers.wait import PATIENCE


@pytest.fixture(autouse=True)
def a_busy_machine_may_take_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's limits in real seconds are for what is broken, and here nothing is.

    What a test shows of a limit it shows with one of its own, or by the clock in its hand.
    """
    monkeypatch.setattr(calls, "ANSWER_WITHIN", PATIENCE)
    monkeypatch.setattr(client, "OPEN_WITHIN", PATIENCE)
    monkeypatch.setattr(client, "LAST_MARKS_WITHIN", PATIENCE)
    monkeypatch.setattr(stream, "CLOSE_WITHIN", PATIENCE)
    monkeypatch.setattr(sync, "CLOSE_WITHIN", 2 * PATIENCE)
