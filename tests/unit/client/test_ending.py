"""What the end of a connection means."""

from __future__ import annotations

import pytest

from seenby.client.ending import LOST, NO_CODE, Ending


@pytest.mark.parametrize(
    ("code", "at_once", "final"),
    [
        (1000, False, False),
        (1001, False, False),
        (NO_CODE, False, False),
        (LOST, False, False),
        (1002, False, False),
        (1003, False, True),
        (1007, False, True),
        (1009, False, True),
        (1012, False, False),
        (1013, False, False),
        (3999, False, False),
        (4000, True, False),
        (4008, True, False),
        (4099, True, False),
        (4100, False, False),
        (4399, False, False),
        (4400, False, True),
        (4401, False, True),
        (4499, False, True),
        (4500, False, False),
    ],
)
def test_the_contracts_ranges(code: int, *, at_once: bool, final: bool) -> None:
    """Contract, section 3: 4000-4099 come back, 4400-4499 do not; nor after unusable frames."""
    ending = Ending(code, "")
    assert (ending.at_once, ending.final) == (at_once, final)
