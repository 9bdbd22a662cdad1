"""What breaks, and how it is mended again."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from tests.servers.seenby import get
from tests.servers.wait import wait_until

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from tests.servers.kafka import Kafka
    from tests.servers.mariadb import MariaDB
    from tests.servers.seenby import Seenby

    Fault = Callable[[], None]

ENOUGH_WITHIN = 180.0

AWAY = "seenby: the database is not available"
"""The last word of a process that finds no database at its start."""


class Faults:
    """What breaks, and how it is mended again. All of it happens in the calling thread.

    Args:
        chance: decides what breaks, and for how long.
        processes: are started again, as by a supervisor, when they find no database.
    """

    def __init__(self, chance: random.Random, processes: Sequence[Seenby]) -> None:
        self.kinds: list[Fault] = []
        self.told: list[str] = []
        self._chance = chance
        self._processes = processes
        self._broken: dict[object, tuple[float, Fault]] = {}
        self._began = time.monotonic()

    def rage(self, seconds: float, enough: Callable[[], bool] = lambda: True) -> None:
        """Break things for so long, and until it is enough; then mend them all.

        Where a server needs a minute to start again, there may be one fault in all the time.
        """
        end = time.monotonic() + seconds
        following = time.monotonic()
        while time.monotonic() < end or not (enough() or time.monotonic() > end + ENOUGH_WITHIN):
            self._mend(time.monotonic())
            if time.monotonic() >= following:
                self._chance.choice(self.kinds)()
                following = time.monotonic() + self._chance.uniform(0.2, 2.5)
            time.sleep(0.02)
        while self._broken:
            self._mend(time.monotonic())
            time.sleep(0.02)
        wait_until(
            "every process serves", lambda: self._supervise() and all(map(alive, self._processes))
        )

    def killing(self, processes: Sequence[Seenby]) -> Fault:
        """One of them dies and is started again."""

        def fault() -> None:
            process = self._chance.choice(processes)
            if process not in self._broken:
                process.kill()
                self._break(process, f"{process.name} killed", process.process.start)

        return fault

    def draining(self, processes: Sequence[Seenby]) -> Fault:
        """One of them is told to end, does so, and is started again."""

        def fault() -> None:
            process = self._chance.choice(processes)
            if process not in self._broken and process.process.running:
                process.process.send(signal.SIGTERM)

                def back() -> None:
                    process.stop()
                    process.process.start()

                self._break(process, f"{process.name} drains", back)

        return fault

    def pausing(self, processes: Sequence[Seenby]) -> Fault:
        """One of them stands still for a while."""

        def fault() -> None:
            process = self._chance.choice(processes)
            if process not in self._broken and process.process.running:
                process.process.send(signal.SIGSTOP)
                self._break(
                    process,
                    f"{process.name} stands still",
                    lambda: process.process.send(signal.SIGCONT),
                )

        return fault

    def ending(self, server: MariaDB | Kafka, how: Callable[[], None], back: Fault) -> Fault:
        """The server ends, or stands still, until *back* mends it."""

        def fault() -> None:
            if server not in self._broken:
                how()
                self._break(server, f"{type(server).__name__} {how.__name__}", back)

        return fault

    def doing(self, what: Callable[[], object]) -> Fault:
        """Something is done that breaks nothing for long."""

        def fault() -> None:
            what()
            self._tell(what.__name__)

        return fault

    def _break(self, what: object, told: str, back: Fault) -> None:
        self._tell(told)
        self._broken[what] = (time.monotonic() + self._chance.choice([0, 0.3, 1, 3, 5]), back)

    def _mend(self, now: float) -> None:
        for what, (until, back) in list(self._broken.items()):
            if until <= now:
                back()
                del self._broken[what]
        self._supervise()

    def _supervise(self) -> bool:
        """Start what has ended because the database was away when it started."""
        for process in self._processes:
            if process not in self._broken and not process.process.running:
                last = process.process.tail().splitlines()[-1]
                assert last.startswith(AWAY), f"{process.name} has ended: {process.process.tail()}"
                self._tell(f"{process.name} found no database")
                process.process.start()
        return True

    def _tell(self, what: str) -> None:
        self.told.append(f"{time.monotonic() - self._began:.1f} {what}")


def alive(process: Seenby) -> bool:
    """Whether a process answers."""
    port = process.gateway_port if process.role == "gateway" else process.api_port
    try:
        return bool(get(f"http://127.0.0.1:{port}/health"))
    except OSError:
        return False
