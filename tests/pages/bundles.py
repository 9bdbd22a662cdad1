"""TypeScript of clients/js as a page gets it: bundled, and served under the pages' own policy."""

from __future__ import annotations

import functools
import http.server
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from seenby.api import pages
from tests.pages.browser import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

JS = ROOT / "clients" / "js"
ESBUILD = JS / "node_modules" / ".bin" / "esbuild"


def bundle(source: Path, target: Path, *options: str) -> None:
    """Writes one script of all that the source imports; raises with esbuild's words if it cannot.

    Args:
        source: below clients/js, whose packages it may import.
        target: the file to write.
        options: more of esbuild's.
    """
    command = [ESBUILD, source, "--bundle", "--format=esm", "--target=es2022", *options]
    # It may be a script that looks for node: the project's own lies beside Python.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [str(part) for part in (*command, f"--outfile={target}", "--log-level=warning")],
        cwd=JS,
        env=os.environ | {"PATH": path},
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr


class _Files(http.server.SimpleHTTPRequestHandler):
    """Files under the policy that seenby's pages have."""

    policy: str

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", self.policy)
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's
        """Says nothing: the browser complains of what is missing."""


@contextmanager
def serving(
    folder: Path, *, api: str = "", gateway: str = "ws://127.0.0.1:1/ws", port: int = 0
) -> Iterator[str]:
    """The address of a server for the files in the folder, which is gone afterwards.

    Args:
        folder: with an index.html.
        api: an origin besides its own that pages may call.
        gateway: where their sockets may connect.
        port: to listen on; 0: any free one.
    """
    policy = pages._policy(gateway).replace("connect-src 'self'", f"connect-src 'self' {api}")
    handler = functools.partial(type("Files", (_Files,), {"policy": policy}), directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
