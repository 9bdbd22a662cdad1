"""One connection in the fast lane: from the bytes of an ordinary mark to the bytes of its answer.

One request at a time, answers in order. While an answer is under way, or the client does not read
what it got, nothing is read but what has arrived already. A client that leaves does not take back
its mark. What is not an ordinary mark goes to aiohttp byte for byte, and the connection with it.
"""

from __future__ import annotations

import asyncio
import socket
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

import structlog

from seenby import inputs
from seenby.api import schemas
from seenby.api.answers import fault, refusal
from seenby.api.heads import may_become
from seenby.errors import SeenbyError
from seenby.model import Receipt

if TYPE_CHECKING:
    from seenby.api.answers import Answer
    from seenby.api.heads import Head
    from seenby.api.lane import Lane
    from seenby.model import Caller
    from seenby.recorder import Outcome

ROUTE = "mark"
"""How metrics call it, on this road and on aiohttp's."""

AT_ONCE = 16
"""Requests of one client that are refused before the others get a turn: half a millisecond. One
that sent 10,000 of them kept everybody waiting for 160 ms."""

log = structlog.get_logger()


class Connection(asyncio.Protocol):
    """One client, until it asks for anything else than ordinary marks.

    Attributes:
        busy: a mark is under way, or what has arrived waits for its turn.
        began: when the last request, or else the connection, did (perf_counter's seconds).
    """

    __slots__ = (
        "_bytes",
        "_choked",
        "_head",
        "_held",
        "_lane",
        "_needed",
        "_prefix",
        "_request",
        "_task",
        "_trace",
        "_transport",
        "began",
        "busy",
    )

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._transport: asyncio.Transport
        self._held = bytearray()
        """What has arrived and is not begun with."""
        self._needed = 0
        """How much of it makes a request; 0 while that is not known."""
        self._choked = False
        """The client does not read: there is too much to write already."""
        self.busy = False
        self.began = time.perf_counter()
        # Clients send the same head again and again.
        self._head = b""
        self._request: Head
        self._prefix = b""
        self._trace = ""
        self._task: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing has been asked for that is not answered."""
        return not self.busy and not self._held

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        # uvloop's is one in all but descent.
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("socket")
        if peer is not None:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._lane.entered(self)

    def data_received(self, data: bytes) -> None:
        """A part of a request, a whole one, or several."""
        if self.busy or self._choked:
            self._hold(data)
        elif not self._held:
            self._serve(data)
        else:
            self._held += data
            if len(self._held) >= self._needed:
                self._serve_held()

    def pause_writing(self) -> None:
        """The client does not read what it got."""
        self._choked = True

    def resume_writing(self) -> None:
        """It does again."""
        self._choked = False
        if not self.busy:
            self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's
        """The client has left. What it asked for whole is done all the same."""
        if self._needed and not self.busy:
            # As the application counts a body that ends too soon.
            seconds = time.perf_counter() - self.began
            self._lane.metrics.request(ROUTE, HTTPStatus.BAD_REQUEST, seconds)
        self._lane.left(self)

    def close(self) -> None:
        """Close, once everything is written that is on its way."""
        self._transport.close()

    def abort(self) -> None:
        """Close now."""
        self._transport.abort()

    # Requests

    def _serve(self, arrived: bytes) -> None:
        """Begin with what has arrived, request by request, as long as each is answered at once."""
        answered = 0
        while arrived:
            if self._head and arrived.startswith(self._head):
                start = len(self._head)
            else:
                start = self._read_head(arrived)
                if not start:
                    return
            request = self._request
            end = start + request.length
            if not self._needed:
                self.began = time.perf_counter()
            if len(arrived) < end:
                self._held += arrived
                self._needed = end
                return
            self._needed = 0
            self._begin(request, arrived[start:end])
            arrived = arrived[end:]
            answered += 1
            if arrived and answered == AT_ONCE and not self.busy:
                self.busy = True
                asyncio.get_running_loop().call_soon(self._take_turn)
            if self.busy or self._choked:
                self._hold(arrived)
                return

    def _read_head(self, arrived: bytes) -> int:
        """The length of an ordinary mark's head; 0: it is not whole, or this is aiohttp's now."""
        end = arrived.find(b"\r\n\r\n")
        if end < 0:
            if may_become(arrived):
                self._held += arrived
            else:
                self._hand_over(arrived)
            return 0
        head = arrived[: end + 4]
        request = self._lane.read_head(head)
        if request is None:
            self._hand_over(arrived)
            return 0
        self._head, self._request = head, request
        self._prefix = self._lane.recorded(request.origin)
        return len(head)

    def _hold(self, arrived: bytes) -> None:
        """Keep it for later, and take no more until then: a client may send what it likes."""
        if arrived and not self._transport.is_closing():
            self._held += arrived
            self._transport.pause_reading()

    def _serve_held(self) -> None:
        arrived = bytes(self._held)
        self._held.clear()
        self._serve(arrived)

    def _hand_over(self, arrived: bytes) -> None:
        """This connection is aiohttp's now, as if it had been from the start."""
        self._needed = 0
        self._lane.left(self)
        handler = self._lane.server()
        self._transport.set_protocol(handler)
        handler.connection_made(self._transport)
        if self._choked:
            handler.pause_writing()
        handler.data_received(arrived)

    def _begin(self, request: Head, body: bytes) -> None:
        caller = self._lane.authenticator.known(request.token, time.time())
        if caller is None:
            self.busy = True
            self._task = asyncio.create_task(self._ask(request, body))
        else:
            self._record(request, body, caller)

    async def _ask(self, request: Head, body: bytes) -> None:
        """Find out who calls, then record."""
        try:
            caller = await self._lane.authenticator.authenticate(request.token, time.time())
        except SeenbyError as error:
            self._answer(refusal(error))
        except Exception:
            log.exception("request_failed", route=ROUTE)
            self._answer(fault())
        else:
            self._record(request, body, caller)
        if not self.busy:
            self._go_on()

    def _record(self, request: Head, body: bytes, caller: Caller) -> None:
        """Busy until the commit, unless the mark is refused before."""
        self.busy = True
        try:
            self._trace = request.trace or inputs.new_trace()
            mark = inputs.decode_mark(body, self._trace)
            self._lane.service.take_mark(caller, mark, self._told)
        except SeenbyError as error:
            self._answer(refusal(error))
        except Exception:
            log.exception("request_failed", route=ROUTE)
            self._answer(fault())

    def _told(self, outcomes: list[Outcome] | SeenbyError) -> None:
        """The mark is durable, or refused."""
        try:
            outcome = outcomes if isinstance(outcomes, SeenbyError) else outcomes[0]
            if isinstance(outcome, Receipt):
                self._write(self._prefix, schemas.recorded(outcome), HTTPStatus.OK)
                if self._lane.tells_marks:
                    sender = outcome.sender_id
                    log.debug("marked", trace=self._trace, receipt=outcome.id, sender=sender)
            else:
                self._answer(refusal(outcome))
        except Exception:
            log.exception("request_failed", route=ROUTE)
            self._answer(fault())
        self._go_on()

    def _answer(self, answer: Answer) -> None:
        prefix = self._lane.prefix(answer, self._request.origin)
        self._write(prefix, answer.body, answer.status)

    def _write(self, prefix: bytes, body: bytes, status: int) -> None:
        self.busy = False
        lane, transport = self._lane, self._transport
        lane.metrics.request(ROUTE, status, time.perf_counter() - self.began)
        if not transport.is_closing():
            transport.write(b"%b%d\r\nDate: %b\r\n\r\n%b" % (prefix, len(body), lane.date(), body))

    def _take_turn(self) -> None:
        self.busy = False
        if not self._choked:
            self._go_on()

    def _go_on(self) -> None:
        """Serve what has arrived meanwhile."""
        if self._lane.draining:
            self._transport.close()
        elif self._held and not self._choked and not self._transport.is_closing():
            self._transport.resume_reading()
            self._serve_held()
