"""The command line itself: one typer application that the other modules add commands to."""

from __future__ import annotations

from typing import Annotated

import typer

from seenby import __version__

FAILED = 1
MISUSED = 2
app = typer.Typer(
    name="seenby",
    help="Read receipts: who read which message, recorded once, pushed to every device of the "
    "sender. Settings are environment variables: see `seenby settings`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
topic_app = typer.Typer(help="The Kafka topics.", no_args_is_help=True)
epoch_app = typer.Typer(help="The epoch in which seqs count.", no_args_is_help=True)
app.add_typer(topic_app, name="topic")
app.add_typer(epoch_app, name="epoch")


@app.callback(invoke_without_command=True)
def version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Options before any command."""
    if version:
        print(__version__)
        raise typer.Exit
