"""`seenby bench` without its command line: checks what is asked, and runs it."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

import uvloop

from seenby.bench.report import Document, Terminal
from seenby.bench.run import Over, Plan, new_tag, run
from seenby.bench.target import target
from seenby.errors import BadInput

if TYPE_CHECKING:
    from seenby.bench.report import Report

_TAG = re.compile(r"[A-Za-z0-9._-]{1,40}", re.ASCII)
_TOKEN = re.compile(r"[\x21-\x7e]+")


def measure(
    *,
    api: str,
    gateway: str,
    over: Over,
    connections: int,
    rate: float,
    seconds: float,
    senders: int,
    devices: int,
    batch_size: int,
    token: str | None,
    tag: str,
    as_json: bool,
    owned: bool,
) -> Report:
    """Run what the command line asks for, and tell; see `seenby bench --help`.

    Raises:
        BadInput: a value has another form, or the server is another machine and not *owned*.
        Unreachable: API or gateway does not let us in.
    """
    if tag and not _TAG.fullmatch(tag):
        raise BadInput("--tag", "1 to 40 letters, digits, dots, underscores and hyphens")
    if token is not None and not _TOKEN.fullmatch(token):
        raise BadInput("--token", "printable ASCII characters without spaces")
    plan = Plan(
        api=target("--api", api, scheme="http", owned=owned),
        gateway=target("--gateway", gateway, scheme="ws", owned=owned),
        over=over,
        connections=connections,
        rate=rate,
        seconds=seconds,
        senders=senders,
        devices=devices,
        batch_size=batch_size,
        token=token,
        tag=tag or new_tag(),
    )
    if as_json:
        return uvloop.run(run(plan, Document()))
    with contextlib.closing(Terminal()) as terminal:
        return uvloop.run(run(plan, terminal))
