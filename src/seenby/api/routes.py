"""The endpoints: each reads a request, asks the service, and writes the answer. Nothing else.

A mark goes from here to ``service.mark``, waits there for its commit, and is answered. What is
the same for all endpoints (who calls, limits, errors, CORS, metrics) is ``app``'s.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple, Protocol

import structlog

from seenby import inputs
from seenby.api import schemas, shapes
from seenby.api.answers import Answer
from seenby.bus.partitions import partition_of
from seenby.errors import BadInput, SeenbyError, StoreUnavailable
from seenby.events import TRACEPARENT, trace_of
from seenby.model import Receipt

if TYPE_CHECKING:
    from aiohttp import web

    from seenby.metrics import Metrics
    from seenby.model import Caller, Mark
    from seenby.recorder import Outcome
    from seenby.service import Service

READY_WITHIN = 2.0
"""Seconds that the store has to say that it is there."""

log = structlog.get_logger()


class Call(NamedTuple):
    """A request whose caller is known, with its body read."""

    request: web.Request
    caller: Caller
    body: bytes

    @property
    def trace(self) -> str:
        """The trace id of the caller's own traceparent header, or a new one."""
        header = self.request.headers.get(TRACEPARENT)
        return (header and trace_of(header.encode("utf-8", "replace"))) or inputs.new_trace()

    def path(self, name: str) -> str:
        """A part of the address."""
        return self.request.match_info[name]


class BusView(Protocol):
    """What the API wants to know of the bus."""

    @property
    def healthy(self) -> bool:
        """Whether it takes what is published."""
        ...

    @property
    def partitions(self) -> int:
        """How many partitions the topic has; 0 while that is not known."""
        ...


class Routes:
    """The endpoints.

    Args:
        service: the use cases.
        metrics: shown at /metrics.
        bus: None where there is none.
        gateway_url: where sockets connect.
        partitions: of the topic, while the bus does not say.
    """

    def __init__(
        self,
        service: Service,
        metrics: Metrics,
        *,
        bus: BusView | None,
        gateway_url: str,
        partitions: int,
    ) -> None:
        self._service = service
        self._metrics = metrics
        self._bus = bus
        self._gateway_url = gateway_url
        self._partitions = partitions

    # Marks

    async def mark(self, call: Call) -> Answer:
        """``POST /api/v1/messages/read``: answered after the commit, never before."""
        mark = inputs.decode_mark(call.body, call.trace)
        [outcome] = await self._service.mark(call.caller, [mark])
        if not isinstance(outcome, Receipt):
            raise outcome
        log.debug("marked", trace=mark.trace, receipt=outcome.id, sender=outcome.sender_id)
        return Answer(schemas.recorded(outcome))

    async def mark_batch(self, call: Call) -> Answer:
        """``POST /api/v1/messages/read/batch``: one result per item, in order."""
        trace = call.trace
        items = inputs.decode_batch(call.body, trace)
        marks: list[Mark] = [item for item in items if not isinstance(item, BadInput)]
        outcomes = iter(await self._service.mark(call.caller, marks))
        results = [
            _result(item if isinstance(item, BadInput) else next(outcomes)) for item in items
        ]
        log.debug("marked_batch", trace=trace, marks=len(marks), refused=len(items) - len(marks))
        return Answer(b'{"success":true,"results":[' + b",".join(results) + b"]}")

    # Reading back

    async def missed(self, call: Call) -> Answer:
        """``GET /api/v1/users/{user_id}/receipts``: a sender's stream after a position."""
        user_id = inputs.user_id(call.path("user_id"))
        asked = schemas.missed_query(call.request.query)
        found = await self._service.missed(
            call.caller, user_id, after=asked.after, epoch=asked.epoch, limit=asked.limit
        )
        return Answer(schemas.missed(found))

    async def devices(self, call: Call) -> Answer:
        """``GET /api/v1/users/{user_id}/devices``."""
        user_id = inputs.user_id(call.path("user_id"))
        return Answer(schemas.devices(user_id, await self._service.devices(call.caller, user_id)))

    async def sign_off(self, call: Call) -> Answer:
        """``DELETE /api/v1/users/{user_id}/devices/{device_id}``."""
        user_id = inputs.user_id(call.path("user_id"))
        device_id = inputs.device_id(call.path("device_id"))
        await self._service.sign_off(call.caller, user_id, device_id)
        return Answer(schemas.encode(shapes.Done()))

    async def gateway(self, call: Call) -> Answer:
        """``GET /api/v1/gateway``: where, and with which ``part``, this user connects."""
        user_id = schemas.user_query(call.request.query)
        call.caller.must_act_for(user_id)
        partitions = (self._bus.partitions if self._bus is not None else 1) or self._partitions
        part = partition_of(user_id, partitions)
        found = shapes.Gateway(self._gateway_url, part, partitions)
        return Answer(schemas.encode(found))

    # Health; open to everyone

    async def health(self, _: Call) -> Answer:
        """``GET /health``: alive."""
        return Answer(schemas.encode(shapes.Alive("alive")))

    async def ready(self, _: Call) -> Answer:
        """``GET /ready``: the store and the bus answer."""
        store, bus = True, self._bus is None or self._bus.healthy
        try:
            async with asyncio.timeout(READY_WITHIN):
                await self._service.ready()
        except (StoreUnavailable, TimeoutError):
            store = False
        whole = store and bus
        status = HTTPStatus.OK if whole else HTTPStatus.SERVICE_UNAVAILABLE
        found = shapes.Ready(whole, store, bus)
        return Answer(schemas.encode(found), status, retry=not whole)

    async def metrics(self, _: Call) -> Answer:
        """``GET /metrics``: in Prometheus' text format."""
        body, content_type = self._metrics.render()
        return Answer(body, content_type=content_type)


def _result(outcome: Outcome | SeenbyError) -> bytes:
    """One item of a batch's answer, in the shape of a single one."""
    return schemas.recorded(outcome) if isinstance(outcome, Receipt) else schemas.failure(outcome)
