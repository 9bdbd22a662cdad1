"""Who has read a message, and where to connect: what the client asks the API for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from seenby.client import Client, FileStorage, MemoryStorage, Pace, Position
from seenby.errors import BadInput, NotFound
from tests.unit.client.api import fake_api, recorded, refusal
from tests.unit.client.gateway import gateway

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import web

QUICK = Pace(random=lambda: 0.0)


def by(*readers: str, cursor: str | None = None, msg_id: str = "m1") -> dict[str, Any]:
    """A page of a message's receipts."""
    names = [recorded({"msg_id": msg_id, "reader_id": reader})["receipt"] for reader in readers]
    page = {"msg_id": msg_id, "count": 3, "member_count": 10, "receipts": names}
    return page if cursor is None else {**page, "next_cursor": cursor}


class TestReceipts:
    async def test_of_one_message(self) -> None:
        """A page of names, and the numbers."""
        async with (
            fake_api(lambda *_: (200, by("bob", cursor="7"))) as api,
            Client(user_id="alice", api=api.url) as client,
        ):
            [found] = await client.message_receipts(["m 1"], limit=1, cursor="3")
        assert [receipt.reader_id for receipt in found.receipts] == ["bob"]
        assert (found.count, found.member_count, found.next_cursor) == (3, 10, "7")
        assert api.paths == ["/api/v1/messages/receipts?msg_id=m+1&limit=1&cursor=3"]

    async def test_of_many_messages(self) -> None:
        """A hundred in a request, all in the order in which they were asked for."""

        def answer(request: web.Request, _: Any) -> tuple[int, Any]:
            asked = request.query.getall("msg_id")
            pages = [by(msg_id=msg_id) for msg_id in asked]
            return 200, {"messages": pages} if len(asked) > 1 else pages[0]

        ids = [f"m{number}" for number in range(201)]
        async with fake_api(answer) as api, Client(user_id="alice", api=api.url) as client:
            assert [found.msg_id for found in await client.message_receipts(ids)] == ids
            assert await client.message_receipts([]) == []
        assert len(api.paths) == 3

    async def test_everyone_who_has_read_one(self) -> None:
        """Page after page, until there is none."""
        pages = [by("bob", "carol", cursor="7"), by("dan", cursor="9"), by()]
        async with (
            fake_api(lambda *_: (200, pages.pop(0))) as api,
            Client(user_id="alice", api=api.url) as client,
        ):
            names = [receipt.reader_id async for receipt in client.receipts_of("m1", page=2)]
        assert names == ["bob", "carol", "dan"]
        assert [path.partition("limit=")[2] for path in api.paths] == [
            "2",
            "2&cursor=7",
            "2&cursor=9",
        ]


class TestWhereToConnect:
    async def test_the_api_is_asked_before_each_connection(self) -> None:
        """And the part it names goes along, for the load balancer."""
        async with gateway() as fake:
            answer = {"url": fake.url, "part": 6, "partitions": 16}
            async with (
                fake_api(lambda *_: (200, answer)) as api,
                Client(user_id="alice", api=api.url, pace=QUICK) as client,
            ):
                waiting = asyncio.create_task(anext(client.receipts()))
                first = await fake.visit()
                first.drop()
                second = await fake.visit()
                await second.welcome()
                await second.push(1)
                assert (await waiting).seq == 1
        assert api.paths == ["/api/v1/gateway?user_id=alice"] * 2
        assert first.socket.request is not None
        assert first.socket.request.path == "/ws?user_id=alice&part=6"

    async def test_an_api_that_is_away_is_asked_again(self) -> None:
        """As a gateway that is away is connected to again."""
        async with gateway() as fake:
            answers: list[tuple[int, Any]] = [(503, ""), (502, ""), (200, {"url": fake.url})]
            async with (
                fake_api(lambda *_: answers.pop(0)) as api,
                Client(user_id="alice", api=api.url, pace=QUICK) as client,
            ):
                waiting = asyncio.create_task(anext(client.receipts()))
                visit = await fake.visit()
                await visit.welcome()
                await visit.push(1)
                assert (await waiting).seq == 1
        assert visit.socket.request is not None
        assert visit.socket.request.path == "/ws?user_id=alice"

    async def test_an_api_that_does_not_know_ends_the_stream(self) -> None:
        """Asking again would end the same way."""
        async with (
            fake_api(lambda *_: (404, refusal("not_found"))) as api,
            Client(user_id="alice", api=api.url) as client,
        ):
            with pytest.raises(NotFound):
                await anext(client.receipts())
        async with (
            fake_api(lambda *_: (200, {"url": "http://elsewhere"})) as api,
            Client(user_id="alice", api=api.url) as client,
        ):
            with pytest.raises(BadInput, match="gateway must be an address"):
                await anext(client.receipts())


class TestPosition:
    async def test_it_is_kept_over_restarts(self, tmp_path: Path) -> None:
        """The next process goes on behind what was handled, with no code of the application's."""
        path = tmp_path / "kept"
        async with gateway() as fake:
            async with Client(
                user_id="alice", gateway=fake.url, storage=FileStorage(path)
            ) as client:
                stream = client.receipts()
                waiting = asyncio.create_task(anext(stream))
                visit = await fake.visit()
                await visit.welcome()
                await visit.push(1, 2, 3)
                assert [(await waiting).seq, (await anext(stream)).seq] == [1, 2]
                # Asking for the second has handled the first; of the second nobody knows.
                assert client.position == Position("e1", 1)
            async with Client(
                user_id="alice", gateway=fake.url, storage=FileStorage(path)
            ) as client:
                assert client.position == Position("e1", 1)
                waiting = asyncio.create_task(anext(client.receipts()))
                visit = await fake.visit()
                assert (visit.hello["epoch"], visit.hello["seq"]) == ("e1", 1)
                await visit.welcome()
                await visit.push(2)
                assert (await waiting).seq == 2

    async def test_a_position_that_is_given_comes_first(self) -> None:
        """The application may know better than the storage."""
        storage = MemoryStorage()
        storage.keep_position(Position("e1", 5))
        async with (
            gateway() as fake,
            Client(user_id="alice", gateway=fake.url, storage=storage) as client,
        ):
            waiting = asyncio.create_task(anext(client.receipts(("e1", 2))))
            assert (await fake.visit()).hello["seq"] == 2
            waiting.cancel()
            await asyncio.wait([waiting])
