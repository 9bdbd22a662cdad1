"""nginx with the configuration that deploy/ has: only addresses, files and the user are ours."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.ports import free_port
from tests.servers.process import ServerError, ServerProcess
from tests.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.servers.certificates import Certificate

CONFIG = Path(__file__).parents[2] / "deploy/nginx.conf"
START_TRIES = 5
NOT_STARTED = "nginx has not started"


class Nginx:
    """deploy/nginx.conf, running.

    Args:
        folder: for its files.
        certificate: of its host name.
        instead: what else stands in the configuration, and what is meant.

    Attributes:
        port: with TLS.
        plain_port: without.
        log: of what was asked.
    """

    def __init__(self, folder: Path, certificate: Certificate, instead: Mapping[str, str]) -> None:
        self._folder = folder
        self.certificate = certificate
        self.instead = dict(instead)
        self.log = folder / "seenby.log"

    def start(self) -> Nginx:
        """Start it on free ports, and return when it listens."""
        for _ in range(START_TRIES):
            self.port, self.plain_port = free_port(), free_port()
            config = self._folder / "nginx.conf"
            config.write_text(self.config(), encoding="utf-8")
            program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
            if program is None:
                raise ServerError("nginx is not installed: `make servers` installs it")
            # One process: workers would outlive a master that is killed.
            command = [
                program,
                "-c",
                str(config),
                "-e",
                "stderr",
                "-g",
                "daemon off; master_process off;",
            ]
            self.process = ServerProcess("nginx", command, self._folder / "nginx.log")
            self.process.start()
            wait_until(
                "nginx runs", lambda: not self.process.running or (self._folder / "pid").exists()
            )
            if self.process.running:
                return self
            if "ddress already in use" not in self.process.tail():
                break
        raise ServerError(f"{NOT_STARTED}\n{self.process.tail()}")

    def config(self) -> str:
        """The configuration, with what is ours."""
        folder = self._folder
        user = "user root;" if os.geteuid() == 0 else ""
        scratch = "".join(
            f"{name}_temp_path {folder}/{name};"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        instead = {
            "user www-data;": user,
            "/run/nginx.pid": f"{folder}/pid",
            "worker_rlimit_nofile 200000;": "",  # More than this machine may allow.
            "worker_connections 65536;": "worker_connections 512;",
            "http {": f"http {{ {scratch}",
            "/var/log/nginx": str(folder),
            "listen 80;": f"listen 127.0.0.1:{self.plain_port};",
            "listen 443 ssl;": f"listen 127.0.0.1:{self.port} ssl;",
            "/etc/seenby/tls-cert.pem": str(self.certificate.cert),
            "/etc/seenby/tls-key.pem": str(self.certificate.key),
            **self.instead,
        }
        text = CONFIG.read_text(encoding="utf-8")
        for theirs, ours in instead.items():
            if theirs not in text:
                raise ServerError(f"{CONFIG} has no {theirs!r}")
            text = text.replace(theirs, ours)
        return text

    def asked(self) -> list[str]:
        """The lines of its log of requests."""
        return self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
