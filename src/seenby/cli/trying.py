"""The commands to try things out with: token, mark, bench; and what they share with watch."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer

from seenby import config
from seenby.cli.application import FAILED, app
from seenby.errors import BadInput
from seenby.settings import in_url

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from seenby.client import Client

UserId = Annotated[str, typer.Argument(help="The user's id.", metavar="USER")]
TokenOption = Annotated[
    str,
    typer.Option(
        "--token", help="The token to show, or @FILE with it. Needed where authentication is on."
    ),
]
ApiOption = Annotated[
    str,
    typer.Option(
        "--api",
        help="The API's address. Default: from SEENBY_API_HOST and SEENBY_API_PORT.",
        show_default=False,
    ),
]
GatewayOption = Annotated[
    str,
    typer.Option(
        "--gateway",
        help="The gateway's address. Default: from SEENBY_GATEWAY_URL, or _HOST and _PORT.",
        show_default=False,
    ),
]
Over = Literal["http", "batch", "socket"]


@app.command()
def token(
    user: Annotated[str, typer.Argument(help="The user it is for.", metavar="USER")] = "",
    service: Annotated[
        bool, typer.Option("--service", help="May act for anyone (scope `service`).")
    ] = False,
    hours: Annotated[float, typer.Option(min=0.001, help="For how long it holds.")] = 1.0,
) -> None:
    """Make a token (JWT) for trying out, signed with SEENBY_JWT_SECRET.

    Real tokens come from whoever signs your users in.
    """
    from seenby.auth import SERVICE, make_token  # noqa: PLC0415 -- slow to import

    if not user and not service:
        raise BadInput("USER", "given, or --service")
    print(
        make_token(
            config.load(),
            user_id=user,
            scope=SERVICE if service else "",
            ttl=hours * 3600,
            now=time.time(),
        )
    )


@app.command()
def mark(
    msg_id: Annotated[str, typer.Argument(help="The message that was read.", metavar="MESSAGE")],
    reader: Annotated[str, typer.Option(help="Who has read it.")],
    sender: Annotated[
        str, typer.Option(help="Who had sent it; not needed for a registered message.")
    ] = "",
    conversation: Annotated[
        str, typer.Option(help="Where; for a group, the group's id. Not needed either.")
    ] = "",
    group: Annotated[bool, typer.Option("--group", help="The conversation is a group.")] = False,
    device: Annotated[str, typer.Option(help="The reader's device.")] = "",
    token: TokenOption = "",
    api: ApiOption = "",
) -> None:
    """Mark a message as read, and print the receipt."""

    async def record(client: Client) -> None:
        receipt = await client.mark(
            msg_id=msg_id,
            sender_id=sender or None,
            conversation_id=conversation or None,
            conversation_type="group" if group else "private",
        )
        print(msgspec.json.encode(receipt).decode())

    with_client(record, user=reader, device=device, token=token, api=api)


@app.command()
def bench(
    over: Annotated[
        Over, typer.Option(help="Marks one by one over HTTP, in batches, or over sockets.")
    ] = "http",
    connections: Annotated[
        int, typer.Option(min=1, max=10_000, help="Connections that mark.")
    ] = 100,
    rate: Annotated[
        float,
        typer.Option(
            min=0,
            max=1_000_000,
            help="Marks per second; 0: each as soon as the one before is answered.",
        ),
    ] = 0,
    seconds: Annotated[float, typer.Option(min=1, max=600, help="For how long to load.")] = 10,
    senders: Annotated[
        int, typer.Option(min=1, max=100_000, help="Users whose messages are marked.")
    ] = 500,
    devices: Annotated[
        int, typer.Option(min=1, max=100, help="Sockets that listen for each sender.")
    ] = 1,
    no_sockets: Annotated[
        bool, typer.Option("--no-sockets", help="Nobody listens: only answers are measured.")
    ] = False,
    batch_size: Annotated[
        int, typer.Option(min=1, max=1000, help="Marks in one request with --over batch.")
    ] = 100,
    token: Annotated[
        str,
        typer.Option(
            envvar="SEENBY_BENCH_TOKEN",
            help="A token with the scope `service`, or @FILE with it. Needed where authentication "
            "is on.",
        ),
    ] = "",
    tag: Annotated[
        str, typer.Option(help="What message ids begin with; default: new in each run.")
    ] = "",
    api: ApiOption = "",
    gateway: GatewayOption = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON line when ready, and one at the end.")
    ] = False,
    owned: Annotated[
        bool,
        typer.Option("--i-own-this-server", help="Lets load go to another machine than this one."),
    ] = False,
) -> None:
    """Load a deployment with marks, and measure how fast each is answered and delivered.

    Ends with 1 when a mark was not recorded, or a delivery is missing, doubled or out of order.
    """
    from seenby.bench.command import measure  # noqa: PLC0415 -- slow to import

    settings = config.load()
    report = measure(
        api=api or f"http://{in_url(settings.api_host)}:{settings.api_port}",
        gateway=gateway or settings.gateway_url,
        over=over,
        connections=connections,
        rate=rate,
        seconds=seconds,
        senders=senders,
        devices=0 if no_sockets else devices,
        batch_size=batch_size,
        token=_token(token),
        tag=tag,
        as_json=as_json,
        owned=owned,
    )
    if not report.all_well:
        raise typer.Exit(FAILED)


def with_client(
    work: Callable[[Client], Coroutine[Any, Any, None]],
    *,
    user: str,
    device: str,
    token: str,
    api: str = "",
    gateway: str = "",
) -> None:
    """Do *work* with a client; addresses come from the settings unless they are given."""
    from seenby.client import Client  # noqa: PLC0415 -- slow to import

    settings = config.load()

    async def run() -> None:
        async with Client(
            user_id=user,
            device_id=device,
            token=_token(token),
            api=api or f"http://{in_url(settings.api_host)}:{settings.api_port}",
            gateway=gateway or settings.gateway_url,
        ) as client:
            await work(client)

    asyncio.run(run())


def _token(text: str) -> str | None:
    if not text.startswith("@"):
        return text or None
    try:
        return Path(text[1:]).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise BadInput(
            "--token", f"a token, or @FILE with a file that can be read ({error})"
        ) from None
