"""The close codes are an API: clients decide by their range, people read the reason."""

from __future__ import annotations

import pytest

from seenby.errors import (
    BadInput,
    Forbidden,
    KeysUnavailable,
    SeenbyError,
    StoreUnavailable,
    TokenExpired,
    Unauthenticated,
)
from seenby.gateway import disconnect
from seenby.gateway.disconnect import Disconnect, for_error

TABLE = {name: value for name, value in vars(disconnect).items() if isinstance(value, Disconnect)}


@pytest.mark.parametrize("name", sorted(TABLE))
def test_a_reason_fits_a_close_frame(name: str) -> None:
    """123 bytes at most, and never empty (RFC 6455, section 5.5)."""
    assert 0 < len(TABLE[name].reason.encode()) <= 123


@pytest.mark.parametrize("name", sorted(TABLE))
def test_the_range_says_whether_to_come_back_and_so_does_the_reason(name: str) -> None:
    """Contract, section 3: 4000-4099 and 1013 reconnect, 4400-4499 do not."""
    code, reason = TABLE[name]
    comes_back = 4000 <= code < 4100 or code == 1013
    assert comes_back or 4400 <= code < 4500
    assert ("reconnect" in reason) is comes_back


def test_the_codes_of_the_contract() -> None:
    """Drain, token expired, slow consumer; bad frame, unauthenticated, too many."""
    assert disconnect.DRAIN.code == 4000
    assert disconnect.EXPIRED.code == 4001
    assert disconnect.SLOW.code == 4008
    assert disconnect.BAD_FRAMES.code == 4400
    assert disconnect.NO_TOKEN.code == 4401
    assert disconnect.TOO_MANY.code == 4429


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TokenExpired("x"), 4001),
        (Unauthenticated("x"), 4401),
        (Forbidden("x"), 4403),
        (BadInput("user_id", "given"), 4400),
        (StoreUnavailable("x"), 1013),
        (KeysUnavailable("x"), 1013),
        (SeenbyError("x"), 4400),
    ],
)
def test_every_error_has_a_code(error: SeenbyError, code: int) -> None:
    """What may succeed later is told to come back."""
    assert for_error(error).code == code


def test_a_long_sentence_is_cut_between_characters() -> None:
    """Never within one."""
    reason = for_error(Unauthenticated("é" * 100)).reason
    assert reason == "é" * 61
