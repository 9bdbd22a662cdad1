"""A sender's devices and a reader's requests, by libraries that share no code with the server."""

from __future__ import annotations

import contextlib
import http.client
import json
import select
import ssl
import threading
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from tests.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


PATIENCE = 60.0
"""Seconds in which a device is connected and gets what is for it; a busy machine needs some."""


class _Turns(ssl.SSLSocket):
    """A TLS connection that one thread at a time uses: before Python 3.13 ssl does not see to it.

    websockets reads in a thread of its own; what it wrote while TLS read a session ticket got lost.
    """

    @property
    def _turn(self) -> threading.Lock:
        lock: threading.Lock = self.__dict__.setdefault("_turn_lock", threading.Lock())
        return lock

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        while True:
            with self._turn:
                patience = self.gettimeout()
                self.settimeout(0)
                try:
                    return super().recv(buflen, flags)
                except ssl.SSLWantReadError:
                    pass
                finally:
                    with contextlib.suppress(OSError):  # Closed meanwhile.
                        self.settimeout(patience)
            if not select.select([self], [], [], patience)[0]:
                raise TimeoutError

    def sendall(self, data: Any, flags: int = 0) -> None:
        with self._turn:
            super().sendall(data, flags)


def trusting(ca: Path) -> ssl.SSLContext:
    """What a client by TLS trusts: one authority, and no other."""
    context = ssl.create_default_context(cafile=ca)
    context.sslsocket_class = _Turns
    return context


class Device:
    """One socket, and everything that came over it.

    Args:
        gateway: where to connect.
        user: the query's user_id; "" leaves it out.
        device: the query's device_id; "" leaves it out.
        hello: None connects as a silent client; a dict asks for seenby.v1 and is sent as hello.
        token: goes into the Authorization header.
        tls: what to trust at a wss:// address.
        part: the query's part, for a load balancer.
        origin: of the web page that connects.
    """

    def __init__(
        self,
        gateway: str,
        user: str = "",
        device: str = "",
        *,
        hello: dict[str, Any] | None = None,
        token: str = "",
        tls: ssl.SSLContext | None = None,
        part: int | None = None,
        origin: str | None = None,
    ) -> None:
        said = {"user_id": user, "device_id": device} | ({} if part is None else {"part": part})
        query = urlencode({name: value for name, value in said.items() if value != ""})
        self.frames: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self._silent = hello is None
        self._open = contextlib.ExitStack()
        self._socket = self._open.enter_context(
            connect(
                f"{gateway}?{query}" if query else gateway,
                subprotocols=None if hello is None else [Subprotocol("seenby.v1")],
                additional_headers={"Authorization": f"Bearer {token}"} if token else None,
                open_timeout=PATIENCE,
                close_timeout=5,
                compression=None,
                ssl=tls,
                origin=None if origin is None else Origin(origin),
                ping_interval=None,
            )
        )
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        if hello is not None:
            # A gateway that refuses the token in the header may close before the hello.
            with contextlib.suppress(ConnectionClosed):
                self.send({"type": "hello", **hello})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def receipts(self) -> list[dict[str, Any]]:
        """The receipts that came, batches unpacked, in order."""
        receipts: list[dict[str, Any]] = []
        for frame in list(self.frames):
            if frame["type"] == "read_receipts":
                receipts += frame["receipts"]
            elif frame["type"] == "read_receipt":
                receipts.append(frame)
        return receipts

    @property
    def seqs(self) -> list[int]:
        """The seqs that came, in order."""
        return [receipt["seq"] for receipt in self.receipts]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The frames of one type."""
        return [frame for frame in list(self.frames) if frame["type"] == kind]

    def send(self, frame: dict[str, Any]) -> None:
        """Send a frame."""
        self._socket.send(json.dumps(frame))

    def send_raw(self, message: str | bytes | list[str]) -> None:
        """Send what is no frame: any text, bytes, or a text in fragments."""
        self._socket.send(message)

    def wait(
        self, what: str, condition: Callable[[Device], bool], patience: float = PATIENCE
    ) -> Device:
        """Return when the condition holds; the error says what came instead."""
        try:
            wait_until(what, lambda: condition(self), patience)
        except TimeoutError as error:
            last = self.frames[-5:]
            raise AssertionError(f"{error}; {len(self.frames)} frames, last: {last}") from error
        return self

    def wait_receipts(self, count: int, patience: float = PATIENCE) -> Device:
        """Return when so many receipts have come."""
        return self.wait(f"{count} receipts", lambda d: len(d.receipts) >= count, patience)

    def close(self) -> None:
        """Close with a close handshake."""
        self._open.close()
        self._thread.join(10)

    def cut(self) -> None:
        """Cut the connection without a word."""
        self._socket.socket.close()
        self._thread.join(10)

    def _listen(self) -> None:
        try:
            for message in self._socket:
                self.frames.append(json.loads(message))
        except ConnectionClosed:
            pass
        except OSError:
            return
        received = self._socket.protocol.close_rcvd
        self.closed = (received.code, received.reason) if received else (1006, "")


class Api:
    """Requests to one API over a connection of its own. For one thread."""

    def __init__(self, url: str, token: str = "", *, tls: ssl.SSLContext | None = None) -> None:
        self._netloc = urlsplit(url).netloc
        self._tls = tls
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._connection: http.client.HTTPConnection | None = None

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Status and document of an answer; raises OSError or HTTPException without one."""
        if self._connection is None:
            self._connection = (
                http.client.HTTPConnection(self._netloc, timeout=PATIENCE)
                if self._tls is None
                else http.client.HTTPSConnection(self._netloc, timeout=PATIENCE, context=self._tls)
            )
        try:
            raw = body if isinstance(body, str | bytes) or body is None else json.dumps(body)
            self._connection.request(method, path, raw, {**self._headers, **(headers or {})})
            answer = self._connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        except BaseException:
            self.close()
            raise

    def mark(self, msg: str, reader: str, sender: str, conversation: str = "c", **more: Any) -> Any:
        """Mark as read; returns the receipt, raises AssertionError when it was refused."""
        fields = {
            "msg_id": msg,
            "reader_id": reader,
            "sender_id": sender,
            "conversation_id": conversation,
            **more,
        }
        status, document = self.request("POST", "/api/v1/messages/read", fields)
        assert status == 200, (status, document)
        return document["receipt"]

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
