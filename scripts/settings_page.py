#!/usr/bin/env python3
"""Prints docs/settings.md, made from the settings themselves; `make docs` writes the page."""

from __future__ import annotations

import sys

from seenby.settings import Variable, variables

HEAD = """\
# Settings

<!-- Written by scripts/settings_page.py: change src/seenby/settings.py, then `make docs`. -->

Every setting is an environment variable, read once at the start. `seenby settings` prints this
list too. Not one of them must be set to try seenby out; [Deploy](deploy.md) shows what a real
installation sets.

- An unknown `SEENBY_...` name is refused at the start, with the nearest known name. Names that
  Kubernetes makes for a Service (`SEENBY_API_PORT=tcp://...`) are skipped with a warning.
- A wrong value is refused with the form it must have; the value itself is never repeated.
- An empty value counts as not set.
"""

SECTIONS = {
    "KAFKA_BROKERS": """\
Kafka

These names carry no prefix: other programs that share the topic use the same ones.
Others that begin with `KAFKA_` are not looked at; one that is nearly a name of the second table is
warned of.""",
    "KAFKA_SECURITY_PROTOCOL": """\
Kafka with TLS and a login

[The guide](howto/kafka-security.md) sets them one after the other.""",
    "SEENBY_DATABASE_URL": "Where things are",
    "SEENBY_AUTH": """\
Who may

Exactly one of the four `SEENBY_JWT_...` keys (secret, secret file, key file, address) is set with
`SEENBY_AUTH=jwt`.""",
    "SEENBY_EVENT_RETENTION": "How much, how long",
    "SEENBY_LOG_FORMAT": "What it says",
}
"""What stands above a setting that begins a new section."""

TABLE = "| variable | default | what it is for | must be |\n|---|---|---|---|\n"


def page() -> str:
    """The whole page."""
    text = HEAD
    for variable in variables():
        if variable.name in SECTIONS:
            text += f"\n## {SECTIONS[variable.name]}\n\n{TABLE}"
        text += row(variable)
    return text


def row(variable: Variable) -> str:
    """One setting as a row of its table."""
    cells = (
        f"`{variable.name}`",
        default(variable.default),
        variable.description,
        variable.accepted,
    )
    escaped = (cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells)
    return "| " + " | ".join(escaped) + " |\n"


def default(value: object) -> str:
    """A default as one would set it; nothing where there is none."""
    if value in {None, "", ()}:
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    sys.stdout.write(page())
