"""A TCP link to a MySQL server that breaks once, at a chosen message, before or after it."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from typing import Self
from urllib.parse import urlsplit, urlunsplit

CHUNK = 65_536

COM_QUIT = b"\x01"
"""A client's last message, after the four bytes of its packet's head."""


class Link:
    """Carries bytes between clients and a server, until it is told to lose some.

    Args:
        url: the server's; ``self.url`` leads over the link.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        user = parts.netloc.rpartition("@")[0]
        self.url = urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{port}"))
        self._lock = threading.Lock()
        self._left: int | None = None
        self._answered = False
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Take no new connections; those that are open end with their clients."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def break_after(self, messages: int, *, answered: bool) -> None:
        """Carry so many messages of clients, then break the connection of the next one.

        Args:
            messages: over all connections from now on.
            answered: whether that next message still arrives and only its answer is lost.
        """
        with self._lock:
            self._left, self._answered = messages, answered

    @property
    def broken(self) -> bool:
        """Whether a connection was broken as told."""
        return self._left is None

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                thread = threading.Thread(target=self._carry, args=(client,))
                self._threads.append(thread)
                thread.start()

    def _carry(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.create_connection(self._server) as server:
            breaking = False
            while True:
                for end in select.select([client, server], [], [])[0]:
                    chunk = end.recv(CHUNK)
                    # A goodbye has no answer, and comes whenever it comes: it does not count.
                    if end is client and chunk[4:] not in {b"", COM_QUIT}:
                        breaking = self._is_last()
                    if not chunk or (breaking and (end is server or not self._answered)):
                        return
                    (server if end is client else client).sendall(chunk)

    def _is_last(self) -> bool:
        with self._lock:
            if self._left is None:
                return False
            self._left -= 1
            if self._left >= 0:
                return False
            self._left = None
            return True
