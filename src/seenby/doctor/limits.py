"""How many files this process may open: each socket is one."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

from seenby.doctor.finding import Finding, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seenby.settings import Settings

CHECK = "open files"

FEW = 10_000
"""Below so many open files a gateway is soon full."""


def look(_settings: Settings) -> Iterator[Finding]:
    """The limit that seenby raises its own to when it starts."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield about(None if hard == resource.RLIM_INFINITY else hard)


def about(most: int | None) -> Finding:
    """What that limit (None: none) means."""
    if most is None or most >= FEW:
        return ok(CHECK, "as many as wanted" if most is None else f"up to {most:,}")
    return warning(
        CHECK,
        f"up to {most:,}: a gateway has about as many sockets at the most",
        "raise the hard limit: ulimit -Hn, LimitNOFILE= in systemd, or --ulimit nofile= in Docker",
    )
