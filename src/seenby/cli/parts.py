"""The commands that start API and gateway."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import uvloop

from seenby import __version__, config, logs
from seenby.cli.application import app
from seenby.settings import in_url

if TYPE_CHECKING:
    from seenby.node import Role, Running
    from seenby.settings import Settings


@app.command()
def serve() -> None:
    """Start API and gateway in one process.

    With no setting at all: the API on http://127.0.0.1:8080, the gateway on
    ws://127.0.0.1:8081/ws, an SQLite file in the current folder, and no Kafka. The database is
    brought up to date first. Ends in order on SIGTERM and Ctrl-C.
    """
    _run("serve")


@app.command()
def api() -> None:
    """Start an API: takes marks over HTTP, records and publishes them.

    As many as wanted may run on one database. It must be up to date: see `seenby migrate`.
    """
    _run("api")


@app.command()
def gateway() -> None:
    """Start a gateway: pushes receipts over WebSocket to the devices of their senders.

    As many as wanted may run on one database and topic, without knowing of each other.
    """
    _run("gateway")


def _run(role: Role) -> None:
    from seenby import node  # noqa: PLC0415 -- the other commands need none of it

    settings = config.load()
    logs.set_up(settings)

    def tell(running: Running) -> None:
        if settings.log_format != "json":
            print(_what_runs(role, settings, running), flush=True)

    uvloop.run(node.run(settings, role, on_ready=tell))


def _what_runs(role: Role, settings: Settings, running: Running) -> str:
    """What runs where, and what to try next."""
    lines = ["", f"seenby {__version__} {role} is ready"]
    lines += [f"  API       {running.api_url}"] if running.api_url else []
    lines += [f"  gateway   {running.gateway_url}"] if running.gateway_url else []
    lines += [f"  database  {running.database}", f"  bus       {running.bus}"]
    lines += ["  callers   " + ("anyone" if settings.auth == "off" else "who has a token (JWT)")]
    command = "seenby" if shutil.which("seenby") else sys.argv[0]
    if role == "serve" and settings.auth == "off":
        # Another terminal knows nothing of the settings of this one.
        usual = config.load({})
        api = f"http://{in_url(usual.api_host)}:{usual.api_port}"
        at_api = "" if running.api_url == api else f" --api {running.api_url}"
        at_gateway = (
            "" if running.gateway_url == usual.gateway_url else f" --gateway {running.gateway_url}"
        )
        who = "--reader user456 --sender user123 --conversation conv789"
        lines += [
            "",
            "Try it: watch as the sender in a second terminal,",
            f"  {command} watch user123{at_gateway}",
            "and mark a message as read in a third:",
            f"  {command} mark msg-123 {who}{at_api}",
        ]
    else:
        names = ("watch", "mark", "token")
        lines += ["", "Try it: " + ", ".join(f"{command} {name} --help" for name in names)]
    return "\n".join([*lines, "Ctrl-C ends it.", ""])
