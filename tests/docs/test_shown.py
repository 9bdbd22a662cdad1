"""What the pages show of answers and frames is as the API and the gateway describe themselves.

The descriptions are held against real answers and frames in their own tests; so a page cannot show
a field that is not there, nor leave out one that always is.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import jsonschema_rs

from seenby.api.descriptions import asyncapi
from seenby.errors import HTTP_STATUS
from tests.docs.pages import ALL_PAGES, Block, all_blocks, blocks_of
from tests.unit.api import described

if TYPE_CHECKING:
    from collections.abc import Iterator

API = re.compile(r"http://localhost:8080(?P<path>/[^\s\"'?]*)")
METHOD = re.compile(r"-X (?P<method>[A-Z]+)")
STATUS = {kind.code: status for kind, status in HTTP_STATUS.items()}

SOCKETS = described.strict(asyncapi.document("ws://localhost:8081/ws"))


def documents(text: str) -> list[Any]:
    """The JSON documents of a block: one, or one for each line."""
    try:
        return [json.loads(text)]
    except ValueError:
        return [json.loads(line) for line in text.splitlines()]


def answered() -> Iterator[tuple[Block, str, str, Any]]:
    """Every answer of seenby's API on a page: the block of the call, method, path and answer."""
    for path in ALL_PAGES:
        for call, answer in pairwise(blocks_of(path)):
            asked = API.findall(call.text)
            if call.language != "sh" or answer.language != "json" or len(asked) != 1:
                continue
            # Frames are looked at below; lines of a log have an event.
            if answer.text.startswith('{"type":') or '"event":' in answer.text:
                continue
            explicit = METHOD.search(call.text)
            body = re.search(r"--json| -d ", call.text)
            method = explicit["method"] if explicit else "POST" if body else "GET"
            for each in documents(answer.text):
                yield call, method, asked[0], each


def test_answers_are_as_described() -> None:
    """Each answer that stands below a call is one that this call can have."""
    faults: list[str] = []
    seen = set()
    for call, method, path, answer in answered():
        operation = described.operation(method, path)
        assert operation is not None, (call.name, method, path)
        status = STATUS[answer["code"]] if "code" in answer else 200
        response = described.resolved(operation["responses"][str(status)])
        schema = response["content"]["application/json"]["schema"]
        faults += [f"{call.name}: {fault}" for fault in described.faults(schema, answer)]
        seen.add((method, path))
    assert faults == [], "\n".join(faults)
    assert len(seen) > 20


def told(name: str) -> Iterator[jsonschema_rs.Draft202012Validator]:
    """What is described under a type: frames, records, and entries of the API's answers."""
    for document in (SOCKETS, described.described()):
        components: dict[str, Any] = document["components"]
        for title, schema in components["schemas"].items():
            kind = schema.get("properties", {}).get("type", {})
            if name == kind.get("const") or name in kind.get("enum", []):
                whole = {"$ref": f"#/components/schemas/{title}", "components": components}
                yield jsonschema_rs.Draft202012Validator(whole)


def test_frames_are_as_described() -> None:
    """Each frame and each record of a topic on a page has the fields that its type has."""
    wrong: list[str] = []
    seen = set()
    for block in all_blocks():
        if block.language != "json":
            continue
        for shown in documents(block.text):
            if not isinstance(shown, dict) or "type" not in shown:
                continue
            kind = shown["type"]
            if kind in {"private", "group"}:
                continue
            seen.add(kind)
            if not any(shape.is_valid(shown) for shape in told(kind)):
                wrong.append(f"{block.page}: {shown}")
    assert wrong == [], "\n".join(wrong)
    assert {"read_receipt", "read_count", "read_withdrawn", "read_self", "unread_self"} <= seen
