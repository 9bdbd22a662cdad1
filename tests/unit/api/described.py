"""Holds what the API answers against what its description says of it, to the letter.

Every field that is answered must be described: new fields may come for callers, not unnoticed
for us.
"""

from __future__ import annotations

import copy
import functools
import json
import re
from typing import TYPE_CHECKING, Any

import jsonschema_rs
from aiohttp import TraceConfig, hdrs

from seenby.api.descriptions import openapi

if TYPE_CHECKING:
    from types import SimpleNamespace

    from aiohttp import ClientSession, TraceRequestEndParams

    from seenby.api.descriptions.operation import Operation

Document = dict[str, Any]


def strict(document: Document) -> Document:
    """The description with objects that have no other fields than those described."""
    document = copy.deepcopy(document)
    for schema in document["components"]["schemas"].values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return document


@functools.cache
def described() -> Document:
    """The description, read strictly."""
    return strict(openapi.document())


@functools.cache
def _paths() -> list[tuple[re.Pattern[str], str]]:
    """What addresses look like, those with the fewest parameters first."""
    paths = sorted(described()["paths"], key=lambda path: path.count("{"))
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), path) for path in paths]


def operation(method: str, path: str) -> Document | None:
    """What is described at an address; None: nothing."""
    wanted = "get" if method == hdrs.METH_HEAD else method.lower()
    for pattern, found in _paths():
        if pattern.fullmatch(path) and wanted in described()["paths"][found]:
            operation: Document = described()["paths"][found][wanted]
            return operation
    return None


def of(operation: Operation) -> Document:
    """What is described of an operation."""
    found: Document = described()["paths"][operation.path][operation.method]
    return found


def codes_in(answer: Document) -> set[str]:
    """The codes with which an answer may refuse."""
    content = resolved(answer).get("content", {}).get("application/json", {"schema": {}})
    codes = content["schema"].get("properties", {}).get("code", {}).get("enum", [])
    return set(codes)


def codes_of(described: Document) -> set[str]:
    """The codes of all answers of an operation."""
    return {code for answer in described["responses"].values() for code in codes_in(answer)}


def resolved(node: Document) -> Document:
    """What a reference stands for."""
    if "$ref" not in node or not node["$ref"].startswith("#/components/responses/"):
        return node
    found: Document = described()["components"]["responses"][node["$ref"].rpartition("/")[2]]
    return found


@functools.cache
def _validator(schema: str) -> jsonschema_rs.Draft202012Validator:
    whole = {**json.loads(schema), "components": described()["components"]}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


def faults(schema: Document, value: Any) -> list[str]:
    """What is wrong with a value."""
    found = _validator(json.dumps(schema)).iter_errors(value)
    return [f"{list(fault.instance_path)}: {fault.message}" for fault in found]


def differences(
    operation: Document, status: int, headers: dict[str, str], body: bytes | None
) -> list[str]:
    """In what an answer is not as it is described; *body* None: it was not asked for."""
    answer = operation["responses"].get(str(status))
    if answer is None:
        return [f"status {status}"]
    answer = resolved(answer)
    lower = {name.lower() for name in headers}
    needed = (name for name, header in answer.get("headers", {}).items() if header["required"])
    found = [f"no header {name}" for name in needed if name.lower() not in lower]
    media = headers.get("Content-Type", "").partition(";")[0]
    if body is None:
        return found
    content = answer.get("content", {})
    if not content:
        return [*found, "a body"] if body else found
    if media not in content:
        return [*found, f"media type {media}"]
    value = json.loads(body) if media == "application/json" else body.decode()
    return found + faults(content[media]["schema"], value)


def watching() -> TraceConfig:
    """Fails a test whose API answers otherwise than it is described."""
    trace = TraceConfig()
    trace.on_request_end.append(_compare)
    return trace


async def _compare(_: ClientSession, __: SimpleNamespace, asked: TraceRequestEndParams) -> None:
    answer = asked.response
    found = operation(asked.method, asked.url.raw_path)
    if found is None:
        return
    body = None if asked.method == hdrs.METH_HEAD else await answer.read()
    what = differences(found, answer.status, dict(answer.headers), body)
    assert what == [], f"{asked.method} {asked.url} is not as it is described"
