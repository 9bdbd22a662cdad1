"""Schemathesis against the running API: whatever is asked, it answers as it is described.

Requests are made from /openapi.json, right ones and wrong ones, the same in each run. No answer may
be a 5xx, nor have a status, type, header or body that is not described; what breaks the description
must be refused, and nothing may be had without a token where one is needed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.servers.seenby import Seenby, get
from tests.unit.tokens import SECRET, signed

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS = Path(__file__).with_name("schemathesis.toml")
COMMAND = Path(sys.executable).with_name("schemathesis")


@pytest.fixture
def open_api(tmp_path: Path) -> Iterator[Seenby]:
    """A process with authentication off."""
    server = Seenby("serve", tmp_path, {}).start()
    yield server
    server.stop()


@pytest.fixture
def guarded_api(tmp_path: Path) -> Iterator[Seenby]:
    """A process that asks for tokens."""
    settings = {"SEENBY_AUTH": "jwt", "SEENBY_JWT_SECRET": SECRET}
    server = Seenby("serve", tmp_path, settings).start()
    yield server
    server.stop()


def put_to_the_test(server: Seenby, folder: Path, description: Any, *arguments: str) -> None:
    """Let Schemathesis ask everything that is described; its report must be clean."""
    path = folder / "openapi.json"
    path.write_text(json.dumps(description), encoding="utf-8")
    ran = subprocess.run(
        [
            *(COMMAND, "--config-file", SETTINGS, "run", path, "--url", server.api, "--no-color"),
            *("--seed", "1", "--generation-deterministic", "--no-shrink"),
            *("--continue-on-failure", *arguments),
        ],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=500,
    )
    operations = sum(len(methods) for methods in description["paths"].values())
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(rf"Tested: {operations}$", ran.stdout, re.MULTILINE), ran.stdout
    faults = [line for line in server.log_lines() if line["level"] in {"error", "critical"}]
    assert faults == []


@pytest.mark.timeout(600)
def test_everything_is_answered_as_described(open_api: Seenby, tmp_path: Path) -> None:
    """With authentication off everything can be asked, and is answered as described."""
    description = get(f"{open_api.api}/openapi.json")
    put_to_the_test(open_api, tmp_path, description, "--max-examples", "5")


@pytest.mark.timeout(600)
def test_nothing_is_had_without_a_token(guarded_api: Seenby, tmp_path: Path) -> None:
    """With tokens a user is answered as described, and nobody without one: not by any address."""
    description = get(f"{guarded_api.api}/openapi.json")
    for methods in description["paths"].values():
        for operation in methods.values():
            # Here the token is no choice.
            operation["security"] = [way for way in operation["security"] if way]
    token = f"Authorization: Bearer {signed(exp=int(time.time()) + 3600)}"
    arguments = ("-H", token, "--phases", "examples,coverage")
    put_to_the_test(guarded_api, tmp_path, description, *arguments)
