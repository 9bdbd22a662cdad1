"""The pages' files: how they are sent, and what their pages may do."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from seenby import __version__, node
from seenby.api.pages import ABOUT, PAGES, Pages
from seenby.config import load
from tests.unit.api.conftest import ORIGIN, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiohttp import ClientResponse

    from tests.unit.api.conftest import Api

LONG = "// long\n" * 1000


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """The API with pages, on files of the test's own."""
    (tmp_path / "vendor").mkdir()
    texts = {"short.css": "a{}", "long.js": LONG, "vendor/a.js": "1", "LICENSE": "free"}
    for name, text in (dict.fromkeys(PAGES.values(), "<!doctype html>") | texts).items():
        (tmp_path / name).write_text(text)
    pages = Pages(gateway_url="wss://chat.example.com:444/ws", auth="jwt", folder=tmp_path)
    async with running(pages=pages) as api:
        api.tokens.on = True
        yield api


async def found(api: Api, path: str, **headers: str) -> ClientResponse:
    """The answer of a GET, whose body is as it was sent."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    api.http._auto_decompress = False
    return await api.response("GET", path, headers=named)


@pytest.mark.parametrize("path", [*PAGES, ABOUT, "/page/long.js", "/page/vendor/a.js"])
async def test_pages_are_for_everybody(api: Api, path: str) -> None:
    """A page needs no token: it is opened before anybody has signed in."""
    assert (await found(api, path)).status == 200


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/page/short.css", "text/css; charset=utf-8"),
        ("/page/long.js", "text/javascript; charset=utf-8"),
        ("/page/LICENSE", "text/plain"),
        (ABOUT, "application/json"),
    ],
)
async def test_a_file_says_what_it_is(api: Api, path: str, kind: str) -> None:
    """Browsers run no script and use no style of another type, since they may not guess."""
    response = await found(api, path)

    assert response.headers["Content-Type"] == kind
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/page/long.js", ABOUT])
async def test_what_a_page_may_do(api: Api, path: str) -> None:
    """The policy is sent with every file, and names the gateway's origin only."""
    headers = (await found(api, path)).headers

    assert headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self' wss://chat.example.com:444; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'"
    )
    assert headers["Referrer-Policy"] == "no-referrer"


async def test_an_ipv6_gateway_is_allowed_by_its_scheme() -> None:
    """A policy cannot name an IPv6 address, and browsers warn of one."""
    async with running(pages=Pages(gateway_url="ws://[::1]:8081/ws", auth="off")) as api:
        policy = (await found(api, "/")).headers["Content-Security-Policy"]
    assert "connect-src 'self' ws:; " in policy


async def test_a_file_is_not_sent_twice(api: Api) -> None:
    """A browser that says which file it has gets a 304 without a body, packed or not."""
    first = await found(api, "/page/long.js", Accept_Encoding="gzip")
    tag = first.headers["ETag"]
    again = await found(api, "/page/long.js", If_None_Match=f'"other", {tag}')
    other = await found(api, "/page/short.css", If_None_Match=tag)

    assert first.headers["Cache-Control"] == "no-cache"
    assert (again.status, await again.read()) == (304, b"")
    assert again.headers["ETag"] == tag
    assert (other.status, await other.read()) == (200, b"a{}")


@pytest.mark.parametrize("accepted", ["gzip", "br, GZIP;q=0.5", "deflate, gzip"])
async def test_a_long_file_is_packed(api: Api, accepted: str) -> None:
    """Where gzip is understood, and only there."""
    packed = await found(api, "/page/long.js", Accept_Encoding=accepted)

    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in packed.headers["Vary"]
    assert gzip.decompress(await packed.read()) == LONG.encode()


@pytest.mark.parametrize("accepted", ["identity", "br", "gzip;q=0", "gzip; q=0.0, br", "xgzip"])
async def test_not_everybody_unpacks(api: Api, accepted: str) -> None:
    """Who does not understand gzip, or refuses it, gets the file as it is."""
    plain = await found(api, "/page/long.js", Accept_Encoding=accepted)

    assert "Content-Encoding" not in plain.headers
    assert await plain.text() == LONG
    assert plain.headers["Vary"] == "Accept-Encoding, Origin"


@pytest.mark.parametrize(
    "name", ["nothing.js", "demo.html", "..%2Fpy.typed", "%2e%2e/py.typed", "vendor", "vendor/"]
)
async def test_what_is_no_file_of_the_pages(api: Api, name: str) -> None:
    """A 404 as ever: what is not among the files that were read is not there."""
    response = await found(api, f"/page/{name}")

    assert response.status == 404
    assert (await response.json())["code"] == "not_found"


async def test_what_pages_ask_first(api: Api) -> None:
    """The version, and whether a token is needed: not a word more about the installation."""
    status, document = await api.call("GET", ABOUT)

    assert (status, document) == (200, {"version": __version__, "auth": "jwt"})


async def test_a_head_has_no_body(api: Api) -> None:
    """HEAD answers as GET, as everywhere."""
    response = await api.response("HEAD", "/")

    assert (response.status, await response.read()) == (200, b"")
    assert response.headers["Content-Length"] == str(len("<!doctype html>"))


async def test_a_page_of_another_origin_may_read_the_files(api: Api) -> None:
    """CORS holds for pages as for all addresses, without losing what caches must know."""
    response = await found(api, "/page/long.js", Origin=ORIGIN)

    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert response.headers["Vary"] == "Accept-Encoding, Origin"


async def test_without_pages_there_is_nothing() -> None:
    """An API that serves no pages answers at their addresses as at any unknown one."""
    async with running() as api:
        for path in (*PAGES, ABOUT, "/page/demo.js"):
            status, document = await api.call("GET", path)
            assert (status, document["code"]) == (404, "not_found")


async def test_the_packages_own_pages_are_there() -> None:
    """Each page is among the files that come with the package."""
    async with running(pages=Pages(gateway_url="ws://localhost/ws", auth="off")) as api:
        for path in PAGES:
            assert "<!doctype html>" in await (await api.response("GET", path)).text()


@pytest.mark.parametrize(
    ("environ", "origins"),
    [
        ({}, {"http://127.0.0.1:8080", "http://localhost:8080"}),
        ({"SEENBY_API_PORT": "80"}, {"http://127.0.0.1", "http://localhost"}),
        ({"SEENBY_ALLOWED_ORIGINS": "https://a.example"}, {"https://a.example"}),
    ],
)
def test_a_page_may_be_opened_under_each_name_of_this_machine(
    environ: dict[str, str], origins: set[str]
) -> None:
    """Whether localhost or 127.0.0.1, the gateway lets the API's own pages in."""
    assert node._origins(load(environ)) == origins
