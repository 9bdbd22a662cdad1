"""Where load may go: to this machine, unless whoever asks says that the server is their own."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TYPE_CHECKING, NamedTuple

from seenby.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_URL = re.compile(r"(\w+)://(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::(\d{1,5}))?(/[^\s?#]*)?", re.ASCII)
_PORT_MAX = 65535


class Target(NamedTuple):
    """A server's address; ``host`` without brackets."""

    url: str
    host: str
    port: int


def resolve(host: str) -> set[str]:
    """All addresses of *host*. Raises OSError when it has none."""
    return {str(found[4][0]) for found in socket.getaddrinfo(host, None)}


def target(
    option: str,
    url: str,
    *,
    scheme: str,
    owned: bool,
    resolve: Callable[[str], Collection[str]] = resolve,
) -> Target:
    """The server at *url*, if it may be loaded.

    Args:
        option: what the address came from, for sentences.
        url: what was given.
        scheme: what it must begin with; TLS is not spoken.
        owned: whether it may be another machine.
        resolve: finds the addresses of a host.

    Raises:
        BadInput: it has another form, is not known, or is another machine.
    """
    found = _URL.fullmatch(url)
    example = "http://127.0.0.1:8080" if scheme == "http" else "ws://127.0.0.1:8081/ws"
    path_fits = found is not None and (found[4] in {None, "/"}) == (scheme == "http")
    if found is None or found[1] != scheme or int(found[3] or 80) > _PORT_MAX or not path_fits:
        raise BadInput(option, f"an address such as {example} (TLS is not spoken)")
    host = found[2].strip("[]")
    if not owned:
        _refuse_others(option, host, resolve)
    return Target(url, host, int(found[3] or 80))


def _refuse_others(option: str, host: str, resolve: Callable[[str], Collection[str]]) -> None:
    """Raise BadInput unless every address of *host* is a loopback address."""
    try:
        addresses = sorted(resolve(host))
    except (OSError, UnicodeError) as error:
        raise BadInput(option, f"the address of a host that is known ({host}: {error})") from None
    others = [address for address in addresses if not _is_loopback(address)]
    if others:
        raise BadInput(
            option,
            f"this machine: {host} is {', '.join(others)}. Whoever owns a server may load it "
            "from elsewhere: say so with --i-own-this-server",
        )


def _is_loopback(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped.is_loopback
    return found.is_loopback
