"""seenby itself as real processes: the installed command, with settings of the test's own."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

from tests.servers.ports import free_port
from tests.servers.process import ServerError, ServerProcess
from tests.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMAND = Path(sys.executable).with_name("seenby")

ANSWERS_WITHIN = 30.0


class Seenby:
    """One process of seenby on ports of its own, which can be killed and started again.

    Args:
        role: ``serve``, ``api`` or ``gateway``.
        folder: where it runs and logs; an SQLite file lands here by default.
        settings: environment variables for it; nothing else of seenby's is set.
        name: tells several processes of one test apart.
    """

    def __init__(
        self, role: str, folder: Path, settings: Mapping[str, str], name: str = ""
    ) -> None:
        self.role = role
        self.name = name or role
        self.api_port = free_port()
        self.gateway_port = free_port()
        environment = {
            "SEENBY_API_PORT": str(self.api_port),
            "SEENBY_GATEWAY_PORT": str(self.gateway_port),
            "SEENBY_LOG_FORMAT": "json",
            "SEENBY_DRAIN_SECONDS": "0.5",
            "SEENBY_NODE": self.name,
            "SEENBY_DATABASE_URL": f"sqlite:///{folder}/seenby.db",
            **settings,
        }
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        assignments = [f"{name}={value}" for name, value in (kept | environment).items()]
        log = folder / f"{self.name}.log"
        command = ["/usr/bin/env", "-i", "-C", str(folder), *assignments, str(COMMAND), role]
        self.process = ServerProcess(f"seenby {self.name}", command, log)
        self.environment = environment

    @property
    def api(self) -> str:
        """Where the API is."""
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def gateway(self) -> str:
        """Where sockets connect."""
        return f"ws://127.0.0.1:{self.gateway_port}/ws"

    def start(self) -> Seenby:
        """Start it and return when it is alive."""
        self.process.start()
        self.wait_alive()
        return self

    def wait_alive(self) -> None:
        """Return when it answers on its port; raises ServerError with its log when it ended."""
        port = self.gateway_port if self.role == "gateway" else self.api_port

        def alive() -> bool:
            if not self.process.running:
                raise ServerError(f"seenby {self.name} has ended\n{self.process.tail()}")
            try:
                return bool(get(f"http://127.0.0.1:{port}/health"))
            except OSError:
                return False

        wait_until(f"seenby {self.name} is alive", alive)

    def stop(self) -> None:
        """SIGTERM, and wait for a clean end."""
        self.process.stop()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()

    def metric(self, name: str, **labels: str) -> float:
        """The value of a metric of this process; the sum over all its series that fit."""
        port = self.gateway_port if self.role == "gateway" else self.api_port
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=ANSWERS_WITHIN) as answer:
            text = answer.read().decode()
        total, found = 0.0, False
        for line in text.splitlines():
            series, _, value = line.rpartition(" ")
            if series.partition("{")[0] != name:
                continue
            if all(f'{label}="{wanted}"' in series for label, wanted in labels.items()):
                total, found = total + float(value), True
        if not found:
            raise AssertionError(f"no metric {name} with {labels} in\n{text}")
        return total

    def log_lines(self) -> list[dict[str, Any]]:
        """The JSON lines it has logged so far."""
        lines = self.process.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


def get(url: str) -> Any:
    """The JSON document at *url*; raises OSError when there is none."""
    with urlopen(url, timeout=ANSWERS_WITHIN) as answer:  # noqa: S310 -- loopback, and our own
        return json.loads(answer.read())
