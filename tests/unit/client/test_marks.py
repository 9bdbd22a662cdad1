"""Marks that are not waited for: each is answered in the end, whatever happens on the way."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seenby.client import Client, FileStorage, Mark, MemoryStorage, Pace
from seenby.client.marks import Marks, Result, Results
from seenby.errors import (
    BadInput,
    Forbidden,
    OwnMessage,
    SeenbyError,
    StoreUnavailable,
    Unauthenticated,
)
from tests.unit.client.api import FakeApi, fake_api, record_all, recorded, refusal
from tests.unit.client.gateway import HandPace, gateway
from tests.unit.eventually import all_waiting, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection
    from pathlib import Path

    from aiohttp import web

    from seenby.client import Receipt
    from tests.unit.client.api import Answering


class Bench:
    """An API, a client of user456, and what the application was told."""

    def __init__(self, api: FakeApi) -> None:
        self.api = api
        self.marked: list[str] = []
        self.refused: list[tuple[str, SeenbyError]] = []
        self.slept: list[float] = []

    def client(self, **more: Any) -> Client:
        """A client that tells what comes of marks, and that never really sleeps."""

        def refused(mark: Mark, error: SeenbyError) -> None:
            self.refused.append((mark.msg_id, error))

        def marked(receipt: Receipt) -> None:
            self.marked.append(receipt.msg_id)

        pace = Pace(sleep=self._sleep, random=lambda: 1.0)
        arguments: dict[str, Any] = {"api": self.api.url, "pace": pace} | more
        return Client(user_id="user456", marked=marked, refused=refused, **arguments)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


@asynccontextmanager
async def bench(answering: Answering = record_all) -> AsyncIterator[Bench]:
    """Everything closed at the end, and no task left behind."""
    before = asyncio.all_tasks()
    async with fake_api(answering) as api:
        yield Bench(api)
    names = {task.get_name() for task in asyncio.all_tasks() - before}
    assert not any("seenby" in name for name in names), names


def failing(times: int, status: int = 503, code: str = "store_unavailable") -> Answering:
    """An API that fails so often before it is well."""
    left = [times]

    def answer(request: web.Request, body: Any) -> tuple[int, Any]:
        left[0] -= 1
        return (status, refusal(code)) if left[0] >= 0 else record_all(request, body)

    return answer


def one_by_one(outcomes: dict[str, str]) -> Answering:
    """An API that refuses some messages, each with a code; one with ``once`` the first time."""
    left = dict(outcomes)

    def outcome(mark: dict[str, Any]) -> dict[str, Any]:
        code = left.get(mark["msg_id"])
        if code is None:
            return recorded(mark)
        if code.startswith("once "):
            del left[mark["msg_id"]]
        return refusal(code.removeprefix("once "))

    def answer(_: web.Request, body: Any) -> tuple[int, Any]:
        return 200, {"success": True, "results": [outcome(mark) for mark in body["receipts"]]}

    return answer


class TestSending:
    async def test_a_mark_is_answered_later(self) -> None:
        """At once it only waits; then it is sent with all its fields, and its receipt is told."""
        async with bench() as b, b.client(device_id="phone") as client:
            client.mark_later(msg_id="m1", sender_id="user123", conversation_id="c1")
            assert client.pending == [Mark("m1", "user123", "c1")]
            assert b.api.bodies == []
            await client.marks_sent()
            assert client.pending == []
        mark = {
            "msg_id": "m1",
            "reader_id": "user456",
            "sender_id": "user123",
            "conversation_id": "c1",
            "conversation_type": "private",
            "device_id": "phone",
        }
        assert b.api.bodies == [{"receipts": [mark]}]
        assert b.api.paths == ["/api/v1/messages/read/batch"]
        assert b.marked == ["m1"]

    async def test_marks_that_come_together_go_together(self) -> None:
        """In their order, a thousand to a request."""
        async with bench() as b, b.client() as client:
            for number in range(2300):
                client.mark_later(msg_id=f"m{number}")
            await client.marks_sent()
        assert [len(batch) for batch in b.api.batches] == [1000, 1000, 300]
        assert b.marked == [f"m{number}" for number in range(2300)]

    async def test_marks_that_come_meanwhile_share_the_next_request(self) -> None:
        """One request is on its way at a time."""
        client: Client

        def answer(request: web.Request, body: Any) -> tuple[int, Any]:
            if len(b.api.batches) == 1:
                for number in (2, 3, 4):
                    client.mark_later(msg_id=f"m{number}")
            return record_all(request, body)

        async with bench(answer) as b, b.client() as client:
            client.mark_later(msg_id="m1")
            await client.marks_sent()
        assert b.api.batches == [["m1"], ["m2", "m3", "m4"]]

    async def test_a_message_is_marked_once(self) -> None:
        """However often it is said while it waits."""
        async with bench() as b, b.client() as client:
            for _ in range(3):
                client.mark_later(msg_id="m1")
            await client.marks_sent()
        assert b.api.batches == [["m1"]]

    async def test_the_fields_that_were_given_last_are_sent(self, tmp_path: Path) -> None:
        """Also after a restart; the mark stays where it stood among the others."""
        async with bench(failing(10**6)) as b:
            async with b.client(storage=FileStorage(tmp_path / "kept")) as client:
                client.mark_later(msg_id="m1", sender_id="user12", conversation_id="c")
                client.mark_later(msg_id="m2")
                client.mark_later(msg_id="m1", sender_id="user123", conversation_id="c1")
                assert client.pending == [Mark("m1", "user123", "c1"), Mark("m2")]
                await eventually(lambda: len(b.api.batches) > 6)
            b.api.answering = record_all
            b.api.bodies.clear()
            async with b.client(storage=FileStorage(tmp_path / "kept")) as client:
                await client.marks_sent()
        assert [mark.get("sender_id") for mark in b.api.bodies[0]["receipts"]] == ["user123", None]

    async def test_what_cannot_be_an_id_is_refused_at_once(self) -> None:
        """And is not kept, for nobody would ever take it."""
        async with bench() as b, b.client() as client:
            with pytest.raises(BadInput, match="msg_id must be"):
                client.mark_later(msg_id="a b")
            with pytest.raises(BadInput, match="sender_id must be"):
                client.mark_later(msg_id="m1", sender_id="")
            with pytest.raises(BadInput, match="conversation_id must be"):
                client.mark_later(msg_id="m1", conversation_id="x" * 129)
            assert client.pending == []

    async def test_a_client_that_is_not_open_says_so(self) -> None:
        """Nothing would send it."""
        client = Client(user_id="user456")
        with pytest.raises(RuntimeError, match="async with"):
            client.mark_later(msg_id="m1")
        assert client.pending == []


class TestFailing:
    async def test_while_seenby_is_away_marks_wait(self) -> None:
        """It is tried for as long as it takes, with waits that grow."""
        async with bench(failing(20)) as b, b.client() as client:
            client.mark_later(msg_id="m1")
            await client.marks_sent()
        assert b.marked == ["m1"]
        assert {1.0, 2.0, 4.0} <= set(b.slept)

    @pytest.mark.parametrize(
        ("status", "code"), [(401, "unauthenticated"), (403, "forbidden"), (500, "internal")]
    )
    async def test_a_refusal_of_the_whole_request_is_no_marks_fault(
        self, status: int, code: str
    ) -> None:
        """Such as a token that does not hold: the marks wait for one that does."""
        async with bench(failing(3, status, code)) as b, b.client() as client:
            client.mark_later(msg_id="m1")
            await client.marks_sent()
        assert (b.marked, b.refused) == (["m1"], [])

    async def test_a_mark_that_is_refused_is_told_and_forgotten(self) -> None:
        """With the reason, as its kind of error; the others are recorded."""
        codes = {"m1": "own_message", "m3": "forbidden", "m4": "word_of_tomorrow"}
        async with bench(one_by_one(codes)) as b, b.client() as client:
            for number in range(1, 6):
                client.mark_later(msg_id=f"m{number}")
            await client.marks_sent()
        assert b.marked == ["m2", "m5"]
        assert [msg_id for msg_id, _ in b.refused] == ["m1", "m3", "m4"]
        assert isinstance(b.refused[0][1], OwnMessage)
        assert isinstance(b.refused[1][1], Forbidden)
        assert len(b.api.batches) == 1

    async def test_a_refusal_leaves_a_mark_that_was_made_anew_meanwhile(
        self, tmp_path: Path
    ) -> None:
        """It may say what the refused one lacked, so it is sent itself."""
        client: Client

        def answer(request: web.Request, body: Any) -> tuple[int, Any]:
            if len(b.api.batches) > 1:
                return record_all(request, body)
            client.mark_later(msg_id="m1", sender_id="user123", conversation_id="c1")
            return 200, {"success": True, "results": [refusal("bad_request")]}

        storage = FileStorage(tmp_path / "kept")
        async with bench(answer) as b, b.client(storage=storage) as client:
            client.mark_later(msg_id="m1")
            await client.marks_sent()
        assert b.api.batches == [["m1"], ["m1"]]
        assert b.marked == ["m1"]
        assert [msg_id for msg_id, _ in b.refused] == ["m1"]

    async def test_a_mark_that_could_not_be_recorded_is_sent_again(self) -> None:
        """Alone: what was answered is answered."""
        codes = {"m1": "once store_unavailable", "m2": "once internal"}
        async with bench(one_by_one(codes)) as b, b.client() as client:
            for number in (1, 2, 3):
                client.mark_later(msg_id=f"m{number}")
            await client.marks_sent()
        assert b.api.batches == [["m1", "m2", "m3"], ["m1", "m2"]]
        assert (b.marked, b.refused) == (["m3", "m1", "m2"], [])

    @pytest.mark.parametrize("most", [1, 2, 3, 7, 100])
    async def test_what_is_too_large_for_a_proxy_is_halved(self, most: int) -> None:
        """Until it passes, without a wait; from then on nothing larger is sent."""

        def answer(request: web.Request, body: Any) -> tuple[int, Any]:
            if len(body["receipts"]) > most:
                return 413, "a page of the proxy's own"
            return record_all(request, body)

        async with bench(answer) as b, b.client() as client:
            for number in range(100):
                client.mark_later(msg_id=f"m{number}")
            await client.marks_sent()
        assert b.marked == [f"m{number}" for number in range(100)]
        sizes = [len(batch) for batch in b.api.batches]
        refused = [size for size in sizes if size > most]
        assert sizes[: len(refused)] == refused
        assert (b.refused, b.slept) == ([], [])

    async def test_a_mark_that_is_too_large_alone_is_refused(self) -> None:
        """No attempt would pass; the others go on."""

        def answer(request: web.Request, body: Any) -> tuple[int, Any]:
            if any(mark["msg_id"] == "m2" for mark in body["receipts"]):
                return 413, refusal("too_large")
            return record_all(request, body)

        async with bench(answer) as b, b.client() as client:
            for number in range(1, 5):
                client.mark_later(msg_id=f"m{number}")
            await client.marks_sent()
        assert b.marked == ["m1", "m3", "m4"]
        [(msg_id, error)] = b.refused
        assert (msg_id, error.code) == ("m2", "too_large")

    async def test_an_answer_with_too_few_results_answers_nothing(self) -> None:
        """Which mark they are of cannot be known."""
        short = [True]

        def answer(request: web.Request, body: Any) -> tuple[int, Any]:
            status, whole = record_all(request, body)
            if short.pop() if short else False:
                whole["results"].pop()
            return status, whole

        async with bench(answer) as b, b.client() as client:
            client.mark_later(msg_id="m1")
            client.mark_later(msg_id="m2")
            await client.marks_sent()
        assert b.api.batches == [["m1", "m2"], ["m1", "m2"]]
        assert b.marked == ["m1", "m2"]

    async def test_an_application_that_fails_loses_no_mark(self) -> None:
        """Neither where it is told of one, nor where it fetches a token."""
        broken = [True]

        async def token() -> str:
            if broken:
                broken.clear()
                raise RuntimeError("no token")
            return "a.b.c"

        def marked(receipt: Receipt) -> None:
            raise ZeroDivisionError(receipt.msg_id)

        async with fake_api() as api:
            pace = Pace(random=lambda: 0.0)
            arguments: dict[str, Any] = {"token": token, "marked": marked, "pace": pace}
            async with Client(user_id="user456", api=api.url, **arguments) as client:
                client.mark_later(msg_id="m1")
                client.mark_later(msg_id="m2")
                await client.marks_sent()
        assert api.batches == [["m1", "m2"]]

    async def test_a_stream_that_connects_ends_the_wait(self) -> None:
        """It is there again: nobody waits out the rest of a minute."""
        hand = HandPace()
        async with (
            bench(failing(6)) as b,
            gateway() as fake,
            b.client(pace=hand.pace, gateway=fake.url) as client,
        ):
            client.mark_later(msg_id="m1")
            for _ in range(5):
                await eventually(lambda: hand.sleepers)
                await hand.advance(5.0)
            # All attempts of one call are used up, and the queue waits.
            await eventually(lambda: len(b.api.batches) == 6 and hand.sleepers)
            waiting = asyncio.create_task(anext(client.receipts()))
            await (await fake.visit()).welcome()
            await client.marks_sent()
            assert b.marked == ["m1"]
            waiting.cancel()
            await asyncio.wait([waiting])


class TestTakingBack:
    async def test_a_mark_that_waits_is_not_sent_any_more(self) -> None:
        """Else the message would be read after it was made unread."""
        answering = failing(0)

        def answer(request: web.Request, body: Any) -> tuple[int, Any]:
            if request.method == "DELETE":
                return 404, refusal("not_found")
            return answering(request, body)

        async with bench(answer) as b, b.client() as client:
            client.mark_later(msg_id="m1")
            client.mark_later(msg_id="m2")
            with pytest.raises(SeenbyError):
                await client.unmark("m1")
            await client.marks_sent()
        assert b.api.batches == [["m2"]]

    async def test_one_that_is_on_its_way_is_waited_for(self) -> None:
        """The receipt it makes is the one that is taken back."""
        async with bench() as b, b.client() as client:
            client.mark_later(msg_id="m1")
            await eventually(lambda: b.api.batches)
            await client.unmark("m1")
        assert [body.get("msg_id") for body in b.api.bodies] == [None, "m1"]
        assert b.marked == ["m1"]


class TestKeeping:
    async def test_marks_outlive_the_client(self, tmp_path: Path) -> None:
        """What could not be sent is sent by the next one that has the storage."""
        async with bench(failing(10**6)) as b:
            async with b.client(storage=FileStorage(tmp_path / "kept")) as client:
                client.mark_later(msg_id="m1")
                client.mark_later(msg_id="m2", sender_id="user123", conversation_id="c1")
                await eventually(lambda: len(b.api.batches) > 6)
            b.api.answering = record_all
            async with b.client(storage=FileStorage(tmp_path / "kept")) as client:
                assert client.pending == [Mark("m1"), Mark("m2", "user123", "c1")]
                await client.marks_sent()
            async with b.client(storage=FileStorage(tmp_path / "kept")) as client:
                assert client.pending == []
        assert b.marked == ["m1", "m2"]

    async def test_who_leaves_lets_the_last_marks_go_first(self) -> None:
        """A script that marks and ends has marked."""
        async with bench() as b:
            async with b.client(storage=MemoryStorage()) as client:
                client.mark_later(msg_id="m1")
            assert b.marked == ["m1"]

    async def test_who_leaves_while_seenby_is_away_is_not_held_up(self) -> None:
        """There is nothing to wait for."""
        hand = HandPace()
        async with bench(failing(1000)) as b, b.client(pace=hand.pace) as client:
            client.mark_later(msg_id="m1")
            for _ in range(5):
                await eventually(lambda: hand.sleepers)
                await hand.advance(5.0)
            await eventually(lambda: len(b.api.batches) == 6 and hand.sleepers)
            await all_waiting()
        assert b.marked == []

    async def test_a_storage_that_cannot_be_written_says_so_at_once(self) -> None:
        """Then nothing is kept, and the application knows."""

        class Full(MemoryStorage):
            def keep_mark(self, mark: Mark) -> None:
                raise OSError(28, "No space left on device")

        async with bench() as b, b.client(storage=Full()) as client:
            with pytest.raises(OSError, match="No space left"):
                client.mark_later(msg_id="m1")
            assert client.pending == []
        assert b.api.batches == []

    async def test_a_storage_that_cannot_forget_holds_up_nothing(self) -> None:
        """What is still in it is sent once more by the next client, which does no harm."""

        class Sticky(MemoryStorage):
            def drop_marks(self, msg_ids: Collection[str]) -> None:
                raise RuntimeError(f"{msg_ids} stay")

        async with bench() as b, b.client(storage=Sticky()) as client:
            for msg_id in ("m1", "m2"):
                client.mark_later(msg_id=msg_id)
                await client.marks_sent()
        assert b.marked == ["m1", "m2"]


class Moods:
    """Calls that are answered as drawn: whole requests fail, single marks are refused."""

    def __init__(self, moods: list[int]) -> None:
        self._moods = moods
        self.sent: list[list[str]] = []

    def _mood(self) -> int:
        # When nothing is drawn any more, all is well.
        return self._moods.pop() if self._moods else 0

    async def call(self, _answer: object, _method: str, _path: str, *, body: Any) -> Results:
        """One request."""
        messages = [mark["msg_id"] for mark in body["receipts"]]
        self.sent.append(messages)
        await asyncio.sleep(0)
        match self._mood():
            case 1:
                raise StoreUnavailable("away")
            case 2:
                raise Unauthenticated("no token")
        return Results([self._result(msg_id) for msg_id in messages])

    def _result(self, msg_id: str) -> Result:
        match self._mood():
            case 3:
                return Result(success=False, code="store_unavailable", error="away")
            case 4:
                return Result(success=False, code="own_message", error="no")
        return msgspec.convert(recorded({"msg_id": msg_id, "reader_id": "user456"}), Result)


@given(st.lists(st.integers(0, 4), max_size=60), st.lists(st.integers(0, 12), max_size=20))
def test_each_mark_is_answered_once_whatever_happens(moods: list[int], numbers: list[int]) -> None:
    """With a receipt or a refusal; then nothing is kept of it, and nothing is sent of it again."""
    storage = MemoryStorage()
    told: list[str] = []

    async def mark_all() -> None:
        calls: Any = Moods(moods)
        pace = Pace(sleep=lambda _: asyncio.sleep(0), random=lambda: 0.0)
        marks = Marks(
            calls,
            lambda mark: {"msg_id": mark.msg_id},
            storage,
            {},
            pace,
            marked=lambda receipt: told.append(receipt.msg_id),
            refused=lambda mark, _: told.append(mark.msg_id),
        )
        for number in dict.fromkeys(numbers):
            marks.add(Mark(f"m{number}"))
            if number % 3 == 0:
                await asyncio.sleep(0)
        await marks.empty()
        await marks.close()

    asyncio.run(mark_all())
    assert sorted(told) == sorted({f"m{number}" for number in numbers})
    assert storage.open("user456").marks == {}
