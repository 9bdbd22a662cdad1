"""Log lines: their form, and what must never be in one."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from aiohttp import web

from seenby import config, logs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def log_as_json() -> None:
    """Log as on a server; in a test's body, since pytest gives each phase its own stderr."""
    logs.set_up(config.load({"SEENBY_LOG_FORMAT": "json"}))


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What was logged."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


class TestForm:
    def test_ours_and_libraries(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Each line is one JSON object with level and time, ours and a library's alike."""
        log_as_json()
        structlog.get_logger().info("started", role="api")
        logging.getLogger("some.library").warning("it is %s", "late")
        ours, theirs = lines(capsys)

        assert (ours["event"], ours["level"], ours["role"]) == ("started", "info", "api")
        assert (theirs["event"], theirs["level"]) == ("it is late", "warning")
        assert theirs["library"] == "some.library"
        assert "timestamp" in ours
        assert "timestamp" in theirs

    def test_for_people_in_a_file(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Lines for people have colours on a terminal only."""
        logs.set_up(config.load({"SEENBY_LOG_FORMAT": "console"}))
        structlog.get_logger().info("started", role="api")
        [line] = capsys.readouterr().err.splitlines()

        assert "started" in line
        assert "role=api" in line
        assert "\x1b" not in line

    def test_an_exception(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A traceback stays inside its line."""
        log_as_json()
        try:
            int("so it is")
        except ValueError:
            structlog.get_logger().exception("failed")
            logging.getLogger("some.library").exception("failed")
        ours, theirs = lines(capsys)

        assert "ValueError: invalid literal" in ours["exception"]
        assert "ValueError: invalid literal" in theirs["exception"]


@pytest.mark.parametrize(
    "header",
    ["Authorization : Bearer eyJsecret", f"Authorization: Bearer eyJsecret{'x' * 9000}"],
)
async def test_a_request_that_is_no_http(capsys: pytest.CaptureFixture[str], header: str) -> None:
    """A request that cannot be read is told without what stood in it: that may be a token."""
    log_as_json()
    runner = web.AppRunner(web.Application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection(*runner.addresses[0])
    writer.write(f"GET / HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await runner.cleanup()
    [line] = lines(capsys)

    assert answer.startswith(b"HTTP/1.0 400 ")
    assert line["level"] == "warning"
    assert line["event"].startswith("Error handling request from 127.0.0.1: ")
    assert "secret" not in json.dumps(line)
