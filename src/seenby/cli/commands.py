"""All commands, in the order of the help."""

from __future__ import annotations

import inspect

from seenby.cli import parts  # noqa: F401 -- adds its commands; the order is that of the help

# isort: split
from seenby.cli import databases, doctoring, erasing, trying, watching  # noqa: F401 -- as above
from seenby.cli.application import app, epoch_app, topic_app

__all__ = ["app"]


def _explain() -> None:
    """Let the help break its lines where the terminal ends, not where the source's do."""
    for part in (app, topic_app, epoch_app):
        for command in part.registered_commands:
            paragraphs = (inspect.getdoc(command.callback) or "").split("\n\n")
            command.help = "\n\n".join(" ".join(each.split()) for each in paragraphs)


_explain()
