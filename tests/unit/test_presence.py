"""A process among the others: its row says what is true, costs little, and harms nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from seenby import presence as module
from seenby.errors import BadInput, StoreUnavailable, Unauthenticated
from seenby.metrics import LATENCY_BUCKETS, Metrics
from seenby.nodes import Here, Numbers, Told, UserSeen
from seenby.presence import QUIET_EVERY, Presence, reachable_at
from seenby.relay import Relay
from seenby.store.threads import StoreThreads
from seenby.testing import FailingPublisher, FailingStore, ManualClock
from tests.unit.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from seenby.store.sql import SqlStore

URL = "http://10.0.0.1:8081"


class Rows:
    """The table of processes; it fails when the store does."""

    def __init__(self, store: FailingStore) -> None:
        self._store = store
        self.rows: dict[tuple[str, str], dict[str, Any]] = {}
        self.written = 0

    def report(self, node: str, role: str, **values: Any) -> None:
        """Write a row."""
        self._store.ping()
        self.written += 1
        self.rows[node, role] = values

    def remove(self, node: str, role: str) -> None:
        """Take it away."""
        self._store.ping()
        self.rows.pop((node, role), None)


class NodesStore(FailingStore):
    """A store in memory with a table of processes."""

    def __init__(self) -> None:
        super().__init__()
        self.inspecting = Rows(self)


class Station:
    """A gateway at which nothing changes."""

    def now_here(self) -> Here:
        """Two users."""
        return Here(2, [1, 3], bus=True)

    def seen(self, user_id: str) -> UserSeen:
        """Nobody."""
        return UserSeen(user_id, [])


class Bench:
    """A presence and what is around it; nothing runs by itself but what start() starts."""

    def __init__(self) -> None:
        self.store = NodesStore()
        self.rows = self.store.inspecting
        self.threads = StoreThreads(self.store)
        self.metrics = Metrics()
        self.clock = ManualClock(100.0)
        self.wall = ManualClock(1_704_067_200.0)
        self.relay = Relay(
            self.threads, FailingPublisher(), self.metrics, owner="here", wall=self.wall
        )
        self.presence = Presence(
            # All that it asks of a store.
            cast("StoreThreads[SqlStore]", self.threads),
            self.metrics,
            self.relay,
            node="n1",
            role="serve",
            clock=self.clock,
            wall=self.wall,
        )

    @property
    def row(self) -> dict[str, Any]:
        """This process's."""
        return self.rows.rows["n1", "serve"]

    @property
    def numbers(self) -> Numbers:
        """What it says."""
        return msgspec.json.decode(self.row["numbers"], type=Numbers)


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    """A presence whose looks follow each other at once."""
    monkeypatch.setattr(module, "EVERY", 0.0)
    made = Bench()
    yield made
    await made.presence.close()
    await made.threads.close()


async def test_the_row_is_there_while_the_process_is(bench: Bench) -> None:
    """From the start to the end in order."""
    bench.presence.start(URL, Station())
    await eventually(lambda: bool(bench.rows.rows))
    assert bench.row["url"] == URL
    assert len(bench.row["ticket"]) > 30
    assert bench.numbers.here == Here(2, [1, 3], bus=True)
    await bench.presence.close()
    assert bench.rows.rows == {}


async def test_numbers_are_those_of_the_last_interval(bench: Bench) -> None:
    """Counted anew each time, and over how long."""
    bench.clock.advance(2.0)
    bench.metrics.committed(marks=5, new=4)
    bench.metrics.published("ok", 3)
    bench.metrics.published("swept", 1)
    bench.metrics.published("error", 9)
    bench.metrics.delivered(2, 7)
    bench.metrics.offline(100)
    bench.metrics.pushed(0.004, 7)
    bench.metrics.acked(1000.0)
    bench.metrics.connections(3)
    bench.metrics.lag(11)
    await bench.presence.report()
    first = bench.numbers
    assert (first.marks, first.published, first.delivered) == (5, 4, 7)
    assert (first.over_ms, first.uptime_ms, first.clock) == (2000, 2000, 1_704_067_200_000)
    assert (first.connections, first.lag, first.here) == (3, 11, None)
    place = LATENCY_BUCKETS.index(0.005)
    assert [first.pushed[place], sum(first.pushed)] == [7, 7]
    assert [first.acked[-1], sum(first.acked)] == [1, 1]
    bench.clock.advance(1.0)
    bench.metrics.committed(marks=2, new=2)
    await bench.presence.report()
    second = bench.numbers
    assert (second.marks, second.published, second.over_ms) == (2, 0, 1000)
    assert sum(second.pushed) == 0
    assert bench.row["uptime_ms"] == 3000


async def test_a_process_at_rest_writes_seldom(bench: Bench) -> None:
    """A row that says the same is written again only when it grows old."""
    await bench.presence.report()
    for _ in range(4):
        bench.clock.advance(QUIET_EVERY / 4 - 0.01)
        await bench.presence.report()
    assert bench.rows.written == 1
    bench.clock.advance(1.0)
    await bench.presence.report()
    assert bench.rows.written == 2
    bench.metrics.committed(marks=1, new=1)
    bench.clock.advance(0.1)
    await bench.presence.report()
    # And once more, to say that it is over.
    bench.clock.advance(0.1)
    await bench.presence.report()
    await bench.presence.report()
    assert bench.rows.written == 4
    assert bench.numbers.marks == 0


async def test_a_database_that_is_away_is_told_once(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing else happens, the row comes with the database, and the end is not held up."""
    bench.store.failing = True
    bench.presence.start(URL, None)
    await eventually(lambda: bench.store.failures > 5)
    assert capsys.readouterr().out.count("node_not_reported") == 1
    bench.store.failing = False
    await eventually(lambda: bool(bench.rows.rows))
    bench.store.failing = True
    await bench.presence.close()
    assert capsys.readouterr().out.count("node_not_reported") == 1


async def test_whatever_happens_it_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bug here is logged, and ends nothing."""
    calls: list[str] = []

    def break_once(node: str, role: str, **_: Any) -> None:
        calls.append(node)
        if len(calls) == 1:
            raise RuntimeError("a bug")

    monkeypatch.setattr(bench.rows, "report", break_once)
    bench.presence.start(URL, None)
    await eventually(lambda: len(calls) > 1)
    assert "report_failed" in capsys.readouterr().out


async def test_a_report_that_fails_says_so(bench: Bench) -> None:
    """To whoever asks for it."""
    bench.store.failing = True
    with pytest.raises(StoreUnavailable):
        await bench.presence.report()


async def test_others_are_answered_by_ticket(bench: Bench) -> None:
    """What the gateway sees, and when the bus had acknowledged."""
    bench.presence.start(URL, Station())
    await eventually(lambda: bool(bench.rows.rows))
    ticket = f"Bearer {bench.row['ticket']}"
    for wrong in ("", "Bearer ", "Bearer x", f"Basic {bench.row['ticket']}", "Bearer \u00e9"):
        with pytest.raises(Unauthenticated):
            bench.presence.answer("user_id=ann", wrong)
    told = msgspec.json.decode(bench.presence.answer("user_id=a%26b&at=5&at=x", ticket), type=Told)
    assert told == Told([UserSeen("a&b", [])], [])
    with pytest.raises(BadInput, match="user_id must be given up to 100 times"):
        bench.presence.answer("&".join(["at=1"] * 101), ticket)


async def test_a_process_without_a_gateway_has_no_users(bench: Bench) -> None:
    """It answers for its commits all the same."""
    bench.presence.start(URL, None)
    await eventually(lambda: bool(bench.rows.rows))
    answer = bench.presence.answer("user_id=ann", f"Bearer {bench.row['ticket']}")
    assert msgspec.json.decode(answer, type=Told) == Told([], [])


def test_every_start_has_a_ticket_of_its_own() -> None:
    """What stood in an old backup opens nothing."""
    assert Bench().presence._ticket != Bench().presence._ticket


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "::"])  # noqa: S104 -- nobody listens there
def test_what_listens_everywhere_is_found_by_an_address_of_its_own(everywhere: str) -> None:
    """Others can do nothing with "everywhere"; any other host is taken as it is."""
    found = re.fullmatch(r"http://(\d+\.\d+\.\d+\.\d+):8081", reachable_at(everywhere, 8081))
    assert found is not None
    assert found[1] != "0.0.0.0"  # noqa: S104 -- nobody listens there
    assert reachable_at("10.1.2.3", 8081) == "http://10.1.2.3:8081"
    assert reachable_at("::1", 8081) == "http://[::1]:8081"
