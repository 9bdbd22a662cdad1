"""Web pages: from where they may call, and whether a browser would let them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from seenby.config import is_loopback
from seenby.doctor.finding import Finding, error, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seenby.settings import Settings

CHECK = "origins"


def look(settings: Settings) -> Iterator[Finding]:
    """The origins, beside the gateway's address."""
    origins = settings.allowed_origins
    if not origins:
        yield ok(
            CHECK, "pages of the API's own origin may call (SEENBY_ALLOWED_ORIGINS is not set)"
        )
        return
    yield ok(CHECK, f"pages of these may call: {', '.join(origins)}")
    for origin in origins:
        parts = urlsplit(origin)
        if parts.scheme == "http" and not is_loopback((parts.hostname or "").strip("[]")):
            yield warning(
                CHECK,
                f"{origin} is not encrypted: whoever is on the way can change the page",
                "serve the page by https, and name its origin so",
            )
    gateway = urlsplit(settings.gateway_url)
    secure = [origin for origin in origins if origin.startswith("https://")]
    # Browsers count loopback as secure (W3C Secure Contexts, 3.1).
    if secure and gateway.scheme == "ws" and not is_loopback(gateway.hostname or ""):
        yield error(
            CHECK,
            f"pages of {secure[0]} are told to connect to {settings.gateway_url}, and a browser "
            "refuses ws:// to a page that came by https",
            "set SEENBY_GATEWAY_URL to the wss:// address of the proxy before the gateways",
        )
