"""Operations of those who run seenby, and the descriptions that programs read."""

from __future__ import annotations

from seenby.api import shapes
from seenby.api.descriptions.operation import Operation, Parameter

_DOCUMENT = {"type": "object"}
_KNOWN = Parameter(
    "If-None-Match",
    "The `ETag` of what the caller has: if it is still the same, it is answered with 304.",
    {"type": "string"},
    within="header",
)


OPERATORS: tuple[Operation, ...] = (
    Operation(
        "get",
        "/health",
        "health",
        "Operation",
        "Ask whether the process is alive",
        (shapes.Alive,),
        stored=False,
        public=True,
    ),
    Operation(
        "get",
        "/ready",
        "ready",
        "Operation",
        "Ask whether the store and the bus answer",
        (shapes.Ready,),
        stored=False,
        public=True,
    ),
    Operation(
        "get",
        "/metrics",
        "metrics",
        "Operation",
        "Read the metrics",
        ({"type": "string"},),
        "In Prometheus' text format.",
        stored=False,
        public=True,
        media="text/plain",
    ),
    Operation(
        "get",
        "/openapi.json",
        "openapi",
        "Descriptions",
        "Read this description",
        (_DOCUMENT,),
        parameters=(_KNOWN,),
        stored=False,
        public=True,
    ),
    Operation(
        "get",
        "/asyncapi.json",
        "asyncapi",
        "Descriptions",
        "Read the description of the socket and the topics",
        (_DOCUMENT,),
        "In AsyncAPI 3.0.",
        (_KNOWN,),
        stored=False,
        public=True,
    ),
)
