"""The load: each kind is a process of its own, so that its CPU time is not counted as seenby's.

Marks come from ``seenby bench``, those of conversations from ``bench.members``, deliveries from
``bench.deliver``, and what the kernel itself asks for a delivery from ``limit.c``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.world import Clock, pin
from tests.servers.seenby import COMMAND

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.servers.seenby import Seenby

ROOT = Path(__file__).parents[1]


class LoadError(RuntimeError):
    """A load generator has failed; what it had to say is on standard error."""


@dataclass(frozen=True)
class Marks:
    """What a run of marks has given.

    Attributes:
        told: the load generator's own document (see ``seenby bench --help``).
        cpu: by process, CPU seconds from just before the first mark to the end.
    """

    told: dict[str, Any]
    cpu: dict[str, float]

    def us(self, *names: str) -> float:
        """Microseconds of CPU per mark that these processes used together."""
        return 1e6 * sum(self.cpu[name] for name in names) / self._marks

    @property
    def own_us(self) -> float:
        """The load generator's own, per mark."""
        used: float = self.told["cpu_seconds"]
        return 1e6 * used / self._marks

    @property
    def _marks(self) -> int:
        return max(1, int(self.told["marks"]))

    @property
    def problems(self) -> list[str]:
        """What was not as it must be."""
        told = self.told
        found = [f"{count} marks refused ({why})" for why, count in told["refused"].items()]
        found += [
            f"{told[name]} deliveries {name.replace('_', ' ')}"
            for name in ("missing", "doubled", "out_of_order")
            if told[name]
        ]
        if told["sockets_lost"]:
            found.append(f"{told['sockets_lost']} sockets lost")
        if not told["marks"]:
            found.append("no marks")
        return found


def mark(
    pids: Mapping[str, int], *flags: str, cores: set[int] | None = None, **options: Any
) -> Marks:
    """Run ``seenby bench`` once.

    Args:
        pids: whose CPU time is of interest, by name.
        *flags: such as ``--no-sockets``.
        cores: those that the load generator keeps to.
        **options: ``batch_size=100`` becomes ``--batch-size=100``.
    """
    named = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = [str(COMMAND), "bench", "--json", *flags, *named]
    with subprocess.Popen(  # noqa: S603 -- our own
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            if cores is not None:
                pin(process.pid, cores)
            _answer(process)
            clock = Clock(**pids)
            told = _answer(process)
            return Marks(told, clock.used())
        finally:
            process.kill()


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise LoadError("the load generator has ended, see above")
    found: dict[str, Any] = json.loads(line)
    return found


class Stage:
    """Speaks to a running ``bench.deliver`` or ``bench.members``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def order(self, what: str, **arguments: object) -> dict[str, Any]:
        """Have something done; what came of it."""
        if self._process.stdin is None:
            raise LoadError("the load generator takes no orders")
        print(json.dumps({"do": what, **arguments}), file=self._process.stdin, flush=True)
        return _answer(self._process)

    def mark(self, pids: Mapping[str, int], what: str, **arguments: object) -> Marks:
        """The same, and the CPU time that these processes used meanwhile."""
        clock = Clock(**pids)
        return Marks(self.order(what, **arguments), clock.used())


@contextmanager
def stage(brokers: str, epoch: str, folder: Path) -> Iterator[Stage]:
    """A process that fills topics; ``sink.c``, compiled into *folder*, takes what gateways send."""
    with _obeying("bench.deliver", brokers, epoch, compiled("sink", folder)) as hall:
        yield hall


@contextmanager
def members(api: Seenby, gateway: Seenby, **more: object) -> Iterator[Stage]:
    """A process of members who mark, and senders who listen; *more*: see ``bench.members``."""
    with _obeying("bench.members") as hall:
        hall.order("connect", api=api.api, gateway=gateway.gateway, **more)
        yield hall


@contextmanager
def _obeying(module: str, *arguments: str) -> Iterator[Stage]:
    with subprocess.Popen(  # noqa: S603 -- our own
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Stage(process)
        finally:
            process.kill()


def compiled(name: str, folder: Path) -> str:
    """The C program *name*, compiled into *folder* if it is not there yet."""
    program, source = folder / name, Path(__file__).with_name(f"{name}.c")
    if not program.exists():
        subprocess.run(  # noqa: S603 -- our own
            ["cc", "-O2", "-D_GNU_SOURCE", "-o", str(program), str(source)],  # noqa: S607 -- on the PATH, as it is for setup.py
            check=True,
        )
    return str(program)


class Limit:
    """The C send loop, compiled here."""

    def __init__(self, folder: Path) -> None:
        self._program = compiled("limit", folder)

    def us(self, sockets: int, size: int, sends: int) -> float:
        """CPU microseconds for one send of *size* bytes to one of so many sockets."""
        done = subprocess.run(  # noqa: S603 -- our own
            [self._program, str(sockets), str(size), str(sends)],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return float(json.loads(done.stdout)["us_per_send"])
