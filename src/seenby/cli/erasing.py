"""The command that erases a person."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Annotated

import typer

from seenby import config, inputs
from seenby.cli.application import FAILED, app
from seenby.errors import BadInput

PIECE = 1000
"""Rows that are changed in one transaction, at most: marks are written in between."""


@app.command()
def erase(
    user: Annotated[str, typer.Argument(help="The user's id.", metavar="USER")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether that is meant.")] = False,
) -> None:
    """Erase a person: receipts, stream, devices, settings, memberships, and the name elsewhere.

    Cannot be undone. Their messages stay, sent by (erased). Safe while seenby runs, and may be
    ended and begun again: the rest is done. Stop the person's tokens first.
    """
    from seenby.cli.progress import progress  # noqa: PLC0415 -- slow to import
    from seenby.store.schema import require_current  # noqa: PLC0415 -- as above
    from seenby.store.sql import open_store  # noqa: PLC0415 -- as above

    user = inputs.user_id(user, "USER")
    url = config.load().database_url
    require_current(url)
    if not yes:
        if not _can_ask():
            raise BadInput("--yes", "given where nobody can be asked: this cannot be undone")
        if not typer.confirm(f"Erase {user}? This cannot be undone.", err=True):
            print("nothing is erased", file=sys.stderr)
            raise typer.Exit(FAILED)
    with contextlib.closing(open_store(url)) as store, progress("erasing, pieces") as work:
        store.erasing.ask(user, now=int(time.time() * 1000))
        while not store.erasing.step(user, limit=PIECE):
            work.advance()
    print(f"{user} is erased")


def _can_ask() -> bool:
    return sys.stdin.isatty()
