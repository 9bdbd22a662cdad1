"""Ports that are free, taken by a seenby, and taken by something else."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

from seenby import config
from seenby.doctor import ports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seenby.doctor import Finding


def look(**environ: str) -> list[Finding]:
    """What is found with these settings; the ports are free ones else."""
    free = {"SEENBY_API_PORT": "0", "SEENBY_GATEWAY_PORT": "0"}
    return list(ports.look(config.read(free | environ)[0]))


@contextmanager
def answering(body: bytes) -> Iterator[str]:
    """The port of a server that answers every request with that body."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing is said."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield str(server.server_port)
        finally:
            server.shutdown()
            thread.join()


def test_free_ports() -> None:
    """Both are told."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
    found = look(SEENBY_API_PORT=port)
    assert [item.level for item in found] == ["ok", "ok"]
    assert found[0].found == f"127.0.0.1:{port} is free"


def test_a_seenby_that_runs_holds_its_port() -> None:
    """Which is as it should be."""
    with answering(b'{"status":"alive"}') as port:
        [_, gateway] = look(SEENBY_GATEWAY_PORT=port)
    assert gateway.level == "ok"
    assert "a seenby that runs" in gateway.found


def test_another_server_on_the_port() -> None:
    """It is named, where the system tells, and so is the setting."""
    for body in (b"<html>It works!</html>", b'{"status":"UP"}'):
        with answering(body) as port:
            [api, _] = look(SEENBY_API_PORT=port)
        assert api.level == "error"
        assert f"(process {os.getpid()})" in api.found
        assert "SEENBY_API_PORT" in api.todo


def test_a_port_on_which_nobody_answers() -> None:
    """Whoever holds it without a word is no seenby."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        silent.settimeout(0)
        ports_patience, ports.ANSWER_WITHIN = ports.ANSWER_WITHIN, 0.05
        try:
            [api, _] = look(SEENBY_API_PORT=str(silent.getsockname()[1]))
        finally:
            ports.ANSWER_WITHIN = ports_patience
    assert api.level == "error"
    assert "is no seenby" in api.found


def test_one_port_for_both() -> None:
    """Only one of them could have it."""
    [found] = look(SEENBY_API_PORT="8080", SEENBY_GATEWAY_PORT="8080")
    assert found.level == "error"
    assert "SEENBY_GATEWAY_PORT" in found.todo


def test_an_address_of_another_machine() -> None:
    """Nobody can listen there from here."""
    [api, _] = look(SEENBY_API_HOST="192.0.2.1", SEENBY_API_PORT="8080")
    assert api.level == "error"
    assert api.found == "192.0.2.1 is no address of this machine"
    assert "SEENBY_API_HOST" in api.todo


def test_a_name_that_is_no_address() -> None:
    """It is told as that."""
    [api, _] = look(SEENBY_API_HOST="no.such.host.invalid", SEENBY_API_PORT="8080")
    assert api.level == "error"
    assert api.found.startswith("no.such.host.invalid is no address")
