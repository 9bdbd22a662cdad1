"""A port that was given is nobody else's: neither another worker's nor another run's."""

from __future__ import annotations

import subprocess
import sys

from tests.servers.ports import BLOCK, LOWEST, free_port

GIVEN = f"""
from tests.servers.ports import free_port
print(*[free_port() for _ in range({2 * BLOCK})], flush=True)
input()
"""


def test_no_port_is_given_twice() -> None:
    """Not by one process, and not by several that run at once, whether it is used or not."""
    everybody = []
    running = [
        subprocess.Popen(
            [sys.executable, "-c", GIVEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for process in running:
        assert process.stdout is not None
        everybody += [int(port) for port in process.stdout.readline().split()]
    everybody += [free_port() for _ in range(2 * BLOCK)]
    for process in running:
        process.communicate("\n")

    assert len(set(everybody)) == len(everybody) == 4 * 2 * BLOCK
    assert min(everybody) >= LOWEST
