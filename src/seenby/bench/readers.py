"""Readers that mark: over HTTP one by one, over HTTP in batches, or over a socket."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Protocol, cast

import msgspec

from seenby.bench.sockets import Sockets
from seenby.errors import Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seenby.bench.ledger import Ledger
    from seenby.bench.load import Load
    from seenby.bench.sockets import Socket
    from seenby.bench.target import Target

USERS = 1000
"""Readers over HTTP, and conversations; over sockets each connection is a reader."""

UNDER_WAY = 10
"""Marks under way on one socket at the same time; the gateway takes 100."""

WELCOME_WITHIN = 30.0
"""Seconds within which all sockets must have been let in."""

AGAIN_AFTER = 1.0
"""Seconds until an HTTP connection that could not be opened again is tried once more."""

LOST = "connection lost"
NO_ANSWER = "no answer"
_OK = b"200"


def sender(number: int) -> str:
    """The user id of a sender."""
    return f"bench-sender-{number:06}"


def reader(number: int) -> str:
    """The user id of a reader."""
    return f"bench-reader-{number:06}"


class Readers(Protocol):
    """All connections that mark."""

    size: int
    """Marks in one request."""

    @property
    def lost_sockets(self) -> int:
        """Sockets that the gateway has closed."""
        ...

    async def connect(self, count: int) -> None:
        """Open so many connections."""
        ...

    def start(self, load: Load) -> None:
        """Take requests from now on."""
        ...

    def give_up(self) -> None:
        """Wait for no answer any more: what is under way counts as refused."""
        ...

    def close(self) -> None:
        """Close all of them."""
        ...


class Marks:
    """The JSON text of marks: of a fixed length, so that requests differ in digits only."""

    def __init__(self, tag: str, senders: int) -> None:
        self._senders = senders
        self._text = (
            f'"msg_id":"{tag}-%09d","reader_id":"bench-reader-%06d",'
            '"sender_id":"bench-sender-%06d","conversation_id":"bench-%06d"}'
        ).encode()

    def mark(self, number: int, reader: int) -> bytes:
        """A mark by the reader of that number, without the bracket that opens it."""
        return self._text % (number, reader, number % self._senders, reader)


class HttpReaders:
    """Connections over which marks go one by one, or in batches.

    Args:
        api: where the API is.
        headers: for all requests.
        marks: writes the marks.
        ledger: where they are counted.
        size: marks in one request; 0 for the address that takes a single one.
    """

    def __init__(
        self, api: Target, headers: Mapping[str, str], marks: Marks, ledger: Ledger, size: int
    ) -> None:
        self.size = size or 1
        self.ledger = ledger
        self.load: Load | None = None
        self.batch = size > 0
        self._api = api
        self._marks = marks
        self.all: set[_HttpReader] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._closed = False
        self.lost_sockets = 0
        path = "/api/v1/messages/read" + ("/batch" if self.batch else "")
        more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        host = f"[{api.host}]" if ":" in api.host else api.host
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}:{api.port}\r\n"
            f"Content-Type: application/json\r\n{more}Content-Length: "
        ).encode()

    async def connect(self, count: int) -> None:
        """Open so many connections more. Raises Unreachable."""
        try:
            await asyncio.gather(*(self._open() for _ in range(count)))
        except OSError as error:
            raise Unreachable(f"no API answers at {self._api.url} ({error})") from None

    def start(self, load: Load) -> None:
        """Take requests from now on."""
        self.load = load
        for connection in list(self.all):
            load.free(connection)

    def give_up(self) -> None:
        """Wait for no answer any more: what is under way counts as refused."""
        for connection in self.all:
            connection.refuse(NO_ANSWER)

    def close(self) -> None:
        """Close all of them."""
        self._closed = True
        for task in self._opening:
            task.cancel()
        for connection in self.all:
            connection.transport.abort()

    def request(self, first: int) -> bytes:
        """The request with the marks from number *first* on."""
        body = b"{" + self._marks.mark(first, first % USERS)
        if self.batch:
            others = range(first + 1, first + self.size)
            items = [body, *(b"{" + self._marks.mark(number, number % USERS) for number in others)]
            body = b'{"receipts":[' + b",".join(items) + b"]}"
        return b"%b%d\r\n\r\n%b" % (self._head, len(body), body)

    def lost(self, connection: _HttpReader) -> None:
        """A connection is gone: the server may close those that it finds idle."""
        self.all.discard(connection)
        if self.load is not None:
            self.load.gone(connection)
        if not self._closed:
            task = asyncio.get_running_loop().create_task(self._open_again())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self) -> _HttpReader:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: _HttpReader(self), self._api.host, self._api.port
        )
        self.all.add(connection)
        return connection

    async def _open_again(self) -> None:
        while not await self._opened():  # noqa: ASYNC110 -- nothing tells when a server is back
            await asyncio.sleep(AGAIN_AFTER)

    async def _opened(self) -> bool:
        """Whether one connection more could be opened; it takes requests at once."""
        try:
            connection = await self._open()
        except OSError:
            return False
        if self.load is not None:
            self.load.free(connection)
        return True


_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class _Outcome(msgspec.Struct, gc=False):
    success: bool
    code: str = ""


class _Outcomes(msgspec.Struct):
    results: list[_Outcome]


_outcomes = msgspec.json.Decoder(_Outcomes).decode


class _HttpReader(asyncio.Protocol):
    """One connection; one request is under way at a time."""

    __slots__ = ("_first", "_meant", "_readers", "_rest", "transport")

    def __init__(self, readers: HttpReaders) -> None:
        self._readers = readers
        self._first = -1
        self._meant = 0.0
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- the protocol's signature
        """The connection is gone, perhaps with a request that is not answered."""
        self.refuse(LOST)
        self._readers.lost(self)

    def send(self, meant: float) -> None:
        """Send the next request."""
        readers = self._readers
        self._meant = meant
        self._first = first = readers.ledger.begin(meant, readers.size)
        self.transport.write(readers.request(first))

    def data_received(self, data: bytes) -> None:
        """An answer, or a part of one."""
        if self._rest:
            data = self._rest + data
        head = data.find(b"\r\n\r\n")
        length = _LENGTH.search(data, 0, head + 2) if head > 0 else None
        if length is None or len(data) < head + 4 + int(length[1]):
            if head > 0 and length is None:
                self.transport.abort()  # The answer has no end.
            self._rest = data
            return
        self._rest = b""
        status = data[9:12]
        if status != _OK:
            self.refuse(status.decode("latin-1"))
        elif self._readers.batch:
            self._settle(_outcomes(data[head + 4 :]).results)
        else:
            self._first = -1
            self._readers.ledger.answered(self._meant)
        if self._readers.load is not None:
            self._readers.load.free(self)

    def _settle(self, outcomes: list[_Outcome]) -> None:
        """Each mark of a batch is recorded or refused on its own."""
        ledger = self._readers.ledger
        for number, outcome in enumerate(outcomes, self._first):
            if not outcome.success:
                ledger.refused(number, outcome.code)
        recorded = sum(outcome.success for outcome in outcomes)
        self._first = -1
        if recorded:
            ledger.answered(self._meant, recorded)

    def refuse(self, why: str) -> None:
        """Nothing of the request that is under way is recorded, if there is one."""
        if self._first >= 0:
            for number in range(self._first, self._first + self._readers.size):
                self._readers.ledger.refused(number, why)
            self._first = -1


class _Answer(msgspec.Struct, gc=False):
    type: str
    ref: int = -1
    success: bool = False
    code: str = ""


_answer = msgspec.json.Decoder(_Answer).decode


class SocketReaders:
    """Sockets over which ``read`` frames go, several at a time on each.

    Args: see HttpReaders; *gateway* is where the gateway is.
    """

    size = 1

    def __init__(
        self, gateway: Target, headers: Mapping[str, str], marks: Marks, ledger: Ledger
    ) -> None:
        self.ledger = ledger
        self.under_way: dict[int, tuple[_SocketReader, float]] = {}
        self.sockets = Sockets(self._took)
        self._gateway = gateway
        self._headers = {**headers, "Sec-WebSocket-Protocol": "seenby.v1"}
        self._marks = marks
        self._load: Load | None = None
        self._welcomed = 0

    @property
    def lost_sockets(self) -> int:
        """Sockets that the gateway has closed."""
        return self.sockets.lost

    async def connect(self, count: int) -> None:
        """Open so many sockets more, and wait until all are let in. Raises Unreachable."""
        known = len(self.sockets.all)
        clients = [{"user_id": reader(number)} for number in range(known, known + count)]
        try:
            opened = await self.sockets.connect(self._gateway.url, clients, headers=self._headers)
            for socket in opened:
                socket.send(b'{"type":"hello"}')
            async with asyncio.timeout(WELCOME_WITHIN):
                while self._welcomed < known + count and not self.sockets.lost:  # noqa: ASYNC110 -- short
                    await asyncio.sleep(0.01)
        except OSError as error:
            why = str(error) or "no welcome came"
            raise Unreachable(
                f"no gateway lets readers in at {self._gateway.url} ({why})"
            ) from None
        if self.sockets.lost:
            raise Unreachable(f"the gateway at {self._gateway.url} closes sockets of readers")

    def start(self, load: Load) -> None:
        """Take requests from now on."""
        self._load = load
        slots = [
            _SocketReader(self, socket, number) for number, socket in enumerate(self.sockets.all)
        ]
        for _ in range(UNDER_WAY):
            for slot in slots:
                load.free(slot)

    def give_up(self) -> None:
        """Wait for no answer any more: what is under way counts as refused."""
        for number in self.under_way:
            self.ledger.refused(number, NO_ANSWER)
        self.under_way.clear()

    def close(self) -> None:
        """Close all of them."""
        self.sockets.close()

    def frame(self, number: int, reader: int) -> bytes:
        """The frame with a mark."""
        return b'{"type":"read","ref":%d,%b' % (number, self._marks.mark(number, reader))

    def _took(self, _: Socket, message: bytes) -> None:
        answer = _answer(message)
        if answer.type == "welcome":
            self._welcomed += 1
            return
        found = self.under_way.pop(answer.ref, None)
        if found is None:
            return
        slot, meant = found
        if answer.success:
            self.ledger.answered(meant)
        else:
            self.ledger.refused(answer.ref, answer.code)
        if self._load is not None:
            self._load.free(slot)


class _SocketReader:
    """One socket, which takes several marks before it has answered the first."""

    __slots__ = ("_number", "_readers", "_socket")

    def __init__(self, readers: SocketReaders, socket: Socket, number: int) -> None:
        self._readers = readers
        self._socket = socket
        self._number = number

    def send(self, meant: float) -> None:
        """Send the next mark."""
        readers = self._readers
        number = readers.ledger.begin(meant)
        readers.under_way[number] = self, meant
        self._socket.send(readers.frame(number, self._number))
