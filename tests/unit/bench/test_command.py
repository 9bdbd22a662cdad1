"""What `seenby bench` refuses, before it opens any connection."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from seenby import cli
from seenby.bench.run import new_tag
from seenby.errors import BadInput, ConfigError
from seenby.inputs import msg_id
from seenby.settings import variables

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting but the test's own."""
    for variable in variables():
        monkeypatch.delenv(variable.name, raising=False)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A port of this machine that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def refused(*arguments: str, **environment: str) -> str:
    """What the command says when it refuses."""
    result = CliRunner(env={"COLUMNS": "200", **environment}).invoke(cli.app, ["bench", *arguments])
    if isinstance(result.exception, BadInput | ConfigError):
        return str(result.exception)
    assert result.exit_code == 2, result.output
    return result.output


@pytest.mark.parametrize(
    ("option", "value", "accepted"),
    [
        ("--connections", "0", "greater than or equal to 1"),
        ("--connections", "10001", "less than or equal to 10000"),
        ("--connections", "1.5", "a valid integer"),
        ("--rate", "-1", "greater than or equal to 0"),
        ("--rate", "1000001", "less than or equal to 1000000"),
        ("--rate", "nan", "less than or equal to 1000000"),
        ("--rate", "fast", "a valid number"),
        ("--seconds", "0.9", "greater than or equal to 1"),
        ("--seconds", "601", "less than or equal to 600"),
        ("--senders", "0", "greater than or equal to 1"),
        ("--senders", "100001", "less than or equal to 100000"),
        ("--devices", "0", "greater than or equal to 1"),
        ("--devices", "101", "less than or equal to 100"),
        ("--batch-size", "0", "greater than or equal to 1"),
        ("--batch-size", "1001", "less than or equal to 1000"),
        ("--over", "pigeon", "one of 'http', 'batch', 'socket'"),
    ],
)
def test_a_value_out_of_bounds_is_refused(option: str, value: str, accepted: str) -> None:
    """The option is named, and so is what it takes."""
    said = refused(f"{option}={value}")
    assert f"Invalid value for '{option}': " in said
    assert accepted in said


@pytest.mark.parametrize("tag", ["a b", "ä", "a%d", 'a"', "x" * 41, "a\n"])
def test_a_tag_is_part_of_message_ids(tag: str) -> None:
    """So it is made of what those are made of."""
    accepted = "1 to 40 letters, digits, dots, underscores and hyphens"
    assert refused(f"--tag={tag}") == f"--tag must be {accepted}"


def test_the_longest_tag_makes_message_ids() -> None:
    """With the number of a mark behind it."""
    assert msg_id("x" * 40 + "-" + "9" * 9)


def test_every_run_has_a_tag_of_its_own() -> None:
    """A message that was marked once is answered and tells nobody again."""
    assert new_tag() != new_tag()


@pytest.mark.parametrize("token", ["a b", "a\r\nX: y", "ä"])
def test_a_token_cannot_break_a_header(token: str) -> None:
    """Wherever it comes from; it is not repeated."""
    for said in (refused(f"--token={token}"), refused(SEENBY_BENCH_TOKEN=token)):
        assert said == "--token must be printable ASCII characters without spaces"


@pytest.mark.parametrize("arguments", [(), ("--over=socket",), ("--no-sockets",)])
def test_another_machine_is_refused_before_any_connection(
    listening: socket.socket, arguments: tuple[str, ...]
) -> None:
    """Even if the other address is one of this machine."""
    port = listening.getsockname()[1]
    here, there = f"127.0.0.1:{port}", "192.0.2.1"
    said = refused(f"--api=http://{here}", f"--gateway=ws://{there}/ws", *arguments)
    assert said.startswith("--gateway must be this machine: 192.0.2.1 is 192.0.2.1. ")
    said = refused(f"--api=http://{there}", f"--gateway=ws://{here}/ws", *arguments)
    assert said.startswith("--api must be this machine: 192.0.2.1 is 192.0.2.1. ")
    with pytest.raises(BlockingIOError):
        listening.accept()


def test_a_setting_may_name_another_machine() -> None:
    """It is refused in the same way."""
    said = refused(SEENBY_GATEWAY_URL="ws://192.0.2.1/ws")
    assert said.startswith("--gateway must be this machine")


def test_the_token_in_the_environment_is_no_setting() -> None:
    """Other commands do not take it for a slip."""
    result = CliRunner(env={"SEENBY_BENCH_TOKEN": "t"}).invoke(cli.app, ["epoch", "new"])
    assert not isinstance(result.exception, ConfigError)
