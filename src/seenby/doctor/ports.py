"""The ports: free, or held by a seenby that runs already, or by something else."""

from __future__ import annotations

import errno
import http.client
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from seenby.doctor.finding import Finding, error, ok
from seenby.settings import in_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seenby.settings import Settings

ANSWER_WITHIN = 2.0
"""Seconds that whoever holds a port has to say who it is."""

PROC = Path("/proc")
LISTENING = "0A"
"""The state of a socket in /proc/net/tcp."""


def look(settings: Settings) -> Iterator[Finding]:
    """Both ports."""
    api = (settings.api_host, settings.api_port)
    gateway = (settings.gateway_host, settings.gateway_port)
    if api == gateway and settings.api_port:
        yield error(
            "ports",
            f"API and gateway have the same one: {in_url(settings.api_host)}:{settings.api_port}",
            "set SEENBY_API_PORT or SEENBY_GATEWAY_PORT to another",
        )
        return
    yield _port("API", *api)
    yield _port("GATEWAY", *gateway)


def _port(which: Literal["API", "GATEWAY"], host: str, port: int) -> Finding:
    check = f"{'API' if which == 'API' else 'gateway'} port"
    where = f"{in_url(host)}:{port}"
    try:
        _bind(host, port)
    except socket.gaierror as problem:
        return error(check, f"{host} is no address: {problem.strerror}", _host(which))
    except OSError as problem:
        match problem.errno:
            case errno.EADDRINUSE:
                return _taken(which, check, host, port)
            case errno.EADDRNOTAVAIL:
                return error(check, f"{host} is no address of this machine", _host(which))
            case errno.EACCES:
                found = f"port {port} needs rights that this user has not"
                return error(check, found, f"set SEENBY_{which}_PORT to 1024 or more")
            case _:
                return error(check, f"{where} cannot be listened on: {problem}", _host(which))
    return ok(check, f"{where} is free" if port else "a free one is taken")


def _host(which: str) -> str:
    return f"set SEENBY_{which}_HOST to an address of this machine, or to 0.0.0.0 for all of them"


def _bind(host: str, port: int) -> None:
    """Take the port for a moment; raises OSError when that cannot be done."""
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        try:
            probe = socket.socket(family, kind, protocol)
        except OSError:
            continue  # A kind of address that this machine has not.
        with probe:
            # As a server does: connections of the last run that linger are no hindrance.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(address)


def _taken(which: str, check: str, host: str, port: int) -> Finding:
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- compared
    where = f"{in_url(host)}:{port}"
    if _is_seenby(reachable, port):
        return ok(check, f"{where} is held by a seenby that runs and answers /health")
    who = _holder(port)
    by = f" by {who}" if who else ""
    return error(
        check,
        f"{where} is taken{by}, and that is no seenby",
        f"end it, or set SEENBY_{which}_PORT to another",
    )


def _is_seenby(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_WITHIN)
    try:
        connection.request("GET", "/health")
        answer: object = json.loads(connection.getresponse().read(1000))
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()
    return answer == {"status": "alive"}


def _holder(port: int) -> str:
    """The name and id of the process that listens on *port*; "" where that cannot be known."""
    sockets = {f"socket:[{inode}]" for inode in _listening(port)}
    if not sockets:
        return ""
    for process in PROC.glob("[0-9]*"):
        try:
            for file in (process / "fd").iterdir():
                if str(file.readlink()) in sockets:
                    name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
                    return f"{name} (process {process.name})"
        except OSError:
            continue  # Another user's, or it has ended meanwhile.
    return ""


def _listening(port: int) -> Iterator[str]:
    """The inodes of the sockets that listen on *port* (proc(5), /proc/net/tcp)."""
    for table in ("tcp", "tcp6"):
        try:
            lines = (PROC / "net" / table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]
