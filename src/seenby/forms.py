"""The forms that settings have: each brings a value into one form, or refuses it."""

# ruff: noqa: TC003 -- pydantic reads these types when it runs

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints


def _matching(pattern: str) -> Callable[[str], str]:
    match = re.compile(pattern).fullmatch

    def check(value: str) -> str:
        if match(value) is None:
            raise ValueError
        return value

    return check


def _split(value: object) -> object:
    """The items of a comma list; a trailing comma does no harm."""
    if not isinstance(value, str):
        return value
    return tuple(item.strip() for item in value.split(",") if item.strip())


def _days(value: object) -> object:
    return None if value == "off" else value


def _upper(value: object) -> object:
    """Kafka's own words, which some write small."""
    return value.strip().upper() if isinstance(value, str) else value


def _port_of(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65535:  # noqa: PLR2004 -- the range of a port, as everybody knows it
        raise ValueError
    return port


def _brokers(value: str) -> str:
    """``host:port`` items; without a port the client library would guess one."""
    items = [item.strip() for item in value.split(",")]
    for item in items:
        found = re.fullmatch(r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})", item, re.ASCII)
        if found is None:
            raise ValueError
        _port_of(found[1])
    return ",".join(items)


def _origin(value: str) -> str:
    """An origin as browsers send it: lower case, without the scheme's own port (RFC 6454)."""
    found = re.fullmatch(
        r"([a-z][a-z0-9+.-]*)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?", value.lower()
    )
    if found is None:
        raise ValueError
    scheme, host, port = found.groups()
    if port is None or _port_of(port) == {"http": 80, "https": 443}.get(scheme):
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{int(port)}"


Host = Annotated[str, AfterValidator(_matching(r"[A-Za-z0-9._:-]{1,253}"))]
Topic = Annotated[str, AfterValidator(_matching(r"[A-Za-z0-9._-]{1,200}"))]
Name = Annotated[str, AfterValidator(_matching(r"[A-Za-z0-9._-]{1,64}"))]
DatabaseUrl = Annotated[
    str,
    AfterValidator(_matching(r"sqlite://.*|(?:mysql|mariadb)(?:\+[a-z]+)?://[^\s/]+/[^\s/?]+\S*")),
]
HttpUrl = Annotated[str, AfterValidator(_matching(r"https?://[^\s/?#@]+(?:/[^\s?#]*)?"))]
SocketUrl = Annotated[str, AfterValidator(_matching(r"wss?://[^\s/?#]+[^\s?#]*"))]
Brokers = Annotated[str, AfterValidator(_brokers)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], BeforeValidator(_split)]
Protocol = Annotated[
    Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], BeforeValidator(_upper)
]
Mechanism = Annotated[Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], BeforeValidator(_upper)]
Algorithm = Literal["HS256", "RS256", "ES256"]
Algorithms = Annotated[tuple[Algorithm, ...], BeforeValidator(_split)]
Days = Annotated[Annotated[int, Field(ge=1, le=3650)] | None, BeforeValidator(_days)]
Secret = Annotated[str, StringConstraints(strip_whitespace=False)]
