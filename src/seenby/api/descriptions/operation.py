"""How one operation of the API is described: an address with a method, and what is special to it.

A row says what the code cannot: in words what it is for, which parameters it takes, and which
refusals it knows. What all rows have in common, such as the answers to a missing token, is
``openapi``'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from seenby import inputs
from seenby.api import schemas
from seenby.errors import Draining, StoreUnavailable

if TYPE_CHECKING:
    from msgspec import Struct

    from seenby.errors import SeenbyError

JSON = "application/json"


class Parameter(NamedTuple):
    """A parameter of the query, or a header.

    Attributes:
        name: as it is written.
        description: what it is for.
        schema: its form (JSON Schema), or a struct's field type.
        required: nothing is answered without it.
        within: ``query`` or ``header``.
    """

    name: str
    description: str
    schema: Any
    required: bool = False
    within: str = "query"


class Operation(NamedTuple):
    """One address with one method.

    Attributes:
        method: in small letters.
        path: with its parameters in braces.
        name: what programs call it; the metrics' name of the route.
        tag: the heading that it stands under.
        summary: what it does, in a few words.
        answers: the shapes of what it answers with 200: structs, or schemas.
        description: more about it.
        parameters: of the query, and headers.
        body: the form of its body; None: it takes none.
        body_max: the longest body, in KiB.
        refusals: those of its own.
        stored: the store may refuse a value of it (each mark of a batch has a result of its own).
        public: open to whoever has no token.
        media: the type of its answer.
    """

    method: str
    path: str
    name: str
    tag: str
    summary: str
    answers: tuple[type[Struct] | dict[str, Any], ...]
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    body: type[Struct] | None = None
    body_max: int = 64
    refusals: tuple[type[SeenbyError], ...] = ()
    stored: bool = True
    public: bool = False
    media: str = JSON


CONVERSATION = "/api/v1/conversations/{conversation_id}"
USER = "/api/v1/users/{user_id}"

LIMIT = Parameter(
    "limit",
    "How many of them.",
    {
        "type": "integer",
        "minimum": 1,
        "maximum": schemas.LIMIT_MAX,
        "default": schemas.LIMIT_DEFAULT,
    },
)
CURSOR = Parameter("cursor", "The `next_cursor` of the page before.", {"type": "string"})
OF_USER = Parameter("user_id", "Who it is about.", inputs.UserId, required=True)

WRITING = (Draining, StoreUnavailable)
SERVICE = "For the chat's backend: a token needs the scope `service`."
