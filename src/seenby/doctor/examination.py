"""The whole examination: every check in order, each on its own, and no secret in what is told."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

import msgspec
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from seenby import config
from seenby.doctor import database, kafka, limits, pages, ports, tokens
from seenby.doctor.finding import Finding, error, ok, warning
from seenby.settings import variables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from seenby.settings import Settings


SECRET_MIN = 6
"""Characters from which on a secret is looked for in what is told."""


class Check(NamedTuple):
    """One part of the examination.

    Attributes:
        name: what is looked at.
        look: looks.
        needs: how the variables begin that must be right for it.
    """

    name: str
    look: Callable[[Settings], Iterator[Finding]]
    needs: tuple[str, ...]


CHECKS = (
    Check("database", database.look, ("SEENBY_DATABASE_URL",)),
    Check("Kafka", kafka.look, ("KAFKA_", "READ_RECEIPT_", "SEENBY_TOPIC_")),
    Check("ports", ports.look, ("SEENBY_API_HOST", "SEENBY_API_PORT", "SEENBY_GATEWAY_")),
    Check("tokens", tokens.look, ("SEENBY_AUTH", "SEENBY_JWT_", "SEENBY_INSECURE")),
    Check("origins", pages.look, ("SEENBY_ALLOWED_ORIGINS", "SEENBY_GATEWAY_URL")),
    Check("open files", limits.look, ()),
)


def examine(
    environ: Mapping[str, str] | None = None, checks: tuple[Check, ...] = CHECKS
) -> Iterator[Finding]:
    """Look at everything that *environ* (default: the process's environment) sets up.

    Whatever is wrong is told, never raised; what cannot be looked at because of a wrong setting is
    told too.
    """
    settings, problems = config.read(environ)
    hidden = _secrets(settings)
    for found in _settings(settings, problems):
        yield _without(hidden, found)
    wrong = {name for problem in problems for name in _named(problem)}
    for check in checks:
        bad = sorted(name for name in wrong if name.startswith(check.needs)) if check.needs else []
        if bad:
            todo = f"put right {', '.join(bad)}, and run this again"
            yield warning(check.name, "not looked at: its settings are wrong", todo)
            continue
        for found in _safely(check, settings):
            yield _without(hidden, found)


def _safely(check: Check, settings: Settings) -> Iterator[Finding]:
    try:
        yield from check.look(settings)
    except Exception as problem:  # noqa: BLE001 -- the other checks are still to come
        why = f"could not be looked at: {type(problem).__name__}: {problem}"
        yield error(check.name, why, "this is a fault of seenby's: please report it")


def _settings(settings: Settings, problems: list[str]) -> Iterator[Finding]:
    for problem in problems:
        yield error("settings", problem, "every setting and its form: seenby settings")
    for sentence in settings.warnings:
        yield warning("settings", sentence, "leave it so if that is meant")
    if not problems and not settings.warnings:
        yield ok("settings", "fit together")


def _named(problem: str) -> Iterator[str]:
    """The settings that a sentence speaks of."""
    for variable in variables():
        if re.search(rf"\b{variable.name}\b", problem):
            yield variable.name


def _secrets(settings: Settings) -> list[str]:
    """What must never be told, in every form in which a driver may repeat it; longest first."""
    secrets = [settings.jwt_secret, settings.sasl_password, settings.kafka_key_password]
    with contextlib.suppress(ArgumentError, ValueError):
        secrets.append(make_url(settings.database_url).password or "")
    forms = {form for secret in secrets for form in (secret, quote(secret), quote(secret, safe=""))}
    # A shorter one stands in many words that do not tell it.
    return sorted((form for form in forms if len(form) >= SECRET_MIN), key=len, reverse=True)


def _without(secrets: list[str], found: Finding) -> Finding:
    """What was found may have the words of others; what to do has only ours."""
    text = found.found
    for secret in secrets:
        text = text.replace(secret, "***")
    return msgspec.structs.replace(found, found=text)
