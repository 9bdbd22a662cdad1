"""The web pages and the API's descriptions: at which address each is, and what it is made of.

The files come with the package and are read once, at the start. What a page may do is said by its
Content-Security-Policy: run the scripts of its own origin, and talk to this API and to the gateway.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import re
from functools import cached_property, partial
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING

from aiohttp import hdrs
from yarl import URL

from seenby import __version__
from seenby.api import schemas
from seenby.api.answers import JSON, Answer
from seenby.api.descriptions import asyncapi, openapi
from seenby.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from importlib.resources.abc import Traversable

    from seenby.api.routes import Call

PAGES = {
    "/": "demo.html",
    "/inspect": "inspect.html",
    "/docs": "docs.html",
}
"""The file of each page, by its address. Other files are found below /page/."""

ABOUT = "/page/about.json"

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": JSON,
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}

PACKED_FROM = 1024
"""Bytes from which a file is worth packing; a smaller one fits into one segment anyway."""

_GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))", re.IGNORECASE)


class Pages:
    """Answers for the pages' addresses.

    Args:
        gateway_url: where sockets connect.
        auth: ``off`` or ``jwt``: pages say what can be done under it.
        folder: where the files are.
    """

    def __init__(self, *, gateway_url: str, auth: str, folder: Traversable | None = None) -> None:
        policy = _policy(gateway_url)
        folder = folder or files("seenby").joinpath("page")
        self._files = {
            name: _File(content, TYPES.get(name[name.rfind(".") :], "text/plain"), policy)
            for name, content in _read(folder)
        }
        about = _File(schemas.encode({"version": __version__, "auth": auth}), JSON, policy)
        self.routes: dict[str, Callable[[Call], Awaitable[Answer]]] = {
            address: partial(self._page, self._files.pop(name)) for address, name in PAGES.items()
        }
        """The endpoint of each address."""
        self.routes |= {ABOUT: partial(self._page, about), "/page/{name:.+}": self._file}
        documents = {
            "/openapi.json": openapi.document(),
            "/asyncapi.json": asyncapi.document(gateway_url),
        }
        for address, document in documents.items():
            described = _File(schemas.encode(document), JSON, policy)
            self.routes[address] = partial(self._page, described)

    @staticmethod
    async def _page(file: _File, call: Call) -> Answer:
        return await file.answer(call)

    async def _file(self, call: Call) -> Answer:
        file = self._files.get(call.path("name"))
        if file is None:
            raise NotFound(f"there is nothing at {call.request.path[:100]}")
        return await file.answer(call)


class _File:
    """One file, and the answers that bring it."""

    def __init__(self, content: bytes, content_type: str, policy: str) -> None:
        self._content = content
        self._type = content_type
        self._tag = hashlib.sha256(content).hexdigest()[:16]
        # Weak: the same for the file packed and as it is (RFC 9110, section 8.8.3).
        self._headers = (
            (hdrs.ETAG, f'W/"{self._tag}"'),
            # Browsers keep it, and ask each time whether it is still the same.
            (hdrs.CACHE_CONTROL, "no-cache"),
            (hdrs.VARY, f"{hdrs.ACCEPT_ENCODING}, {hdrs.ORIGIN}"),
            ("Content-Security-Policy", policy),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
        )

    @cached_property
    def _packed(self) -> bytes:
        return gzip.compress(self._content, mtime=0)

    async def answer(self, call: Call) -> Answer:
        """The file, packed where that is understood; a browser that has it already is told so."""
        known = call.request.if_none_match or ()
        if any(tag.value in {self._tag, "*"} for tag in known):
            return Answer(b"", HTTPStatus.NOT_MODIFIED, self._type, more=self._headers)
        accepted = call.request.headers.get(hdrs.ACCEPT_ENCODING, "")
        if len(self._content) < PACKED_FROM or not _GZIP.search(accepted):
            return Answer(self._content, content_type=self._type, more=self._headers)
        # A viewer of a megabyte is packed for 50 ms, in which marks shall not wait.
        packed = await asyncio.to_thread(lambda: self._packed)
        headers = (*self._headers, (hdrs.CONTENT_ENCODING, "gzip"))
        return Answer(packed, content_type=self._type, more=headers)


def _read(folder: Traversable, within: str = "") -> Iterator[tuple[str, bytes]]:
    """All files of a folder and those below: names with / between, and contents."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _read(entry, f"{within}{entry.name}/")
        else:
            yield within + entry.name, entry.read_bytes()


def _policy(gateway_url: str) -> str:
    """What pages may do (CSP Level 3)."""
    url = URL(gateway_url)
    # A policy has no form for an IPv6 address: then all addresses of the scheme are allowed.
    gateway = f"{url.scheme}:" if ":" in (url.host or "") else str(url.origin())
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"connect-src 'self' {gateway}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'"
    )
