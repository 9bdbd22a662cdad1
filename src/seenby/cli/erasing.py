"""The command that erases a person."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from seenby import config, inputs
from seenby.cli.application import FAILED, app
from seenby.errors import BadInput

if TYPE_CHECKING:
    from seenby.cli.progress import Work
    from seenby.store.erasing import Erasure

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
        shown = _Shown(work)
        while not store.erasing.step(user, limit=PIECE):
            if work.shown and (erasure := store.erasing.begun(user)):
                shown.step(erasure)
    print(f"{user} is erased")


def _can_ask() -> bool:
    return sys.stdin.isatty()


class _Shown:
    """Shows how far it is, part by part.

    Receipts are read by their ids, up to the highest one there was at the beginning. The other
    parts are short, but for the events: those are read by user, and to count them beforehand would
    be to read the whole table once more. So there is no total of those.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._what = ""
        self._pieces = 0
        self._first: int | None = None

    def step(self, erasure: Erasure) -> None:
        """One more piece is done, and the next one begins here."""
        from seenby.store.erasing import Stage  # noqa: PLC0415 -- slow to import

        stage, number = erasure.stage, erasure.number
        if stage is Stage.RECEIPTS:
            # The first piece leads to the oldest receipt, whose id may be any.
            if not number:
                return
            self._first = first = self._first or number
            total = max(int(erasure.place), number) - first
            self._work.at("erasing, receipts", number - first, total)
            return
        words = {Stage.LEAVING: "conversations", Stage.LATE: "latest receipts"}
        what = f"erasing, {words.get(stage, stage.name.lower())}, pieces"
        self._pieces = self._pieces + 1 if what == self._what else 0
        self._what = what
        self._work.at(what, self._pieces, None)
