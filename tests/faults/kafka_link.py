"""A TCP link to a Kafka broker that refuses one produce request, and lets the next one pass.

So it goes when a partition gets its leader back between two requests that are under way together.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

PRODUCE = 0
LIKE_THIS = range(9, 13)
"""Versions of a produce request's answer that look as the one below."""

NOT_LEADER_OR_FOLLOWER = 6
"""Kafka's number for it; whoever is told so asks again."""


class Link:
    """Carries requests and answers between clients and one broker.

    Args:
        broker: host:port, as the broker names itself; ``self.broker`` leads over the link.
    """

    def __init__(self, broker: str) -> None:
        self._server = _place(broker)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.broker = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.refused = threading.Event()
        self._topic = ""
        self._refusal: bytes | None = None
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End all connections, and take no new ones."""
        _end(self._listener, *self._ends)
        for thread in self._threads:
            thread.join(10)
        for end in (self._listener, *self._ends):
            end.close()

    def refuse(self, topic: str) -> None:
        """Refuse the next produce request, which is for partition 0 of *topic*.

        The broker never sees it. The answer goes out when the request behind it has come:
        ``self.refused`` says that the first is here.
        """
        self._topic = topic

    def _start(self, work: Callable[..., None], *ends: socket.socket) -> None:
        thread = threading.Thread(target=work, args=ends)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._ends += [client, server]
                self._start(self._requests, client, server)
                self._start(self._answers, client, server)

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while message := _message(client):
                api, version, number = struct.unpack(">hhi", message[:8])
                if api == PRODUCE and self._topic:
                    assert version in LIKE_THIS, version
                    self._refusal, self._topic = _refusal(number, self._topic.encode()), ""
                    self.refused.set()
                    continue
                if api == PRODUCE and self._refusal:
                    _send(client, self._refusal)
                    self._refusal = None
                _send(server, message)
        _end(server)

    def _answers(self, client: socket.socket, server: socket.socket) -> None:
        """Where brokers are named, the link is."""
        own, other = (
            host.encode() + struct.pack(">i", port)
            for host, port in (_place(self.broker), self._server)
        )
        with contextlib.suppress(OSError):
            while message := _message(server):
                _send(client, message.replace(other, own))
        _end(client)


def _place(broker: str) -> tuple[str, int]:
    host, _, port = broker.rpartition(":")
    return host, int(port)


def _end(*ends: socket.socket) -> None:
    """Wakes whoever reads there; a socket that is merely closed does not."""
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _message(end: socket.socket) -> bytes:
    """The next one, without its length; nothing when the connection has ended."""
    head = end.recv(4, socket.MSG_WAITALL)
    if len(head) < 4:
        return b""
    size: int = struct.unpack(">i", head)[0]
    return end.recv(size, socket.MSG_WAITALL)


def _send(end: socket.socket, message: bytes) -> None:
    end.sendall(struct.pack(">i", len(message)) + message)


def _refusal(number: int, topic: bytes) -> bytes:
    """The answer to a produce request for partition 0 of a topic: no leader here."""
    no_place = -1
    partition = struct.pack(
        ">ihqqq", 0, NOT_LEADER_OR_FOLLOWER, no_place, no_place, no_place
    ) + bytes([1, 0, 0])  # No record is to blame; no text; nothing more.
    # One topic with one partition: a list's and a string's length are told as one more.
    name = bytes([2, len(topic) + 1]) + topic + bytes([2])
    throttled = struct.pack(">i", 0)
    return struct.pack(">iB", number, 0) + name + partition + b"\0" + throttled + b"\0"
