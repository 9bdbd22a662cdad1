"""Free ports for servers that are restarted on the same port.

The kernel's own choice (port 0) comes from the range it also gives to outgoing connections. While
a server is down, a client that keeps trying to reach it there can be given that very port as its
own, connect to itself, and block the restart. So ports are drawn from below that range.

Between the choice of a port and its use lie seconds, and a killed server comes back to its own:
so that no other worker, nor another run on this machine, takes it meanwhile, each process has
blocks of ports to itself. A block is taken by a UDP socket on its first number, which lasts as long
as the process; the servers speak TCP.
"""

from __future__ import annotations

import atexit
import random
import socket
from pathlib import Path

LOWEST = 15_000
BLOCK = 32
EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
EPHEMERAL_LOW_DEFAULT = 32_768  # Linux's default; macOS starts higher

_left: list[int] = []


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on now, given by this function only once.

    A stranger may still take it before the server binds it: who starts a server tries again with
    another port then.
    """
    while True:
        if not _left:
            _left.extend(_block())
        port = _left.pop()
        if _bindable(port):
            return port


def _block() -> list[int]:
    """Ports that no other process of tests is given while this one lives."""
    count = (_ephemeral_low() - LOWEST) // BLOCK
    for number in random.sample(range(count), count):
        first = LOWEST + number * BLOCK
        taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            taken.bind(("127.0.0.1", first))
        except OSError:
            taken.close()
            continue
        atexit.register(taken.close)
        ports = list(range(first, first + BLOCK))
        random.shuffle(ports)
        return ports
    raise OSError(f"all ports from {LOWEST} on are taken")


def _ephemeral_low() -> int:
    try:
        low = int(EPHEMERAL_RANGE.read_text(encoding="ascii").split()[0])
    except OSError:
        return EPHEMERAL_LOW_DEFAULT
    return low if low >= LOWEST + BLOCK else EPHEMERAL_LOW_DEFAULT


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
