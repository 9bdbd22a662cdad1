"""The tree of errors, as drawn and as it is, and what it means to those who ask over HTTP."""

from __future__ import annotations

import re

import pytest

from seenby import errors
from seenby.errors import (
    HTTP_STATUS,
    BadInput,
    PositionLost,
    Refused,
    SeenbyError,
    StoreRefused,
    StoreUnavailable,
    http_status,
)

ALL = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, SeenbyError)
]
NEVER_ANSWERED = {"ConfigError", "SchemaError", "Unreachable", "BadEvent", "SeenbyError"}
"""At the start, on the client's side, on the bus, or a fault of ours: a 500 if they ever were."""


def made(kind: type[SeenbyError]) -> SeenbyError:
    """One of that kind."""
    if kind is BadInput:
        return BadInput("msg_id", "short")
    if kind is PositionLost:
        return PositionLost("lost", epoch="e", seq=1)
    return kind("a sentence")


def test_the_drawn_tree_is_the_real_one() -> None:
    """A reader who looks at the docstring sees every error under its parent."""
    assert errors.__doc__ is not None
    drawn: dict[str, str] = {}
    above: list[str] = ["SeenbyError"]
    for line in errors.__doc__.splitlines():
        found = re.fullmatch(r"    ((?:│   |    )*)[├└]── (\w+) +\S.*", line)
        if found is not None:
            depth = len(found[1]) // 4 + 1
            above[depth:] = [found[2]]
            drawn[found[2]] = above[depth - 1]
    real = {kind.__name__: kind.__bases__[0].__name__ for kind in ALL if kind is not SeenbyError}
    assert drawn == real


def test_each_error_has_a_code_of_its_own() -> None:
    """Clients go by it, so it is one stable word for one thing."""
    codes = [kind.code for kind in ALL]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z_]+", code) for code in codes)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("bad_request", 400),
        ("unauthenticated", 401),
        ("token_expired", 401),
        ("forbidden", 403),
        ("not_found", 404),
        ("method_not_allowed", 405),
        ("conflict", 409),
        ("reset", 410),
        ("too_large", 413),
        ("unsupported_media_type", 415),
        ("own_message", 422),
        ("too_many", 429),
        ("store_unavailable", 503),
    ],
)
def test_the_contracts_statuses(code: str, status: int) -> None:
    """Contract, sections 1 and 4."""
    [kind] = [kind for kind in ALL if kind.code == code]
    assert http_status(made(kind)) == status


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_has_a_status_that_fits_it(kind: type[SeenbyError]) -> None:
    """The caller's fault is a 4xx, what may pass is a 429 or 503, and only ours is a 500."""
    status = http_status(made(kind))
    if issubclass(kind, Refused):
        assert 400 <= status < 500
        assert not kind.retriable
    elif kind.__name__ in NEVER_ANSWERED:
        assert kind not in HTTP_STATUS
        assert status == 500
    else:
        assert status in ({429, 503} if kind.retriable else {500})


def test_a_bad_field_is_named_in_one_sentence() -> None:
    """Built from the field and the accepted form; nothing of the value is ever in it."""
    problem = BadInput("msg_id", "1 to 64 characters")
    assert str(problem) == "msg_id must be 1 to 64 characters"
    assert (problem.field, problem.accepted) == ("msg_id", "1 to 64 characters")


@pytest.mark.parametrize("kind", [StoreUnavailable, StoreRefused])
def test_a_drivers_words_are_not_told(kind: type[SeenbyError]) -> None:
    """They name hosts, tables and values: the log has them, a caller has not."""
    problem = kind("the database said: can't connect to server on 'db.internal'")
    assert "db.internal" in str(problem)
    assert "database" in problem.told
    assert "db.internal" not in problem.told


def test_a_sentence_is_told_as_it_is() -> None:
    """Every other error is made for the caller."""
    assert BadInput("msg_id", "given").told == "msg_id must be given"
