"""`seenby bench` against real processes: what it counts is what happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.servers.seenby import COMMAND
from tests.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.acceptance.conftest import Launch
    from tests.servers.seenby import Seenby

SECRET = "a secret of at least thirty-two bytes"
AUTHENTICATED = {"SEENBY_AUTH": "jwt", "SEENBY_JWT_SECRET": SECRET}


@contextmanager
def started(
    server: Seenby, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """The command on a server, with no settings but these; it ends with the block."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with subprocess.Popen(
        [str(COMMAND), "bench", f"--api={server.api}", f"--gateway={server.gateway}", *arguments],
        env=kept | dict(environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run(
    server: Seenby, *arguments: str, environment: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    """Exit status, output and complaints of the command."""
    with started(server, *arguments, environment=environment) as process:
        output, errors = process.communicate(timeout=150)
    return process.returncode, output, errors


def bench(server: Seenby, *arguments: str, **environment: str) -> tuple[int, dict[str, Any]]:
    """Exit status and report of a run that tells programs."""
    status, output, errors = run(
        server, "--json", "--seconds=1", *arguments, environment=environment
    )
    assert errors == ""
    ready, report = output.splitlines()
    assert json.loads(ready) == {"ready": True}
    return status, json.loads(report)


def published(server: Seenby) -> float:
    """How many receipts the server says it has published."""
    return server.metric("read_receipt_events_published_total", status="ok")


@pytest.fixture
def server(launch: Launch) -> Iterator[Seenby]:
    """A whole seenby in one process."""
    server = launch("serve")
    yield server
    server.stop()


@pytest.mark.parametrize("over", ["http", "batch", "socket"])
@pytest.mark.parametrize("rate", [0, 200])
def test_every_mark_is_answered_and_delivered(server: Seenby, over: str, rate: int) -> None:
    """Once to each device of its sender, in order, over each of the three ways."""
    arguments = ("--connections=3", "--senders=5", "--devices=2", "--batch-size=10")
    status, report = bench(server, f"--over={over}", f"--rate={rate}", *arguments)

    assert report["refused"] == {}
    assert report["marks"] == report["asked"] > 0
    assert report["deliveries"] == 2 * report["marks"]
    assert (report["missing"], report["doubled"], report["out_of_order"]) == (0, 0, 0)
    assert report["sockets_lost"] == 0
    assert report["interrupted"] is False
    assert status == 0
    # What the server counted.
    assert published(server) == report["marks"]
    if rate:
        assert report["marks"] + report["unsent"] == 200
    for latencies in (report["answer_ms"], report["socket_ms"]):
        assert 0 < latencies["p50"] <= latencies["p90"] <= latencies["p99"] <= latencies["max"]


def test_nobody_has_to_listen(server: Seenby) -> None:
    """Only answers are measured then, and no socket is opened."""
    status, report = bench(server, "--connections=2", "--no-sockets")

    assert status == 0
    assert report["marks"] == report["asked"] > 0
    assert (report["devices"], report["deliveries"], report["missing"]) == (0, 0, 0)
    assert report["socket_ms"]["max"] == 0


def test_a_tag_that_was_used_before_delivers_nothing(server: Seenby) -> None:
    """The first read wins, so these marks are answered and tell nobody: a failed run."""
    arguments = ("--rate=20", "--connections=2", "--senders=2", "--tag=again")
    status, report = bench(server, *arguments)
    assert (status, report["marks"], report["missing"]) == (0, 20, 0)

    status, report = bench(server, *arguments)
    assert (status, report["marks"], report["missing"]) == (1, 20, 20)
    assert report["deliveries"] == 0


class TestTokens:
    @pytest.fixture
    def guarded(self, launch: Launch) -> Seenby:
        """A seenby that asks for tokens."""
        return launch("serve", **AUTHENTICATED)

    @pytest.mark.parametrize("over", ["http", "batch", "socket"])
    def test_a_token_of_a_service_may_load(
        self, guarded: Seenby, tmp_path: Path, over: str
    ) -> None:
        """From the environment, where no list of processes shows it; for marks and sockets."""
        made = subprocess.run(
            [str(COMMAND), "token", "--service"],
            env=AUTHENTICATED,
            check=True,
            capture_output=True,
            text=True,
        )
        arguments = ("--connections=2", "--senders=3", f"--over={over}")
        token = {"SEENBY_BENCH_TOKEN": made.stdout.strip()}
        status, report = bench(guarded, *arguments, **token)
        assert (status, report["refused"], report["missing"]) == (0, {}, 0)
        assert report["deliveries"] == report["marks"] > 0

    def test_marks_without_a_token_are_counted_as_refused(self, guarded: Seenby) -> None:
        """By status, and the run has failed."""
        status, report = bench(guarded, "--connections=1", "--rate=10", "--no-sockets")
        assert (status, report["marks"], report["refused"]) == (1, 0, {"401": 10})

    @pytest.mark.parametrize("arguments", [(), ("--over=socket", "--no-sockets")])
    def test_sockets_without_a_token_end_the_run(
        self, guarded: Seenby, arguments: tuple[str, ...]
    ) -> None:
        """Before it begins, in words."""
        status, output, errors = run(guarded, *arguments)
        assert (status, output) == (1, "")
        assert "Traceback" not in errors
        assert f"at {guarded.gateway}" in errors


def test_more_sockets_than_files_are_refused(server: Seenby) -> None:
    """Before any is opened, with the options that are too high and the limit."""
    command = f"ulimit -n 300; exec {COMMAND} bench --api={server.api} --gateway={server.gateway}"
    done = subprocess.run(
        ["sh", "-c", command], env={}, check=False, capture_output=True, text=True, timeout=150
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "--connections plus --senders times --devices must be below the 300 files" in done.stderr
    assert server.metric("seenby_connections") == 0


def test_a_person_gets_a_table(server: Seenby) -> None:
    """And no JSON; nothing on standard error, where there is no terminal."""
    status, output, errors = run(server, "--seconds=1", "--connections=2")

    assert (status, errors) == (0, "")
    assert "mark to answer" in output
    assert "mark to socket" in output
    assert "{" not in output


def test_an_interrupted_run_reports_what_it_has(server: Seenby) -> None:
    """Ctrl-C ends the load early; what is under way is waited for."""
    arguments = ("--json", "--seconds=600", "--connections=2", "--senders=3")
    with started(server, *arguments) as process:
        # Not before the load: until then an interrupt ends it without a report.
        wait_until("marks are published", lambda: published(server) > 0)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=150)

    ready, report = map(json.loads, output.splitlines())
    assert ready == {"ready": True}
    assert (process.returncode, errors, report["interrupted"]) == (0, "", True)
    assert report["seconds"] < 600
    assert report["deliveries"] == report["marks"] == report["asked"] > 0
    assert report["missing"] == 0


def test_a_server_that_is_not_there_is_named(server: Seenby) -> None:
    """With its address, and nothing is measured."""
    server.stop()
    for arguments in ((), ("--no-sockets",)):
        status, output, errors = run(server, *arguments)
        assert (status, output) == (1, "")
        assert (server.gateway if not arguments else server.api) in errors
        assert "Traceback" not in errors
