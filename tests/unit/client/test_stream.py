"""One stream over any number of connections, against a gateway that says what the test wants."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from seenby.client import Client, Connected, Disconnected, Position, Pushed, Reset, stream
from seenby.errors import (
    BadInput,
    Forbidden,
    KeysUnavailable,
    NotFound,
    Refused,
    TokenExpired,
    Unauthenticated,
)
from tests.servers.wait import PATIENCE
from tests.unit.client.gateway import FakeGateway, HandPace, gateway, receipt
from tests.unit.eventually import all_waiting, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from seenby.client import Receipts
    from seenby.client.frames import Item
    from seenby.client.stream import Notice
    from tests.unit.client.gateway import Visit


class Bench:
    """A client of user123, its gateway, and time in the hand."""

    def __init__(self, fake: FakeGateway, client: Client, hand: HandPace) -> None:
        self.gateway = fake
        self.client = client
        self.hand = hand
        self.notices: list[Notice] = []

    def receipts(self, **more: Any) -> Receipts:
        """The client's stream, its notices kept."""
        return self.client.receipts(notice=self.notices.append, **more)

    def lost(self) -> list[Disconnected]:
        """Every connection that ended so far."""
        return [notice for notice in self.notices if isinstance(notice, Disconnected)]

    async def losses(self, times: int) -> None:
        """Return when so many connections have ended."""
        await eventually(lambda: len(self.lost()) == times)

    async def welcomes(self, times: int) -> None:
        """Return when so many connections have been welcomed."""
        await eventually(lambda: len(self.notices) - len(self.lost()) == times)

    async def again(self, times: int = 1) -> Visit:
        """The visit after the *times*-th loss, with the wait before it over."""
        await eventually(lambda: len(self.lost()) >= times)
        retry_in = self.lost()[-1].retry_in
        if retry_in:
            await eventually(lambda: self.hand.sleepers)
            await self.hand.advance(retry_in)
        return await self.gateway.visit()


@asynccontextmanager
async def bench(**more: Any) -> AsyncIterator[Bench]:
    """Everything closed at the end, and no task left behind."""
    before = asyncio.all_tasks()
    hand = HandPace()
    async with gateway() as fake:
        arguments = {"user_id": "user123", "device_id": "phone"} | more
        async with Client(gateway=fake.url, pace=hand.pace, **arguments) as client:
            yield Bench(fake, client, hand)
    names = {task.get_name() for task in asyncio.all_tasks() - before}
    assert not any("seenby" in name for name in names), names


async def next_item(receipts: Receipts) -> Item:
    """The next item, or a failure instead of a test that hangs."""
    async with asyncio.timeout(PATIENCE):
        return await anext(receipts)


async def seqs(receipts: Receipts, count: int) -> list[int]:
    """The next *count* seqs."""
    return [(await next_item(receipts)).seq for _ in range(count)]


async def raised(receipts: Receipts) -> Exception:
    """What ends the stream."""
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(Exception) as problem:  # noqa: PT011 -- the caller looks at it
            await anext(receipts)
    assert isinstance(problem.value, Exception)
    return problem.value


def ends_with(got: list[int], last: int) -> bool:
    """Whether this is what was got last."""
    return got[-1:] == [last]


async def started(
    bench: Bench, receipts: Receipts, head: int = 0
) -> tuple[Visit, asyncio.Task[Item]]:
    """The first visit, welcomed, and a task that waits for the first item."""
    waiting = asyncio.create_task(anext(receipts))
    visit = await bench.gateway.visit()
    await visit.welcome(head)
    return visit, waiting


class TestConnecting:
    async def test_nothing_is_connected_before_the_first_item_is_asked_for(self) -> None:
        """A stream that nobody reads costs nothing."""
        async with bench() as b:
            b.receipts()
            await all_waiting()
            assert b.gateway.visits == []

    async def test_hello_says_who_and_where(self) -> None:
        """The token in the frame, never in the address; the user in the query."""
        async with bench(token="a.b.c") as b:
            visit, waiting = await started(b, b.receipts(position=("e1", 7)))
            assert visit.hello == {
                "type": "hello",
                "token": "a.b.c",
                "device_id": "phone",
                "epoch": "e1",
                "seq": 7,
                "batch": True,
            }
            assert visit.socket.request is not None
            assert visit.socket.request.path == "/ws?user_id=user123&device_id=phone"
            assert visit.socket.subprotocol == "seenby.v1"
            waiting.cancel()

    async def test_without_a_position_the_gateway_decides(self) -> None:
        """A hello without seq resumes where the device stood."""
        async with bench() as b:
            visit, waiting = await started(b, b.receipts(batch=False))
            assert visit.hello == {"type": "hello", "device_id": "phone"}
            waiting.cancel()

    async def test_a_receipt_arrives_as_it_was_pushed(self) -> None:
        """With its times as times, and its place in the stream."""
        async with bench() as b:
            visit, waiting = await started(b, b.receipts())
            await visit.push(42)
            item = await waiting
            assert isinstance(item, Pushed)
            assert (item.msg_id, item.reader_id, item.conversation_id) == ("m42", "user456", "c1")
            assert item.read_at.isoformat() == "2024-01-01T00:00:00+00:00"
            assert (item.pushed_at - item.read_at).seconds == 5
            assert (item.epoch, item.seq) == ("e1", 42)

    async def test_a_server_that_speaks_something_else_is_refused(self) -> None:
        """Otherwise the client would wait for ever for a welcome."""
        async with (
            gateway(subprotocol=False) as fake,
            Client(user_id="user123", gateway=fake.url) as client,
        ):
            problem = await raised(client.receipts())
            assert type(problem) is Refused
            assert "does not speak seenby.v1" in str(problem)

    async def test_a_ping_is_answered(self) -> None:
        """The gateway closes who does not answer."""
        async with bench() as b:
            visit, waiting = await started(b, b.receipts())
            async with asyncio.timeout(PATIENCE):
                await (await visit.socket.ping())
            waiting.cancel()

    async def test_a_connection_outlives_the_time_limit_for_requests(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """That is for the handshake; a stream is silent for longer."""
        monkeypatch.setattr("seenby.client.client.OPEN_WITHIN", 0.1)
        async with bench() as b:
            waiting = asyncio.create_task(next_item(b.receipts()))
            # On a busy machine a handshake may take longer than that, and is tried again.
            for failures in count():
                await eventually(lambda: b.gateway.visits or len(b.lost()) > failures)  # noqa: B023 -- at once
                if b.gateway.visits:
                    break
                await eventually(lambda: b.hand.sleepers)
                await b.hand.advance(b.lost()[-1].retry_in)
            visit = await b.gateway.visit()
            await visit.welcome()
            loop = asyncio.get_running_loop()
            over = loop.time() + 0.15
            await eventually(lambda: loop.time() > over)
            await visit.push(1)
            assert (await waiting).seq == 1


class TestReconnecting:
    async def test_it_resumes_after_the_last_receipt_that_came(self) -> None:
        """Exactly once over reconnects: what the gateway repeats is dropped."""
        async with bench() as b:
            receipts = b.receipts()
            visit, waiting = await started(b, receipts)
            await visit.push(1, 2)
            assert (await waiting).seq == 1
            await eventually(lambda: len(receipts._items) == 1)
            visit.drop()
            visit = await b.again()
            assert (visit.hello["epoch"], visit.hello["seq"]) == ("e1", 2)
            await visit.welcome(3)
            await visit.push(1, 2, 3)
            assert await seqs(receipts, 2) == [2, 3]

    async def test_over_many_connections_each_comes_once_and_in_order(self) -> None:
        """However they end, and wherever in the stream."""
        async with bench() as b:
            receipts = b.receipts()
            got: list[int] = []

            async def read() -> None:
                while True:
                    got.append((await anext(receipts)).seq)

            reading = asyncio.create_task(read())
            visit = await b.gateway.visit()
            for number, ending in enumerate([4000, None, 1012, 1011, None, 4008]):
                start: int = visit.hello.get("seq", 0)
                await visit.welcome(100)
                await visit.push(*range(max(1, start - 2), start + 3))
                await visit.push_together(*range(start + 2, start + 6))
                await eventually(partial(ends_with, got, start + 5))
                if ending is None:
                    visit.drop()
                else:
                    await visit.close(ending)
                visit = await b.again(number + 1)
            assert got == list(range(1, 31))
            reading.cancel()

    async def test_a_wait_before_each_attempt_grows_and_is_jittered(self) -> None:
        """Many clients of a gateway that died do not come back at the same moment."""
        async with bench() as b:
            b.hand.chance = 0.5
            waiting = asyncio.create_task(next_item(b.receipts()))
            for number in range(1, 8):
                visit = await (b.again(number - 1) if number > 1 else b.gateway.visit())
                visit.drop()
                await b.losses(number)
            assert [lost.retry_in for lost in b.lost()] == [0.5, 1, 2, 4, 8, 15, 15]
            assert {lost.code for lost in b.lost()} == {1006}
            waiting.cancel()

    async def test_a_good_connection_begins_the_waits_anew(self) -> None:
        """Ten seconds after its welcome; a short one does not."""
        async with bench() as b:
            waiting = asyncio.create_task(next_item(b.receipts()))
            visit = await b.gateway.visit()
            for number, (lasted, retry_in) in enumerate([(9.9, 1), (9.9, 2), (10, 1), (0, 2)]):
                await visit.welcome()
                await b.welcomes(number + 1)
                b.hand.now += lasted
                visit.drop()
                await b.losses(number + 1)
                assert b.lost()[-1].retry_in == retry_in
                visit = await b.again(number + 1)
            waiting.cancel()

    @pytest.mark.parametrize("code", [4000, 4001, 4008, 4099])
    async def test_at_once_where_the_gateway_asks_for_it(self, code: int) -> None:
        """Contract, section 3: 4000-4099; once, for a gateway that always asks is not well."""

        async def token() -> str:
            return "a.b.c"

        async with bench(token=token) as b:
            waiting = asyncio.create_task(next_item(b.receipts()))
            await (await b.gateway.visit()).close(code, "going away")
            await (await b.again()).close(code, "going away")
            await eventually(lambda: len(b.lost()) == 2)
            assert b.lost() == [
                Disconnected(code, "going away", 0.0),
                Disconnected(code, "going away", 2.0),
            ]
            waiting.cancel()

    async def test_a_gateway_that_is_not_there_is_tried_again(self) -> None:
        """From the start, too: it may come later than its clients."""
        hand = HandPace()
        notices: list[Notice] = []
        async with gateway() as fake:
            url = fake.url
        async with Client(user_id="user123", gateway=url, pace=hand.pace) as client:
            waiting = asyncio.create_task(next_item(client.receipts(notice=notices.append)))
            await eventually(lambda: len(notices) == 1)
            await eventually(lambda: hand.sleepers)
            await hand.advance(1)
            await eventually(lambda: len(notices) == 2)
            [first, _] = notices
            assert isinstance(first, Disconnected)
            assert first.reason.startswith(f"{url} cannot be reached: ")
            waiting.cancel()

    async def test_what_happens_is_told(self) -> None:
        """A program can show that it is offline, and why."""
        async with bench() as b:
            visit, waiting = await started(b, b.receipts())
            await visit.push(1)
            await waiting
            await visit.close(1012, "restarting")
            await (await b.again()).welcome(resumed=False)
            await eventually(lambda: len(b.notices) == 3)
            assert b.notices == [
                Connected(resumed=True, head=Position("e1", 0)),
                Disconnected(1012, "restarting", 1.0),
                Connected(resumed=False, head=Position("e1", 0)),
            ]


class TestReset:
    async def test_a_reset_is_told_in_its_place(self) -> None:
        """Never a silent hole: the application loads what it shows anew."""
        async with bench() as b:
            receipts = b.receipts(position=("e0", 7))
            visit, waiting = await started(b, receipts)
            await visit.send({"type": "reset", "epoch": "e1", "seq": 20})
            await visit.push(21)
            assert await waiting == Reset("e1", 20)
            assert (await next_item(receipts)).seq == 21
            assert b.client.position is not None
            assert (b.client.position.epoch, b.client.position.seq) == ("e1", 20)

    async def test_a_reset_that_was_not_handled_is_not_forgotten(self) -> None:
        """Its item waits in the queue while the connection is lost."""
        async with bench() as b:
            receipts = b.receipts(position=("e0", 7))
            visit, waiting = await started(b, receipts)
            await visit.push(8)
            await visit.send({"type": "reset", "epoch": "e1", "seq": 20})
            await waiting
            await eventually(lambda: len(receipts._items) == 1)
            visit.drop()
            visit = await b.again()
            assert (visit.hello["epoch"], visit.hello["seq"]) == ("e1", 20)
            assert await next_item(receipts) == Reset("e1", 20)


class TestAcknowledging:
    async def test_an_item_is_acknowledged_after_it_was_handled(self) -> None:
        """Asking for the next one says so; the last one given is not handled yet."""
        async with bench() as b:
            receipts = b.receipts()
            visit, waiting = await started(b, receipts)
            await visit.push(1, 2, 3)
            await waiting
            await all_waiting()
            assert visit.acks == []
            await next_item(receipts)
            await eventually(lambda: visit.acks == [1])
            await next_item(receipts)
            await eventually(lambda: b.hand.sleepers)
            await b.hand.advance(stream.ACK_EVERY)
            await eventually(lambda: visit.acks == [1, 2])

    async def test_many_are_acknowledged_in_one_frame(self) -> None:
        """A few times a second at most, whatever comes."""
        async with bench() as b:
            receipts = b.receipts()
            visit, waiting = await started(b, receipts)
            await visit.push_together(*range(1, 101))
            await waiting
            await seqs(receipts, 99)
            await eventually(lambda: visit.acks)
            await b.hand.advance(stream.ACK_EVERY)
            await eventually(lambda: visit.acks[-1] == 99)
            assert len(visit.acks) <= 2

    async def test_an_application_may_acknowledge_itself(self) -> None:
        """After it has stored what it got, perhaps much later."""
        async with bench() as b:
            receipts = b.receipts(auto_ack=False)
            visit, waiting = await started(b, receipts)
            await visit.push(1, 2, 3)
            await waiting
            second = await next_item(receipts)
            await next_item(receipts)
            await all_waiting()
            assert visit.acks == []
            b.client.ack(second)
            await eventually(lambda: visit.acks == [2])

    async def test_what_the_last_connection_lost_is_acknowledged_on_the_next(self) -> None:
        """An acknowledgement that was on its way is said again."""
        async with bench() as b:
            receipts = b.receipts()
            visit, waiting = await started(b, receipts)
            await visit.push(1, 2)
            await waiting
            await next_item(receipts)
            await eventually(lambda: visit.acks == [1])
            visit.drop()
            visit = await b.again()
            assert visit.acks == []
            await visit.welcome(2)
            await eventually(lambda: visit.acks == [1])

    async def test_at_the_end_what_was_handled_is_acknowledged(self) -> None:
        """Though the pause between two acknowledgements is not over."""
        async with bench() as b:
            receipts = b.receipts(auto_ack=False)
            visit, waiting = await started(b, receipts)
            await visit.push(1, 2)
            b.client.ack(await waiting)
            await eventually(lambda: visit.acks == [1])
            b.client.ack(await next_item(receipts))
            await receipts.aclose()
            await eventually(lambda: visit.ended)
            assert visit.acks == [1, 2]

    async def test_without_a_device_nothing_is_acknowledged(self) -> None:
        """Nobody keeps it."""
        async with bench(device_id="") as b:
            receipts = b.receipts()
            visit, waiting = await started(b, receipts)
            await visit.push(1, 2)
            await waiting
            await next_item(receipts)
            await receipts.aclose()
            await eventually(lambda: visit.ended)
            assert visit.acks == []


class TestTokens:
    async def test_an_expired_token_is_renewed(self) -> None:
        """4001: the source is asked for another, at once, and the stream goes on."""
        tokens = iter(["first", "second"])

        async def token() -> str:
            return next(tokens)

        async with bench(token=token) as b:
            receipts = b.receipts()
            visit, waiting = await started(b, receipts)
            await visit.push(1)
            await waiting
            assert visit.hello["token"] == "first"
            await visit.close(4001, "the token has expired")
            visit = await b.again()
            assert (visit.hello["token"], visit.hello["seq"]) == ("second", 1)

    async def test_a_token_is_kept_while_it_holds(self) -> None:
        """Another connection is no reason to ask for another one."""
        asked = 0

        async def token() -> str:
            nonlocal asked
            asked += 1
            return "t"

        async with bench(token=token) as b:
            waiting = asyncio.create_task(next_item(b.receipts()))
            (await b.gateway.visit()).drop()
            await b.again()
            assert asked == 1
            waiting.cancel()

    @pytest.mark.parametrize("token", ["a.b.c", None])
    async def test_an_expired_token_without_a_source_ends_the_stream(
        self, token: str | None
    ) -> None:
        """Nobody can fetch another; the application is told."""
        async with bench(token=token) as b:
            ending = asyncio.create_task(raised(b.receipts()))
            await (await b.gateway.visit()).close(4001, "the token has expired")
            assert type(await ending) is TokenExpired

    async def test_a_source_that_is_away_for_a_moment_is_asked_again(self) -> None:
        """What may pass is waited for."""
        answers: list[str | Exception] = [KeysUnavailable("away"), OSError("down"), "t"]

        async def token() -> str:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        async with bench(token=token) as b:
            waiting = asyncio.create_task(next_item(b.receipts()))
            for number in (1, 2):
                await b.losses(number)
                await eventually(lambda: b.hand.sleepers)
                if number == 1:
                    await b.hand.advance(b.lost()[-1].retry_in)
            assert (await b.again(2)).hello["token"] == "t"
            waiting.cancel()

    @pytest.mark.parametrize("problem", [Forbidden("no"), RuntimeError("a fault")])
    async def test_a_source_that_fails_for_good_ends_the_stream(self, problem: Exception) -> None:
        """With what it raised."""

        async def token() -> str:
            raise problem

        async with bench(token=token) as b:
            assert await raised(b.receipts()) is problem


class TestTheEnd:
    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            (4400, Refused),
            (4401, Unauthenticated),
            (4403, Forbidden),
            (4429, Refused),
            (4499, Refused),
        ],
    )
    async def test_a_final_close_is_raised(self, code: int, kind: type[Exception]) -> None:
        """Contract, section 3: 4400-4499 do not reconnect. What came before is delivered first."""
        async with bench() as b:
            receipts = b.receipts()
            visit, waiting = await started(b, receipts)
            await visit.push(1, 2)
            await waiting
            await visit.close(code, "because")
            assert (await next_item(receipts)).seq == 2
            problem = await raised(receipts)
            assert type(problem) is kind
            assert str(problem) == "because"
            with pytest.raises(StopAsyncIteration):
                await anext(receipts)
            assert len(b.gateway.visits) == 1

    async def test_a_close_without_a_reason_has_a_sentence_all_the_same(self) -> None:
        """Nobody likes an empty error."""
        async with bench() as b:
            ending = asyncio.create_task(raised(b.receipts()))
            await (await b.gateway.visit()).close(4403)
            assert str(await ending) == "the gateway closed the connection with code 4403"

    async def test_an_error_that_nobody_waits_for_disturbs_nobody(self) -> None:
        """The application has left; nothing is logged about a task."""
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        async with bench() as b:
            receipts = b.receipts()
            visit, waiting = await started(b, receipts)
            await visit.push(1)
            await waiting
            await visit.close(4403)
            await eventually(lambda: receipts._task is not None and receipts._task.done())
            await receipts.aclose()
            receipts._task = None
            gc.collect()
        assert told == []

    async def test_leaving_ends_the_connection(self) -> None:
        """Politely: the gateway sees a close, not a loss."""
        async with bench() as b:
            receipts = b.receipts()
            visit, waiting = await started(b, receipts)
            await visit.push(1)
            await waiting
            await receipts.aclose()
            await eventually(lambda: visit.ended)
            assert visit.socket.close_code == 1000
            with pytest.raises(StopAsyncIteration):
                await anext(receipts)

    async def test_leaving_while_an_item_is_waited_for_ends_the_wait(self) -> None:
        """A loop over the stream ends by itself."""
        async with bench() as b:
            receipts = b.receipts()

            async def read() -> str:
                async for _ in receipts:
                    pass
                return "ended"

            reading = asyncio.create_task(read())
            await (await b.gateway.visit()).welcome()
            await receipts.aclose()
            assert await reading == "ended"

    async def test_leaving_is_possible_at_any_time(self) -> None:
        """Before it began, between two connections, and twice."""
        async with bench() as b:
            await b.receipts().aclose()
            receipts = b.receipts()
            reading = asyncio.create_task(next_item(receipts))
            (await b.gateway.visit()).drop()
            await eventually(lambda: b.hand.sleepers)
            await receipts.aclose()
            await receipts.aclose()
            with pytest.raises(StopAsyncIteration):
                await reading
            assert b.hand.sleepers == 0

    async def test_a_cancelled_reader_leaves_nothing_behind(self) -> None:
        """Leaving the client's block ends its tasks, whatever they were doing; see bench()."""
        async with bench() as b:
            reading = asyncio.create_task(next_item(b.receipts()))
            visit = await b.gateway.visit()
            await visit.welcome()
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading
        assert visit.ended

    async def test_a_cancelled_wait_loses_no_item(self) -> None:
        """A timeout around the next item is no reason to miss one."""
        async with bench() as b:
            receipts = b.receipts()
            visit, waiting = await started(b, receipts)
            waiting.cancel()
            await asyncio.wait([waiting])
            await visit.push(1, 2)
            assert await seqs(receipts, 2) == [1, 2]

    async def test_a_new_stream_ends_the_one_before(self) -> None:
        """A client has one place in its stream."""
        async with bench() as b:
            first = b.receipts()
            visit, waiting = await started(b, first)
            await visit.push(1, 2)
            await waiting
            second = b.receipts()
            visit_2, waiting_2 = await started(b, second)
            assert visit.ended
            with pytest.raises(StopAsyncIteration):
                await next_item(first)
            assert "seq" not in visit_2.hello
            await visit_2.push(1)
            assert (await waiting_2).seq == 1


class TestSilence:
    async def test_a_gateway_that_says_nothing_is_left(self) -> None:
        """Two and a half heartbeats: a half-open connection is noticed by nobody else."""
        async with bench() as b:
            receipts = b.receipts()
            visit, waiting = await started(b, receipts)
            await visit.push(1)
            await waiting
            await b.hand.advance(stream.OPEN_WITHIN)
            await b.hand.advance(64.9)
            await all_waiting()
            assert b.lost() == []
            await b.hand.advance(0.2)
            visit = await b.again()
            assert b.lost()[0].reason == "nothing was heard for 75 seconds"
            assert visit.hello["seq"] == 1

    async def test_a_gateway_without_a_welcome_is_left(self) -> None:
        """Ten seconds after hello."""
        async with bench() as b:
            waiting = asyncio.create_task(next_item(b.receipts()))
            await b.gateway.visit()
            await eventually(lambda: b.hand.sleepers)
            await b.hand.advance(stream.OPEN_WITHIN)
            await b.again()
            assert b.lost()[0].reason == "nothing was heard for 10 seconds"
            waiting.cancel()

    async def test_every_word_counts(self) -> None:
        """A ping is enough."""
        async with bench() as b:
            receipts = b.receipts()
            visit, waiting = await started(b, receipts)
            await visit.push(1)
            await waiting
            await b.hand.advance(stream.OPEN_WITHIN)
            for _ in range(5):
                await b.hand.advance(50)
                async with asyncio.timeout(PATIENCE):
                    await (await visit.socket.ping())
            assert b.lost() == []


class TestSlowApplication:
    @pytest.fixture(autouse=True)
    def short_queue(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ten items are many."""
        monkeypatch.setattr(stream, "QUEUE_LIMIT", 10)

    async def test_a_full_queue_stops_the_reading(self) -> None:
        """What is not read waits in the gateway, which knows what to do about it."""
        async with bench() as b:
            receipts = b.receipts()
            visit, waiting = await started(b, receipts)
            await visit.push(*range(1, 101))
            await waiting
            await eventually(lambda: len(receipts._items) == 10)
            await all_waiting()
            assert len(receipts._items) == 10
            assert await seqs(receipts, 99) == list(range(2, 101))

    async def test_it_is_not_taken_for_silence(self) -> None:
        """However long it takes, and however long nothing comes afterwards."""
        async with bench() as b:
            receipts = b.receipts()
            visit, waiting = await started(b, receipts)
            await visit.push_together(*range(1, 12))
            await waiting
            await eventually(lambda: len(receipts._items) == 10)
            for _ in range(10):
                await b.hand.advance(100)
            await seqs(receipts, 10)
            await all_waiting()
            await b.hand.advance(70)
            await all_waiting()
            assert b.lost() == []

    @pytest.mark.parametrize("together", [True, False])
    async def test_a_connection_lost_meanwhile_loses_nothing(self, *, together: bool) -> None:
        """What was taken from the socket is in the queue, the rest is said to be missing."""
        async with bench() as b:
            receipts = b.receipts()
            visit, waiting = await started(b, receipts)
            if together:
                for start in range(1, 101, 4):
                    await visit.push_together(*range(start, start + 4))
            else:
                await visit.push(*range(1, 101))
            got = [(await waiting).seq]
            await eventually(lambda: len(receipts._items) >= 10)
            visit.drop()
            await eventually(lambda: visit.ended)

            async def read() -> None:
                while len(got) < 100:
                    await all_waiting()
                    got.append((await anext(receipts)).seq)

            reading = asyncio.create_task(read())
            visit = await b.again()
            await visit.welcome(100)
            await visit.push(*range(visit.hello["seq"] + 1, 101))
            async with asyncio.timeout(PATIENCE):
                await reading
            assert got == list(range(1, 101))

    async def test_what_the_gateway_said_at_the_end_is_heard_after_all(self) -> None:
        """It waits behind the receipts, while acknowledgements no longer get through."""
        async with bench() as b:
            receipts = b.receipts()
            visit, waiting = await started(b, receipts)
            await visit.push(*range(1, 31))
            await waiting
            await eventually(lambda: len(receipts._items) == 10)
            await visit.close(4403, "signed off")
            for seq in range(2, 31):
                await all_waiting()
                assert (await next_item(receipts)).seq == seq
            assert type(await raised(receipts)) is Forbidden
            assert len(b.gateway.visits) == 1

    async def test_leaving_with_a_full_queue(self) -> None:
        """The reader that waits for room ends as well; see bench()."""
        async with bench() as b:
            receipts = b.receipts()
            visit, waiting = await started(b, receipts)
            await visit.push(*range(1, 101))
            await waiting
            await eventually(lambda: len(receipts._items) == 10)
            await receipts.aclose()


class TestFaults:
    @pytest.mark.parametrize(
        "frame",
        [
            "not json",
            "[]",
            "{}",
            '{"type": 5}',
            {"type": "read_receipt"},
            {**receipt(1), "seq": "1"},
            {**receipt(1), "seq": -1},
            {**receipt(1), "read_at": 10**18},
            {"type": "read_receipts", "receipts": [receipt(1), {}]},
            {"type": "reset", "epoch": "e1"},
            {"type": "welcome", "epoch": "e1", "seq": 1, "resumed": True, "heartbeat": 0},
        ],
        ids=str,
    )
    async def test_a_frame_that_cannot_be_understood_ends_the_connection(self, frame: Any) -> None:
        """Skipping it could be a silent hole: the stream resumes before it."""
        async with bench() as b:
            receipts = b.receipts()
            visit, waiting = await started(b, receipts)
            await visit.push(1)
            await visit.send(frame)
            await visit.push(2)
            assert (await waiting).seq == 1
            visit = await b.again()
            assert b.lost()[0].reason.startswith("a frame cannot be understood: ")
            assert visit.hello["seq"] == 1

    async def test_what_is_new_is_passed_over(self) -> None:
        """The gateway may know more than this client: types, fields, frames."""
        async with bench() as b:
            visit, waiting = await started(b, b.receipts())
            await visit.send({"type": "presence", "seq": "x"})
            await visit.send({"type": "pong"})
            await visit.socket.send(b"\x00\x01")
            await visit.send({**receipt(1), "colour": "blue"})
            assert (await waiting).seq == 1

    async def test_a_complaint_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        """A fault of this client's that would otherwise be seen by nobody."""
        async with bench() as b:
            visit, waiting = await started(b, b.receipts())
            await visit.send({"type": "error", "code": "bad_request", "error": "seq must be less"})
            await visit.push(1)
            await waiting
        assert "seq must be less" in caplog.text


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, Unauthenticated),
        (403, Forbidden),
        (404, NotFound),
        (400, Refused),
        (426, Refused),
        (302, None),
        (408, None),
        (429, None),
        (500, None),
        (503, None),
    ],
)
async def test_a_refused_handshake(status: int, kind: type[Exception] | None) -> None:
    """What cannot get better is raised; what can is tried again."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()

    hand = HandPace()
    notices: list[Notice] = []
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"
        async with Client(user_id="user123", gateway=url, pace=hand.pace) as client:
            receipts = client.receipts(notice=notices.append)
            ending = asyncio.create_task(raised(receipts))
            if kind is None:
                await eventually(lambda: notices)
                await receipts.aclose()
                assert type(await ending) is StopAsyncIteration
            else:
                assert type(await ending) is kind
                assert url in str(await ending)
    assert len(notices) == (kind is None)


def test_an_address_is_looked_at_before_anything_is_connected() -> None:
    """Otherwise a slip would be tried again for ever."""
    for wrong in ("http://x/ws", "localhost:8081/ws", "ws://", "", "ws://a b/ws"):
        with pytest.raises(BadInput, match=r"^gateway must be an address such as ws://"):
            Client(user_id="user123", gateway=wrong)
