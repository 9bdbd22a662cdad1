"""What the bus lost is found and pushed, and its health is judged by that."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from seenby.gateway.repair import COMPARE_EVERY, HOLE_AFTER, MISSED_AFTER
from seenby.testing import FailingStore
from tests.unit.gateway.clients import event, seqs
from tests.unit.gateway.stations import Station, station, turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seenby.store.base import Page, Want


def healthy(here: Station) -> bool:
    """Whether the bus is trusted."""
    return here.dispatcher._repair.healthy


class TestHoles:
    async def test_one_that_lasts_is_filled(self) -> None:
        """After 50 ms, not before: the bus may only be out of order."""
        async with station() as here:
            session = here.connect()
            await turn()
            events = here.source.add("sender", 5)
            here.feed.push(*events[:2], *events[3:])
            await asyncio.sleep(HOLE_AFTER - 0.001)
            assert seqs(here.written[session]) == [1, 2]
            await asyncio.sleep(0.002)
            assert seqs(here.written[session]) == [1, 2, 3, 4, 5]
            assert here.metric("seenby_holes_filled_total") == 1
            assert here.metric("seenby_rescued_total") == 0
            assert healthy(here)

    async def test_one_that_the_bus_fills_is_not_read(self) -> None:
        """Out of order is no loss."""
        async with station() as here:
            session = here.connect()
            await turn()
            first, second = here.source.add("sender", 2)
            here.feed.push(second)
            await asyncio.sleep(HOLE_AFTER / 2)
            here.feed.push(first)
            here.source.calls.clear()
            await asyncio.sleep(1)
            assert seqs(here.written[session]) == [1, 2]
            assert "pages" not in here.source.calls

    async def test_a_wide_one_is_filled_in_one_go(self) -> None:
        """Page after page, to its end."""
        async with station() as here:
            session = here.connect()
            await turn()
            events = here.source.add("sender", 1500)
            here.feed.push(events[-1])
            await asyncio.sleep(HOLE_AFTER + 0.001)
            await turn(50)
            assert seqs(here.written[session]) == list(range(1, 1501))

    async def test_one_that_cannot_be_filled_is_asked_for_once(self) -> None:
        """A record with a seq that the store does not know must not flood it with queries."""
        async with station() as here:
            here.connect()
            await turn()
            here.feed.push(event(99))
            here.source.calls.clear()
            await asyncio.sleep(5)
            assert here.source.calls.count("pages") == 1

    async def test_a_store_that_is_away_delays_it(self) -> None:
        """It is filled when the store is back, even if the bus brings nothing more."""
        async with station() as here:
            session = here.connect()
            await turn()
            events = here.source.add("sender", 3)
            here.source.store.failing = True
            here.feed.push(events[2])
            await asyncio.sleep(5)
            here.source.store.failing = False
            await asyncio.sleep(1)
            assert seqs(here.written[session]) == [1, 2, 3]

    async def test_one_found_when_a_session_begins_is_filled(self) -> None:
        """Events held before the head was known may begin above it."""
        async with station() as here:
            events = here.source.add("sender", 1)
            here.source.answering.clear()
            session = here.connect(device="phone")
            await turn()
            here.hub.dispatch([event(3)], asyncio.get_running_loop().time(), 0.0)
            here.source.answering.set()
            await turn()
            here.source.add("sender", 2)
            await asyncio.sleep(1)
            assert len(events) == 1
            assert seqs(here.written[session]) == [1, 2, 3]


class TestComparing:
    async def test_what_the_bus_did_not_bring_is_pushed_from_the_store(self) -> None:
        """Within half a minute; then the bus is not trusted, and compared every second."""
        async with station() as here:
            session = here.connect()
            await turn()
            here.source.add("sender", 2)
            await asyncio.sleep(COMPARE_EVERY + MISSED_AFTER + 1)
            assert seqs(here.written[session]) == [1, 2]
            assert here.metric("seenby_rescued_total") == 2
            assert not healthy(here)
            here.source.add("sender")
            await asyncio.sleep(2)
            assert seqs(here.written[session]) == [1, 2, 3]

    async def test_it_is_trusted_again_when_it_has_brought_something(self) -> None:
        """And a comparison finds nothing missing."""
        async with station() as here:
            here.connect()
            await turn()
            here.source.add("sender")
            await asyncio.sleep(COMPARE_EVERY + MISSED_AFTER + 1)
            await asyncio.sleep(5)
            distrusted = healthy(here)
            here.feed.push(*here.source.add("sender"))
            await asyncio.sleep(2)
            assert (distrusted, healthy(here)) == (False, True)

    async def test_what_comes_late_but_in_time_is_no_rescue(self) -> None:
        """The store shows a commit before the bus can have brought it."""
        async with station() as here:
            here.connect()
            await turn()
            while here.source.calls[-1] != "heads":
                events = here.source.add("sender")
                await asyncio.sleep(0.5)
                here.feed.push(*events)
            late = here.source.add("sender")
            await asyncio.sleep(MISSED_AFTER / 2)
            here.feed.push(*late)
            await asyncio.sleep(COMPARE_EVERY * 2)
            assert here.metric("seenby_rescued_total") == 0
            assert healthy(here)

    async def test_with_the_bus_gone_everything_comes_within_a_second_or_two(self) -> None:
        """However much it is."""
        async with station() as here:
            session = here.connect()
            await turn()
            here.feed.healthy = False
            await asyncio.sleep(1)
            here.source.add("sender", 2000)
            await asyncio.sleep(2)
            assert seqs(here.written[session]) == list(range(1, 2001))

    async def test_a_page_of_the_epoch_before_is_nobodys(self) -> None:
        """It was asked for before, and is answered after everything has changed."""
        async with station() as here:
            here.source.add("sender", 3)
            here.connect(device="phone")
            await turn()
            here.source.add("sender", 2)
            pages, answering = here.source.pages, asyncio.Event()

            async def late(wants: Sequence[Want]) -> list[Page]:
                read = await pages(wants)
                await answering.wait()
                return read

            here.source.pages = late  # type: ignore[method-assign]
            filling = asyncio.create_task(here.dispatcher._repair._catch_up(["sender"]))
            await turn()
            here.source.pages = pages  # type: ignore[method-assign]
            here.source.store = FailingStore()
            here.dispatcher._check_epoch(here.source.store.new_epoch())
            here.source.add("sender", 3)
            session = here.connect(device="pc")
            await turn()
            answering.set()
            assert await filling == 0
            assert seqs(here.written[session]) == [1, 2, 3]
