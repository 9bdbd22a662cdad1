"""Who may call: the keys that check tokens, and what is open to everyone."""

from __future__ import annotations

import stat
from http.client import HTTPException
from typing import TYPE_CHECKING

from seenby import keys
from seenby.config import is_loopback
from seenby.doctor.finding import Finding, error, ok, warning
from seenby.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from seenby.settings import Settings

CHECK = "tokens"

LEEWAY_MIN = 1.0
"""Seconds by which two clocks that are kept right may well differ."""


def look(settings: Settings) -> Iterator[Finding]:
    """The keys, where there are tokens; else whether that is safe."""
    if settings.auth == "off":
        yield _without_tokens(settings)
        return
    algorithms = " or ".join(settings.jwt_algorithms)
    if settings.jwt_jwks_url:
        yield _fetched(settings.jwt_jwks_url, settings.jwt_algorithms)
    elif settings.jwt_secret:
        yield ok(CHECK, f"are checked with a shared secret ({algorithms})")
        if settings.jwt_secret_file is not None:
            yield from _readable_by_others(settings.jwt_secret_file)
    else:
        try:
            key = keys.from_pem(settings.jwt_key, settings.jwt_algorithms, "SEENBY_JWT_KEY_FILE")
        except ConfigError as problem:
            todo = "set it to the public key of whoever signs the tokens, or change the algorithms"
            yield error(CHECK, str(problem), todo)
        else:
            yield ok(CHECK, f"are checked with a public key ({key.algorithm})")
    if settings.jwt_leeway < LEEWAY_MIN:
        yield warning(
            CHECK,
            f"SEENBY_JWT_LEEWAY is {settings.jwt_leeway:g} s: clocks that differ by more refuse "
            "tokens that are good",
            "set SEENBY_JWT_LEEWAY to some seconds; 10 is the default",
        )
    if not settings.jwt_issuer and not settings.jwt_audience:
        yield warning(
            CHECK,
            "any token that this key has signed lets in, also one meant for something else",
            "set SEENBY_JWT_AUDIENCE or SEENBY_JWT_ISSUER, if that key signs for others too",
        )


def _without_tokens(settings: Settings) -> Finding:
    open_to_others = [
        f"{name} ({host})"
        for name, host in (
            ("SEENBY_API_HOST", settings.api_host),
            ("SEENBY_GATEWAY_HOST", settings.gateway_host),
        )
        if not is_loopback(host)
    ]
    if not open_to_others:
        return ok(CHECK, "are not asked for; only this machine reaches the ports")
    found = f"are not asked for, and others reach the ports: {', '.join(open_to_others)}"
    todo = "set SEENBY_AUTH=jwt and a key, or listen on 127.0.0.1"
    return warning(CHECK, found, todo) if settings.insecure else error(CHECK, found, todo)


def _fetched(url: str, algorithms: tuple[str, ...]) -> Finding:
    try:
        found = keys.read_set(keys.fetched(url), algorithms)
    except (OSError, HTTPException, ValueError) as problem:
        why = f"the keys at {url} cannot be fetched: {problem}"
        return error(CHECK, why, "see that SEENBY_JWT_JWKS_URL can be reached from here")
    if not found:
        return error(
            CHECK,
            f"the set of keys at {url} has none for {' or '.join(algorithms)}",
            "set SEENBY_JWT_ALGORITHMS to what the issuer signs with: RS256, ES256 or both",
        )
    kinds = ", ".join(sorted({key.algorithm for _, key in found}))
    return ok(CHECK, f"are checked with keys from {url} ({len(found)}: {kinds})")


def _readable_by_others(path: Path) -> Iterator[Finding]:
    if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        yield warning(
            CHECK,
            f"others than its owner may read {path}, and who has the secret makes any token",
            f"chmod 600 {path}",
        )
