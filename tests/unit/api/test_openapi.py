"""The description of the API is valid, and says what the code does: nothing more, nothing less."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import jsonschema_rs
import pytest
from aiohttp import hdrs
from schemathesis.specs.openapi.definitions import OPENAPI_31

from seenby.api.descriptions import openapi
from seenby.api.descriptions.examples import EXAMPLES
from seenby.api.descriptions.operations import OPERATIONS
from seenby.api.pages import PAGES
from seenby.errors import HTTP_STATUS, BusUnavailable, SeenbyError, WrongMethod
from tests.unit.api import described
from tests.unit.api.conftest import BACKEND
from tests.unit.api.good_requests import BY_NAME, a_chat, everything, good

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seenby.api.descriptions.operation import Operation
    from tests.unit.api.conftest import Api

DIALECT = "https://json-schema.org/draft/2020-12/schema"
HTTP_MD = Path(__file__).parents[3] / "docs" / "http.md"
WITH_BODY = [operation for operation in OPERATIONS if operation.body is not None]


def name_of(operation: Operation) -> str:
    """What a test of it is called."""
    return operation.name


def schemas_in(node: Any) -> Iterator[Any]:
    """Every schema of the document, wherever it stands."""
    if isinstance(node, dict):
        if "schema" in node:
            yield node["schema"]
        for part in node.values():
            yield from schemas_in(part)
    elif isinstance(node, list):
        for part in node:
            yield from schemas_in(part)


def test_it_is_openapi() -> None:
    """The document is what the OpenAPI Initiative's own schema of 3.1 asks for."""
    document = openapi.document()
    validator = jsonschema_rs.Draft202012Validator(OPENAPI_31)
    assert [str(fault) for fault in validator.iter_errors(document)] == []
    # That schema looks at no schema inside; and it does find what is wrong.
    del document["info"]["title"]
    assert not validator.is_valid(document)


def test_its_schemas_are_json_schema() -> None:
    """Each schema in it is one of JSON Schema 2020-12, and what it refers to is there."""
    document = openapi.document()
    schemas = [*schemas_in(document), *document["components"]["schemas"].values()]
    assert len(schemas) > 150
    for schema in schemas:
        jsonschema_rs.meta.validate({"$schema": DIALECT, **schema})
    for kind, name in re.findall(r'"#/components/(\w+)/([^"]+)"', json.dumps(document)):
        assert name in document["components"][kind]


def test_nothing_is_described_twice() -> None:
    """Operations have names of their own, and each method of an address stands there once."""
    names = [operation.name for operation in OPERATIONS]
    places = [(operation.method, operation.path) for operation in OPERATIONS]
    assert len(set(names)) == len(names)
    assert len(set(places)) == len(places)


# Addresses and parameters


class Watched:
    """A request that notes which of its parameters are looked at."""

    def __init__(self, request: Any, seen: set[tuple[str, str]]) -> None:
        self._request = request
        self.query = Names("query", request.query, seen)
        self.headers = Names("header", request.headers, seen)
        self.match_info = Names("path", request.match_info, seen)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)


class Names:
    """Names and values; each name that is asked for is noted."""

    def __init__(self, within: str, values: Any, seen: set[tuple[str, str]]) -> None:
        self._within, self._values, self._seen = within, values, seen

    def getall(self, name: str, *default: Any) -> Any:
        """All values."""
        self._seen.add((self._within, name))
        return self._values.getall(name, *default)

    def get(self, name: str, default: Any = None) -> Any:
        """The first value."""
        self._seen.add((self._within, name))
        return self._values.get(name, default)

    def __getitem__(self, name: str) -> Any:
        self._seen.add((self._within, name))
        return self._values[name]


class Watching:
    """Endpoints whose requests are watched; ``seen`` has what each address has looked at."""

    def __init__(self, seen: dict[tuple[str, str], set[tuple[str, str]]]) -> None:
        self._seen = seen
        self._part: Any = None

    def around(self, part: Any) -> Any:
        """The same, around other endpoints."""
        watching = Watching(self._seen)
        watching._part = part
        return watching

    def __getattr__(self, name: str) -> Any:
        endpoint = getattr(self._part, name)

        async def watched(call: Any) -> Any:
            request = call.request
            place = request.method.lower(), request.match_info.route.resource.canonical
            noted = self._seen.setdefault(place, set())
            return await endpoint(call._replace(request=Watched(request, noted)))

        return watched


async def test_parameters_are_those_that_are_read(chat: Api) -> None:
    """Each parameter that an address looks at is described there, and no other one is."""
    seen: dict[tuple[str, str], set[tuple[str, str]]] = {}
    async with everything(chat, Watching(seen).around) as api:
        await a_chat(api)
        # The public ones take none; but that other processes are answered in a way of its own.
        chosen = [operation for operation in OPERATIONS if not operation.public]
        for operation in chosen:
            asked = good(operation)
            await api.good(asked.method, asked.path, json=asked.json)
            if operation.name == "receipts":
                # Who has not read is another question, with parameters of its own.
                await api.good(asked.method, f"{asked.path}&unread=true")
    assert seen == {
        (operation.method, operation.path): {
            (parameter["in"], parameter["name"])
            for parameter in described.of(operation).get("parameters", [])
        }
        for operation in chosen
    }


async def test_every_address_is_described(chat: Api) -> None:
    """Each address and method is described, but for the pages, which are for people."""
    async with everything(chat) as api:
        app = cast("Any", api.http).app
        for_people = {*PAGES, "/page/about.json", "/page/{name}"}
        there = {
            (route.method.lower(), route.resource.canonical)
            for route in app.router.routes()
            if route.method not in {hdrs.METH_ANY, hdrs.METH_HEAD, hdrs.METH_OPTIONS}
        }
    assert {(method, path) for method, path in there if path not in for_people} == {
        (operation.method, operation.path) for operation in OPERATIONS
    }


@pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)
async def test_a_good_request_is_answered_as_described(chat: Api, operation: Operation) -> None:
    """What comes back has the fields that are described, and no others; HEAD has no body."""
    async with everything(chat) as api:
        await a_chat(api)
        asked = good(operation)
        assert described.operation(asked.method, asked.path.partition("?")[0]) is not None
        token = api.ticket if operation.name == "node" else BACKEND
        methods = [asked.method, "HEAD"] if asked.method == "GET" else [asked.method]
        for method in methods:
            answer = await api.response(method, asked.path, json=asked.json, token=token)
            body = await answer.read()
            assert answer.status == 200
            found = described.operation(method, asked.path.partition("?")[0])
            assert found is not None
            assert found["operationId"] == operation.name
            headers, shown = dict(answer.headers), None if method == "HEAD" else body
            assert described.differences(found, answer.status, headers, shown) == []
            assert method != "HEAD" or body == b""


@pytest.mark.parametrize("path", ["/openapi.json", "/asyncapi.json"])
async def test_a_description_is_not_sent_twice(chat: Api, path: str) -> None:
    """Who has a description already is told so, as it is described; anyone may read it."""
    async with everything(chat) as api:
        first = await api.response("GET", path)
        assert first.status == 200
        known = {"If-None-Match": first.headers["ETag"]}
        again = await api.response("GET", path, headers=known)
        found = described.operation("GET", path)
        assert found is not None
        assert (again.status, await again.read()) == (304, b"")
        assert described.differences(found, 304, dict(again.headers), b"") == []


# Bodies


@pytest.mark.parametrize("operation", WITH_BODY, ids=name_of)
async def test_each_field_of_a_body_is_looked_at(chat: Api, operation: Operation) -> None:
    """A described field of another type is refused by its name, so it is one that is read."""
    async with everything(chat) as api:
        await a_chat(api)
        asked = good(operation)
        [name] = re.findall(r"schemas/(\w+)", json.dumps(openapi.schema_of(operation.body)))
        schema = described.described()["components"]["schemas"][name]
        assert described.faults(openapi.schema_of(operation.body), asked.json) == []
        for field in schema["properties"]:
            changed = asked.json | {field: {}}
            status, document = await api.call(asked.method, asked.path, json=changed, token=BACKEND)
            assert (status, document["error"].split()[0]) == (400, field)


@pytest.mark.parametrize("operation", WITH_BODY, ids=name_of)
async def test_a_field_is_needed_where_it_is_said_to_be(chat: Api, operation: Operation) -> None:
    """Without a required field the request is refused by its name, without another it is not."""
    async with everything(chat) as api:
        await a_chat(api)
        asked = good(operation)
        [name] = re.findall(r"schemas/(\w+)", json.dumps(openapi.schema_of(operation.body)))
        schema = described.described()["components"]["schemas"][name]
        for field in schema["properties"]:
            less = {key: value for key, value in asked.json.items() if key != field}
            status, document = await api.call(asked.method, asked.path, json=less, token=BACKEND)
            if field in schema.get("required", ()):
                assert (status, document["error"].split()[0]) == (400, field)
            elif operation.name == "mark":
                # Of a message that nobody has registered sender and conversation must be said.
                assert status in {200, 400}
            else:
                assert status == 200


# Refusals


def test_every_error_is_described_somewhere() -> None:
    """Each code that an answer can have stands at some address."""
    told = {
        code for operation in OPERATIONS for code in described.codes_of(described.of(operation))
    }
    # Any address answers the first, so that it stands in the introduction; none needs the bus.
    elsewhere = {WrongMethod.code, BusUnavailable.code}
    kinds: list[type[SeenbyError]] = [SeenbyError, *HTTP_STATUS]
    assert told == {kind.code for kind in kinds} - elsewhere
    assert WrongMethod.code in openapi.document()["info"]["description"]


def test_refusals_stand_at_their_status() -> None:
    """A code is described at the status with which it is answered."""
    statuses = {kind.code: status for kind, status in HTTP_STATUS.items()}
    for operation in OPERATIONS:
        for status, answer in described.of(operation)["responses"].items():
            for code in described.codes_in(answer):
                assert statuses.get(code, 500) == int(status)


# Examples


def examples_of(part: str) -> dict[str, Any]:
    """The first request and answer that a part of docs/http.md shows."""
    found: dict[str, Any] = {}
    for language, text in re.findall(r"^```(\w+)\n(.*?)^```$", part, re.MULTILINE | re.DOTALL):
        body = re.search(r"-d '(.*?)'", text, re.DOTALL)
        if language == "json":
            return {**found, "answer": json.loads(text)}
        if body is not None:
            found["request"] = json.loads(body[1])
    return found


def test_examples_are_those_of_the_documentation() -> None:
    """Each operation shows the request and the answer that docs/http.md shows."""
    parts = re.split(r"^##+ ", HTTP_MD.read_text(encoding="utf-8"), flags=re.MULTILINE)
    headings = {part.partition("\n")[0].strip("`"): part for part in parts}
    shown = {
        operation.name: examples_of(headings[f"{operation.method.upper()} {operation.path}"])
        for operation in OPERATIONS
    }
    assert {name: example for name, example in shown.items() if example} == EXAMPLES


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_as_they_are_described(name: str) -> None:
    """An example fits the schema that stands beside it."""
    operation, example = BY_NAME[name], EXAMPLES[name]
    if "request" in example and not name.endswith("_batch"):
        assert described.faults(openapi.schema_of(operation.body), example["request"]) == []
    content = described.of(operation)["responses"]["200"]["content"]["application/json"]
    assert described.faults(content["schema"], example["answer"]) == []
    assert content["example"] == example["answer"]
