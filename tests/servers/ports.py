"""Free ports for servers that are restarted on the same port.

The kernel's own choice (port 0) comes from the range it also gives to outgoing connections. While
a server is down, a client that keeps trying to reach it there can be given that very port as its
own, connect to itself, and block the restart. So ports are drawn from below that range.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path

LOWEST = 15_000
EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
EPHEMERAL_LOW_DEFAULT = 32_768  # Linux's default; macOS starts higher

_given: set[int] = set()


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on now, never given twice by this process.

    Another process may still take it before the server binds it: who starts a server tries again
    with another port then.
    """
    while True:
        port = random.randrange(LOWEST, _ephemeral_low())
        if port not in _given and _bindable(port):
            _given.add(port)
            return port


def _ephemeral_low() -> int:
    try:
        low = int(EPHEMERAL_RANGE.read_text(encoding="ascii").split()[0])
    except OSError:
        return EPHEMERAL_LOW_DEFAULT
    return low if low > LOWEST else EPHEMERAL_LOW_DEFAULT


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
