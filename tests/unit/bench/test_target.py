"""Where load may go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from seenby.bench.target import Target, target
from seenby.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


def found(*addresses: str) -> Callable[[str], Collection[str]]:
    """Every host has these addresses."""
    return lambda _: addresses


def nowhere(host: str) -> Collection[str]:
    """No host is known."""
    raise OSError(-2, "Name or service not known")


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1", 8080),
        ("http://127.0.0.1:8080/", "127.0.0.1", 8080),
        ("http://127.8.9.10", "127.8.9.10", 80),
        ("http://[::1]:8080", "::1", 8080),
    ],
)
def test_this_machine_may_be_loaded(url: str, host: str, port: int) -> None:
    """By any of its loopback addresses."""
    assert target("--api", url, scheme="http", owned=False) == Target(url, host, port)


@pytest.mark.parametrize(
    "addresses",
    [
        ["192.0.2.1"],
        ["0.0.0.0"],  # noqa: S104 -- an address to refuse
        ["2001:db8::1"],
        ["::ffff:192.0.2.1"],
        ["fe80::1%eth0"],
        ["127.0.0.1", "192.0.2.1"],
    ],
)
def test_another_machine_is_refused(addresses: list[str]) -> None:
    """Every address of a host has to be a loopback address; the sentence says the way out."""
    with pytest.raises(BadInput, match=r"--gateway must be this machine: chat\.example\.com") as no:
        target(
            "--gateway",
            "ws://chat.example.com/ws",
            scheme="ws",
            owned=False,
            resolve=found(*addresses),
        )
    assert addresses[-1] in str(no.value)
    assert "--i-own-this-server" in str(no.value)


@pytest.mark.parametrize("addresses", [["127.0.0.1", "::1"], ["::ffff:127.0.0.1"], ["127.1.2.3"]])
def test_a_name_of_this_machine_is_taken(addresses: list[str]) -> None:
    """Whatever it is called."""
    url = "ws://chat.example.com:81/ws"
    given = target("--gateway", url, scheme="ws", owned=False, resolve=found(*addresses))
    assert given == Target(url, "chat.example.com", 81)


def test_an_owner_may_load_another_machine() -> None:
    """Nothing is resolved then: the connection will say whether there is such a host."""
    url = "http://192.0.2.1:8080"
    assert target("--api", url, scheme="http", owned=True, resolve=nowhere).host == "192.0.2.1"


def test_an_unknown_host_is_refused() -> None:
    """In words."""
    with pytest.raises(BadInput, match=r"--api must be the address of a host that is known \(no"):
        target("--api", "http://no.example", scheme="http", owned=False, resolve=nowhere)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8080",
        "https://127.0.0.1",
        "ws://127.0.0.1",
        "http://",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:8080/api",
        "http://127.0.0.1:8080?a=1",
        "http://user@127.0.0.1",
        "http://127.0.0.1\r\nX: y",
        "http://127.0.0.1:8080\n",
    ],
)
@pytest.mark.parametrize("owned", [True, False])
def test_an_api_is_a_host_and_a_port(url: str, owned: bool) -> None:
    """Without TLS or a path; a wrong address is refused with an example of a right one."""
    with pytest.raises(BadInput, match="--api must be an address such as") as no:
        target("--api", url, scheme="http", owned=owned)
    assert "http://127.0.0.1:8080" in str(no.value)


@pytest.mark.parametrize("url", ["ws://127.0.0.1:8081", "ws://127.0.0.1/", "wss://127.0.0.1/ws"])
def test_a_gateway_has_a_path(url: str) -> None:
    """Sockets connect at one, and TLS is not spoken."""
    with pytest.raises(BadInput, match="--gateway must be an address such as"):
        target("--gateway", url, scheme="ws", owned=False)
