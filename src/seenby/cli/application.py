"""The command line itself: one typer application that the other modules add commands to."""

from __future__ import annotations

from typing import Annotated, Literal

import typer
from typer.completion import (
    get_completion_inspect_parameters,
    install_callback,
    show_callback,
)

from seenby import __version__

FAILED = 1
MISUSED = 2
app = typer.Typer(
    name="seenby",
    help="Read receipts: who read which message, recorded once, pushed to every device of the "
    "sender. Settings are environment variables: see `seenby settings`.",
    no_args_is_help=True,
    # Typer's own options guess the shell, and fail where they cannot: ours are told.
    add_completion=False,
    pretty_exceptions_enable=False,
)
topic_app = typer.Typer(help="The Kafka topics.", no_args_is_help=True)
epoch_app = typer.Typer(help="The epoch in which seqs count.", no_args_is_help=True)
app.add_typer(topic_app, name="topic")
app.add_typer(epoch_app, name="epoch")


Shell = Literal["bash", "zsh", "fish"]

get_completion_inspect_parameters()  # Makes typer answer the shells that ask.


@app.callback(invoke_without_command=True)
def version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    install_completion: Annotated[  # noqa: ARG001 -- the callback does it
        Shell | None,
        typer.Option(
            help="Let this shell complete commands and options from its next start on.",
            callback=install_callback,
        ),
    ] = None,
    show_completion: Annotated[  # noqa: ARG001 -- the callback does it
        Shell | None,
        typer.Option(
            help="Print the script that does so, for a place of your own.",
            callback=show_callback,
        ),
    ] = None,
) -> None:
    """Options before any command."""
    if version:
        print(__version__)
        raise typer.Exit


def counted(number: int, thing: str) -> str:
    """So many of them, in words."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
