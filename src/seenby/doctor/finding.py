"""What was found, how bad it is, and what to do."""

from __future__ import annotations

from typing import Literal

import msgspec

Level = Literal["ok", "warning", "error"]


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at.

    Attributes:
        check: what was looked at, in a word or two.
        level: ``error``: seenby does not start, or does not work; ``warning``: it does, and
            something may be lost, slow or open to others.
        found: what was found, for a person.
        todo: what to do about it, such as a command or a setting; "" where there is nothing.
    """

    check: str
    level: Level
    found: str
    todo: str = ""


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", found)


def warning(check: str, found: str, todo: str) -> Finding:
    """It works, but."""
    return Finding(check, "warning", found, todo)


def error(check: str, found: str, todo: str) -> Finding:
    """It does not work."""
    return Finding(check, "error", found, todo)
