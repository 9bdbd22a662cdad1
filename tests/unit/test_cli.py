"""The command line: what it explains, what it prints, how it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import jwt
import pytest
import typer
from typer.testing import CliRunner

from seenby import __version__, cli
from seenby.cli import watching
from seenby.client import frames as client_frames
from seenby.errors import BadInput, ConfigError, SeenbyError
from seenby.gateway import frames as gateway_frames
from seenby.model import SELF_KINDS, Event, Kind
from seenby.settings import variables
from seenby.store.schema import require_current

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AT = 1_704_067_200_000
SECRET = "a secret of at least thirty-two bytes"

COMMANDS = [
    [],
    ["serve"],
    ["api"],
    ["gateway"],
    ["migrate"],
    ["topic"],
    ["topic", "create"],
    ["epoch"],
    ["epoch", "new"],
    ["verify"],
    ["erase"],
    ["doctor"],
    ["settings"],
    ["token"],
    ["mark"],
    ["watch"],
    ["bench"],
]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting but the test's own; an SQLite file would land in the test's folder."""
    for variable in variables():
        monkeypatch.delenv(variable.name, raising=False)
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> str:
    """What a command prints; raises what it raises."""
    result = CliRunner().invoke(cli.app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def all_commands(command: Any, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Every command and group below *command*."""
    found = {path}
    for name, below in getattr(command, "commands", {}).items():
        found |= all_commands(below, (*path, name))
    return found


class TestHelp:
    def test_every_command_is_known_here(self) -> None:
        """No command is without a test of its help."""
        assert all_commands(typer.main.get_command(cli.app)) == {tuple(c) for c in COMMANDS}

    @pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
    def test_every_command_explains_itself(self, command: list[str]) -> None:
        """--help says what a command does and what each of its options means."""
        result = CliRunner(env={"COLUMNS": "200"}).invoke(cli.app, [*command, "--help"])

        assert result.exit_code == 0
        assert "Usage:" in result.output
        lines = [line for line in result.output.splitlines() if "--" in line]
        assert all(len(line.split()) > 4 for line in lines), lines

    @pytest.mark.parametrize("width", [60, 100])
    def test_lines_end_where_the_terminal_does(self, width: int) -> None:
        """Not where those of the source do."""
        result = CliRunner(env={"COLUMNS": str(width)}).invoke(cli.app, ["erase", "--help"])

        text = result.output.partition("{USER}")[2].partition("╭")[0]
        for line, following in pairwise(line.strip() for line in text.splitlines()):
            if line and following:
                assert len(f" {line} {following.split()[0]} ") > width

    def test_the_version(self) -> None:
        """--version prints the package's version."""
        assert run("--version").strip() == __version__


class TestSettings:
    def test_every_setting_is_listed(self) -> None:
        """`seenby settings` names each setting with its description and accepted form."""
        text = run("settings")

        for variable in variables():
            assert variable.name in text
            assert variable.description in text
            assert variable.accepted in text


class TestDatabase:
    def test_migrate(self, tmp_path: Path) -> None:
        """`seenby migrate` makes the tables, says what it applied, and may be repeated."""
        first = run("migrate")
        second = run("migrate")

        assert first.startswith("applied 0001")
        assert second == "the database is up to date\n"
        require_current(f"sqlite:///{tmp_path}/seenby.db")

    def test_a_new_epoch(self) -> None:
        """`seenby epoch new` prints another epoch each time."""
        run("migrate")

        assert run("epoch", "new") != run("epoch", "new")

    def test_a_new_epoch_needs_the_tables(self) -> None:
        """Without tables nothing is begun, and the sentence says what to run."""
        with pytest.raises(SeenbyError, match="seenby migrate"):
            run("epoch", "new")


class TestTopic:
    def test_without_brokers(self) -> None:
        """`seenby topic create` needs KAFKA_BROKERS, and says so."""
        with pytest.raises(ConfigError, match="KAFKA_BROKERS must be set"):
            run("topic", "create")


class TestToken:
    def test_a_users_token(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The token is the user's, signed with the secret, and ends after so many hours."""
        monkeypatch.setenv("SEENBY_JWT_SECRET", SECRET)
        claims = jwt.decode(run("token", "user123", "--hours", "2").strip(), SECRET, ["HS256"])

        assert claims["sub"] == "user123"
        assert "scope" not in claims
        assert 7190 < claims["exp"] - time.time() < 7210

    def test_a_service_token(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """--service makes a token that may act for anyone."""
        monkeypatch.setenv("SEENBY_JWT_SECRET", SECRET)
        claims = jwt.decode(run("token", "--service").strip(), SECRET, ["HS256"])

        assert claims["scope"] == "service"
        assert "sub" not in claims

    def test_for_nobody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A token is for a user or for a service."""
        monkeypatch.setenv("SEENBY_JWT_SECRET", SECRET)
        with pytest.raises(BadInput, match="USER must be given, or --service"):
            run("token")

    def test_without_a_secret(self) -> None:
        """Without a shared secret only the issuer can make tokens."""
        with pytest.raises(ConfigError, match="SEENBY_JWT_SECRET"):
            run("token", "user123")


class TestTrying:
    def test_a_file_with_a_token(self, tmp_path: Path) -> None:
        """@FILE that cannot be read is refused by the option's name."""
        with pytest.raises(BadInput, match="--token must be a token, or @FILE"):
            run("watch", "user123", "--token", f"@{tmp_path}/none")

    def test_a_user_that_cannot_be(self) -> None:
        """An id that cannot be one is refused before anything is connected."""
        with pytest.raises(BadInput, match="user_id must be"):
            run("watch", "a b")


class TestFailures:
    @pytest.mark.parametrize(
        ("error", "status"),
        [
            (ConfigError("A is wrong\nB is wrong"), 2),
            (BadInput("USER", "given"), 2),
            (SeenbyError("it did not work"), 1),
            (KeyboardInterrupt(), 130),
        ],
    )
    def test_how_a_command_ends(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        error: BaseException,
        status: int,
    ) -> None:
        """A failure is a sentence per line on standard error, and a status; never a traceback."""

        def fail() -> None:
            raise error

        monkeypatch.setattr(cli, "app", fail)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()

        assert ended.value.code == status
        assert said.out == ""
        assert said.err == "".join(f"seenby: {line}\n" for line in str(error).splitlines())


def test_ctrl_c_is_heard_from_the_start(tmp_path: Path) -> None:
    """Also while everything is still being imported: there is no traceback."""
    program = """
import sys

class Impatient:
    def find_spec(self, name, path, target=None):
        if name == "typer":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Impatient())
from seenby.cli import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def _events() -> Iterator[Event]:
    """Every kind of event, with all that it can have and with as little as it can."""
    for kind, seq, device, count in product(Kind, (0, 42), ("", "phone"), (None, 0, 3)):
        of = None if count is None or kind in SELF_KINDS else 10
        if kind == Kind.COUNT and of is None:
            continue
        yield Event("alice", seq, "m1", "bob", "c1", AT, AT, device, "", kind, count, of)


@pytest.mark.parametrize("event", list(_events()), ids=str)
def test_an_event_looks_like_the_frame(event: Event) -> None:
    """`seenby watch --json` shows exactly the fields of the gateway's own frame."""
    if event.kind == Kind.RECEIPT:
        text = gateway_frames.receipt(event, AT // 1000 + 5).decode()
    else:
        text = gateway_frames.update(event, AT // 1000 + 5).decode()
    frame = client_frames.decode(text)
    assert isinstance(frame, client_frames.EventFrame)

    assert json.loads(watching.line(frame.pushed("epoch"))) == json.loads(text)
