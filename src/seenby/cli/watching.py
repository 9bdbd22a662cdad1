"""`seenby watch`: what a user's devices are told, as JSON lines or as a live view."""

from __future__ import annotations

import contextlib
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from seenby.cli.application import app
from seenby.cli.trying import GatewayOption, TokenOption, UserId, with_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seenby.cli.live import View
    from seenby.client import Client
    from seenby.client.frames import Item
    from seenby.client.stream import Notice


@app.command()
def watch(
    user: UserId,
    device: Annotated[
        str, typer.Option(help="A device whose position seenby keeps, so that nothing is missed.")
    ] = "",
    token: TokenOption = "",
    gateway: GatewayOption = "",
    count: Annotated[int, typer.Option(min=0, help="End after so many receipts; 0: never.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON lines, also where a terminal shows them.")
    ] = False,
) -> None:
    """Show what a user's devices are told as it comes: on a terminal live, elsewhere as JSON lines.

    Connects again by itself and goes on where it was.
    """

    async def follow(client: Client) -> None:
        from seenby.client import Reset  # noqa: PLC0415 -- slow to import

        left = count
        with _audience(user, lines=as_json or not sys.stdout.isatty()) as audience:
            async for item in client.receipts(notice=audience.notice):
                audience.show(item)
                left -= not isinstance(item, Reset)
                if left == 0 and count:
                    client.ack(item)
                    return

    with_client(follow, user=user, device=device, token=token, gateway=gateway)


class _Lines:
    """Tells a program: events on standard output, all else on standard error."""

    def notice(self, notice: Notice) -> None:
        """How the connection is."""
        print(in_words(notice), file=sys.stderr, flush=True)

    def show(self, item: Item) -> None:
        """What has come."""
        from seenby.client import Reset  # noqa: PLC0415 -- slow to import

        if isinstance(item, Reset):
            print("some receipts are no longer kept: load anew", file=sys.stderr, flush=True)
        else:
            print(line(item), flush=True)


@contextlib.contextmanager
def _audience(user: str, *, lines: bool) -> Iterator[_Lines | View]:
    if lines:
        yield _Lines()
        return
    from seenby.cli.live import View  # noqa: PLC0415 -- slow to import

    with View(user, clock=time.monotonic).shown() as view:
        yield view


def line(item: Item) -> str:
    """What has come, with the fields of the gateway's frame."""
    shown: dict[str, object] = {"type": TYPES[type(item).__name__]}
    for name, value in msgspec.structs.asdict(item).items():
        # What a frame leaves out: what is not known, no place in the stream, not up to here.
        if name == "epoch" or value is None or value is False or (name == "seq" and value == 0):
            continue
        if isinstance(value, datetime):
            value = int(value.timestamp())  # noqa: PLW2901 -- as frames have it
        shown["timestamp" if name == "pushed_at" else name] = value
    return msgspec.json.encode(shown).decode()


TYPES = {
    "Pushed": "read_receipt",
    "ReadCount": "read_count",
    "Withdrawn": "read_withdrawn",
    "ReadSelf": "read_self",
    "UnreadSelf": "unread_self",
}


def in_words(notice: Notice) -> str:
    """How the connection is."""
    from seenby.client import Connected  # noqa: PLC0415 -- slow to import

    if isinstance(notice, Connected):
        return "connected" + (", and gone on where it was" if notice.resumed else "")
    again = f"trying again in {notice.retry_in:.1f} s" if notice.retry_in else "trying again now"
    return f"disconnected ({notice.code}): {notice.reason}; {again}"
