"""The description of the API: an OpenAPI 3.1 document, made of the table and of the structs.

Here stands what all operations have in common: who may, which refusals a body or a token brings
with it, which headers an answer has.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from seenby import __version__, inputs
from seenby.api import shapes
from seenby.api.answers import JSON, RETRY_AFTER
from seenby.api.descriptions.examples import EXAMPLES
from seenby.api.descriptions.operations import OPERATIONS
from seenby.errors import (
    HTTP_STATUS,
    KeysUnavailable,
    PositionLost,
    SeenbyError,
    StoreRefused,
    TokenExpired,
    TooLarge,
    Unauthenticated,
    WrongMediaType,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from seenby.api.descriptions.operation import Operation, Parameter

_REFERENCE = "#/components/schemas/{name}"

_TAGS = {
    "Marks": "A reader has read, or makes unread again.",
    "Conversations": "The chat's backend registers who is in a conversation.",
    "Messages": "The chat's backend registers which messages were sent.",
    "Reading back": "Who has read, what was missed, what is unread.",
    "Users": "A user's devices and wishes, and where a user connects.",
    "Inspection": "For those who run seenby and want to know where a receipt is.",
    "Operation": "For those who run seenby; without a token.",
    "Descriptions": "What programs can read about seenby.",
}

_ABOUT = """\
Read receipts: who read which message, recorded once, pushed to every device of the sender.

**Ids** are printable ASCII characters without spaces, compared byte for byte. In an address they
are percent-encoded. **Times** are UTC, to the second.

**Unknown fields** and query parameters are ignored, and new fields may be added to answers.

**Every address** answers `HEAD` where it answers `GET`, `OPTIONS` to browsers of the allowed
origins, and any other method with 405, `method_not_allowed` and the header `Allow`.

**With authentication off** no token is needed. With `SEENBY_AUTH=jwt` a user's token reads back
only what belongs to that user; what a user may not see is answered as if it were not there.
"""

_PATH = {
    "conversation_id": (inputs.ConversationId, "The conversation."),
    "device_id": (inputs.DeviceId, "The device."),
    "msg_id": (inputs.MsgId, "The message."),
    "user_id": (inputs.UserId, "The user."),
}


def document() -> dict[str, Any]:
    """The whole description."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "seenby",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "responses": dict(_responses()),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "With `SEENBY_AUTH=jwt`.",
                }
            },
        },
    }


def refusals_of(operation: Operation) -> dict[int, list[type[SeenbyError]]]:
    """All refusals that an operation can be answered with, by status."""
    kinds: list[type[SeenbyError]] = [*operation.refusals]
    if not operation.public:
        kinds += [Unauthenticated, TokenExpired, KeysUnavailable]
    if operation.body is not None:
        kinds += [WrongMediaType, TooLarge]
    if operation.stored:
        kinds += [StoreRefused]
    kinds += [SeenbyError]
    by_status: dict[int, list[type[SeenbyError]]] = {}
    for kind in sorted(set(kinds), key=lambda kind: kind.code):
        status = HTTP_STATUS.get(kind, HTTPStatus.INTERNAL_SERVER_ERROR)
        by_status.setdefault(status, []).append(kind)
    return dict(sorted(by_status.items()))


def _described(operation: Operation) -> dict[str, Any]:
    example = EXAMPLES.get(operation.name, {})
    answers = {"200": _answer(operation, example)}
    if operation.name == "ready":
        answers["503"] = {**answers["200"], "description": "A part does not answer."}
        answers["503"]["headers"] = {"Retry-After": _RETRY_AFTER}
    if operation.tag == "Descriptions":
        answers["304"] = {"description": "The caller has it already."}
    for status, kinds in refusals_of(operation).items():
        answers[str(status)] = {"$ref": f"#/components/responses/{_name_of(kinds)}"}
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
    }
    if operation.description:
        described["description"] = operation.description
    parameters = [*_in_path(operation.path), *map(_parameter, operation.parameters)]
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = {
            "required": True,
            "description": f"At most {operation.body_max} KiB.",
            "content": {JSON: _content(operation.body, example.get("request"))},
        }
    described["responses"] = answers
    described["security"] = [] if operation.public else [{"token": []}, {}]
    return described


def _answer(operation: Operation, example: dict[str, Any]) -> dict[str, Any]:
    shown = [schema_of(shape) for shape in operation.answers]
    content: dict[str, Any] = {"schema": shown[0] if len(shown) == 1 else {"oneOf": shown}}
    if "answer" in example:
        content["example"] = example["answer"]
    return {"description": "Done.", "content": {operation.media: content}}


def _content(shape: type[msgspec.Struct], example: Any) -> dict[str, Any]:
    shown = {"schema": schema_of(shape)}
    return shown if example is None else {**shown, "example": example}


def _in_path(path: str) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"\{(\w+)\}", path):
        form, text = _PATH[name]
        schema = schema_of(form)
        # An empty part of an address is no part of it.
        schema["minLength"], schema["pattern"] = 1, schema["pattern"].replace("{0,", "{1,")
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "description": text,
            "schema": schema,
        }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.within,
        "required": parameter.required,
        "description": parameter.description,
        "schema": schema_of(parameter.schema),
    }


# Refusals

_RETRY_AFTER = {
    "description": "Seconds after which the same request is worth another try.",
    "required": True,
    "schema": {"type": "integer", "minimum": 0, "example": int(RETRY_AFTER)},
}


def _name_of(kinds: Iterable[type[SeenbyError]]) -> str:
    return "-".join(kind.code for kind in kinds)


def _responses() -> Iterator[tuple[str, dict[str, Any]]]:
    """One response for each set of refusals that share a status somewhere."""
    for operation in OPERATIONS:
        for status, kinds in refusals_of(operation).items():
            yield _name_of(kinds), _refusal(status, kinds)


def _refusal(status: int, kinds: list[type[SeenbyError]]) -> dict[str, Any]:
    shape = shapes.Reset if PositionLost in kinds else shapes.Failure
    codes = {"properties": {"code": {"enum": [kind.code for kind in kinds]}}}
    headers: dict[str, Any] = {}
    if any(kind.retriable for kind in kinds):
        headers["Retry-After"] = _RETRY_AFTER
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = {
            "description": "Which kind of token is asked for.",
            "required": True,
            "schema": {"type": "string", "const": "Bearer"},
        }
    refusal = {
        "description": "\n".join(f"- `{kind.code}`: {_meaning(kind)}" for kind in kinds),
        "content": {JSON: {"schema": {**schema_of(shape), **codes}}},
    }
    return {**refusal, "headers": headers} if headers else refusal


def _meaning(kind: type[SeenbyError]) -> str:
    if kind is SeenbyError:
        return "Something went wrong here; the log has it."
    return (kind.__doc__ or "").partition("\n")[0]


# Schemas


def _shapes() -> list[Any]:
    found: list[Any] = [shapes.Failure, shapes.Reset, shapes.Done]
    for operation in OPERATIONS:
        found += [shape for shape in operation.answers if not isinstance(shape, dict)]
        found += [] if operation.body is None else [operation.body]
    return found


def _schemas() -> dict[str, Any]:
    _, components = msgspec.json.schema_components(_shapes(), ref_template=_REFERENCE)
    return dict(sorted(components.items()))


def schema_of(shape: Any) -> dict[str, Any]:
    """A reference to a struct's schema; the schema itself of what is none."""
    if isinstance(shape, dict):
        return shape
    [schema], _ = msgspec.json.schema_components([shape], ref_template=_REFERENCE)
    return schema
