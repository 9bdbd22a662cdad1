"""The client without await: the same methods, from any thread, and a clean end."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from seenby.client import Client as AsyncClient
from seenby.client import FileStorage, Mark, Position, Pushed
from seenby.client.sync import Client, Receipts
from seenby.errors import BadInput, Refused, Unauthenticated
from tests.servers.wait import PATIENCE, wait_until
from tests.unit.client.api import FakeApi, fake_api, record_all, refusal
from tests.unit.client.gateway import FakeGateway, gateway

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from aiohttp import web


class Servers:
    """An API and a gateway on a loop in a thread of their own."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.api: FakeApi
        self.gateway: FakeGateway

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Let one of them do something."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def client(self, **more: Any) -> Client:
        """A client of both."""
        arguments: dict[str, Any] = {"api": self.api.url, "gateway": self.gateway.url} | more
        return Client(user_id="user456", **arguments)

    def welcome(self, head: int = 0) -> Any:
        """The next connection, welcomed."""
        visit = self.do(self.gateway.visit())
        self.do(visit.welcome(head))
        return visit


@pytest.fixture
def servers() -> Iterator[Servers]:
    """API and gateway, gone at the end; and no thread of a client is left behind."""
    loop = asyncio.new_event_loop()
    found = Servers(loop)
    ready, end = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with fake_api() as found.api, gateway() as found.gateway:
            ready.set()
            await end.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(PATIENCE)
    yield found
    loop.call_soon_threadsafe(end.set)
    thread.join(PATIENCE)
    loop.close()
    gc.collect()
    wait_until("no client's thread is left", lambda: not client_threads())


def client_threads() -> list[threading.Thread]:
    """The threads of clients that are open."""
    return [thread for thread in threading.enumerate() if thread.name == "seenby-client"]


@contextmanager
def interrupted_when(condition: Callable[[], object]) -> Iterator[None]:
    """Ctrl-C comes once that is so."""
    main = threading.get_ident()

    def interrupt() -> None:
        wait_until("it is time for Ctrl-C", lambda: bool(condition()))
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        thread.join()


def surface(of: type) -> dict[str, Any]:
    """What a class offers: its names, and what each is called with."""
    found: dict[str, Any] = {}
    for name, member in inspect.getmembers(of):
        if name.startswith("_") and name != "__init__":
            continue
        if isinstance(member, property):
            found[name] = "property"
        else:
            found[name] = [
                (parameter.name, parameter.kind, parameter.default)
                for parameter in inspect.signature(member).parameters.values()
            ]
    return found


class TestSurface:
    def test_it_has_every_method_of_the_asynchronous_client(self) -> None:
        """With the same arguments and defaults; only close and a timeout are its own."""
        theirs, mine = surface(AsyncClient), surface(Client)
        assert mine.pop("close") == [
            ("self", inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect._empty)
        ]
        assert mine["__init__"].pop() == ("timeout", inspect.Parameter.KEYWORD_ONLY, None)
        assert mine == theirs

    def test_nothing_of_it_is_awaited(self) -> None:
        """A coroutine that nobody awaits would do nothing, without a word."""
        for of in (Client, Receipts):
            for name, member in inspect.getmembers(of, inspect.isfunction):
                assert not inspect.iscoroutinefunction(member) or name == "_next", name
                assert not inspect.isasyncgenfunction(member), name


class TestCalls:
    def test_a_mark_is_answered(self, servers: Servers) -> None:
        """By the same call as the asynchronous client's."""
        with servers.client(device_id="phone") as client:
            receipt = client.mark(msg_id="m1", sender_id="user123", conversation_id="c1")
        assert (receipt.msg_id, receipt.reader_id) == ("m1", "user456")
        assert servers.api.bodies[0]["device_id"] == "phone"

    def test_every_call_over_http(self, servers: Servers) -> None:
        """Each one asks the API, and returns what it answers."""

        def answer(request: web.Request, body: Any) -> tuple[int, Any]:
            match request.path.rpartition("/")[2]:
                case "count":
                    return 200, {"count": 7, "conversations": []}
                case "unread":
                    return 200, {"messages": [], "next_offset": 2}
                case "settings":
                    return 200, {}
                case "read" if request.method == "POST" and "user_id" in body:
                    return 200, {"success": True, "rows_affected": 6}
                case "receipts":
                    page = {"msg_id": "m1", "count": 1, "receipts": []}
                    return 200, page
                case _:
                    return record_all(request, body)

        servers.api.answering = answer
        with servers.client() as client:
            assert client.unread_counts().count == 7
            assert client.unread(limit=2).next_offset == 2
            assert client.read_conversation("c1") == 6
            assert client.unmark("m1").msg_id == "m1"
            client.set_preferences(send_receipts=False)
            assert [found.count for found in client.message_receipts(["m1"])] == [1]
            assert list(client.receipts_of("m1")) == []

    def test_marks_are_kept_and_sent_later(self, servers: Servers, tmp_path: Path) -> None:
        """From a thread that has no event loop."""
        told: list[str] = []
        with servers.client(
            storage=FileStorage(tmp_path / "kept"), marked=lambda found: told.append(found.msg_id)
        ) as client:
            for number in range(5):
                client.mark_later(msg_id=f"m{number}")
            client.marks_sent()
            assert client.pending == []
        assert told == [f"m{number}" for number in range(5)]

    def test_a_refusal_is_raised(self, servers: Servers) -> None:
        """As the same error."""
        servers.api.answering = lambda *_: (401, refusal("unauthenticated"))
        with servers.client() as client, pytest.raises(Unauthenticated):
            client.mark(msg_id="m1")
        with pytest.raises(BadInput):
            servers.client(device_id="a b")

    def test_a_token_comes_from_a_function_that_waits(self, servers: Servers) -> None:
        """An ordinary one; meanwhile other threads are served."""
        asked, go_on = threading.Event(), threading.Event()

        def token() -> str:
            asked.set()
            assert go_on.wait(PATIENCE)
            return "a.b.c"

        with servers.client(token=token) as client, ThreadPoolExecutor(1) as pool:
            marking = pool.submit(client.mark, msg_id="m1")
            assert asked.wait(PATIENCE)
            assert client.pending == []
            go_on.set()
            assert marking.result(PATIENCE).msg_id == "m1"

    def test_several_threads_share_one_client(self, servers: Servers) -> None:
        """Each gets the answer to its own question."""
        with servers.client() as client, ThreadPoolExecutor(8) as pool:
            ids = [f"m{number}" for number in range(80)]
            found = list(pool.map(lambda msg_id: client.mark(msg_id=msg_id).msg_id, ids))
        assert found == ids

    def test_a_call_that_takes_too_long_is_given_up(self, servers: Servers) -> None:
        """And nothing of it goes on."""
        servers.api.answering = lambda *_: (503, refusal("store_unavailable"))
        with servers.client(timeout=0.05) as client, pytest.raises(TimeoutError):
            client.mark(msg_id="m1")

    def test_ctrl_c_ends_a_call(self, servers: Servers) -> None:
        """And the client goes on to be of use."""
        servers.api.answering = lambda *_: (503, refusal("store_unavailable"))
        with servers.client() as client:
            with interrupted_when(lambda: servers.api.bodies):
                client.mark(msg_id="m1")
            servers.api.answering = record_all
            assert client.mark(msg_id="m2").msg_id == "m2"


class TestStream:
    def test_items_come_one_after_the_other(self, servers: Servers) -> None:
        """In a plain for loop; the position follows, and what is handled is acknowledged."""
        with servers.client(device_id="d") as client:
            stream = client.receipts()
            with ThreadPoolExecutor(1) as pool:
                first = pool.submit(stream.get)
                visit = servers.welcome(3)
                servers.do(visit.push(1, 2, 3))
                assert first.result(PATIENCE).seq == 1
            seqs = []
            for item in stream:
                seqs.append(item.seq)
                assert isinstance(item, Pushed)
                if item.seq == 3:
                    client.ack(item)
                    break
            assert seqs == [2, 3]
            assert client.position == Position("e1", 3)
        wait_until("the gateway has read it all", lambda: visit.ended)
        assert visit.acks[-1] == 3

    def test_who_gives_up_waiting_loses_nothing(self, servers: Servers) -> None:
        """The next to ask gets what came meanwhile."""
        with servers.client() as client:
            stream = client.receipts()
            with pytest.raises(TimeoutError):
                stream.get(timeout=0.01)
            visit = servers.welcome()
            with pytest.raises(TimeoutError):
                stream.get(timeout=0.01)
            servers.do(visit.push(1, 2))
            assert [next(stream).seq, stream.get(timeout=PATIENCE).seq] == [1, 2]

    def test_ctrl_c_while_waiting_loses_nothing(self, servers: Servers) -> None:
        """Whoever goes on after it gets the next item."""
        with servers.client() as client:
            stream = client.receipts()
            with interrupted_when(lambda: servers.gateway.visits):
                next(stream)
            visit = servers.welcome()
            servers.do(visit.push(1))
            assert next(stream).seq == 1

    def test_a_client_that_is_closed_ends_the_stream(self, servers: Servers) -> None:
        """The loop in another thread is over, in order."""
        with ThreadPoolExecutor(1) as pool:
            client = servers.client()
            following = pool.submit(lambda stream: [item.seq for item in stream], client.receipts())
            visit = servers.welcome()
            servers.do(visit.push(1))
            wait_until("it is connected", lambda: visit.said)
            client.close()
            assert following.result(PATIENCE) in ([], [1])

    def test_what_ends_a_stream_for_good_is_raised(self, servers: Servers) -> None:
        """As by the asynchronous one."""
        with servers.client() as client, ThreadPoolExecutor(1) as pool:
            ended = pool.submit(next, client.receipts())
            servers.do(servers.do(servers.gateway.visit()).close(4400, "bad frame"))
            with pytest.raises(Refused, match="bad frame"):
                ended.result(PATIENCE)

    def test_a_stream_alone_can_be_closed(self, servers: Servers) -> None:
        """The client goes on to be of use."""
        with servers.client() as client:
            stream = client.receipts()
            stream.close()
            assert list(stream) == []
            assert client.mark(msg_id="m1").msg_id == "m1"


class TestLife:
    def test_it_opens_by_itself_and_may_be_closed_twice(self, servers: Servers) -> None:
        """A client of a whole process needs no with; the next use opens it again."""
        client = servers.client()
        assert client_threads() == []
        client.close()
        for _ in range(2):
            client.mark(msg_id="m1")
            assert len(client_threads()) == 1
            client.close()
            client.close()
            assert client_threads() == []

    def test_one_that_is_opened_again_goes_on_where_it_was(self, servers: Servers) -> None:
        """Also its stream, on another event loop."""
        client = servers.client(device_id="d")
        for seq in (1, 2):
            with ThreadPoolExecutor(1) as pool:
                stream = client.receipts(auto_ack=False)
                first = pool.submit(stream.get)
                visit = servers.welcome(seq)
                assert visit.hello.get("seq") == (seq - 1 or None)
                servers.do(visit.push(seq))
                client.ack(first.result(PATIENCE))
            client.close()
            assert list(stream) == []
        assert client.position == Position("e1", 2)

    def test_it_is_never_open_twice(self, servers: Servers, tmp_path: Path) -> None:
        """Whoever calls while it is being closed waits, and opens it again."""
        client = servers.client(storage=FileStorage(tmp_path / "kept"))
        stop = threading.Event()

        def mark(thread: int) -> int:
            count = 0
            while not stop.is_set():
                client.mark_later(msg_id=f"m{thread}-{count}")
                count += 1
            return count

        with ThreadPoolExecutor(4) as pool:
            marking = [pool.submit(mark, number) for number in range(4)]
            for _ in range(10):
                before = len(servers.api.batches)
                wait_until("some are sent", lambda: len(servers.api.batches) > before)  # noqa: B023 -- at once
                client.close()
            stop.set()
            counts = [found.result(PATIENCE) for found in marking]
        client.marks_sent()
        client.close()
        sent = {msg_id for batch in servers.api.batches for msg_id in batch}
        assert len(sent) == sum(counts)

    def test_one_that_is_forgotten_is_closed(self, servers: Servers) -> None:
        """Its thread and its connections go with it."""
        client = servers.client()
        client.mark(msg_id="m1")
        del client
        gc.collect()
        wait_until("its thread has ended", lambda: not client_threads())

    def test_whoever_waits_when_it_is_closed_is_told(self, servers: Servers) -> None:
        """Nobody is left waiting for ever."""
        servers.api.answering = lambda *_: (503, refusal("store_unavailable"))
        client = servers.client()
        with ThreadPoolExecutor(1) as pool:
            marking = pool.submit(client.mark, msg_id="m1")
            wait_until("it has been asked", lambda: bool(servers.api.bodies))
            client.close()
            with pytest.raises(RuntimeError, match=r"closed"):
                marking.result(PATIENCE)

    def test_a_callback_that_calls_the_client_is_told(self, servers: Servers) -> None:
        """It would wait for itself."""
        told: list[str] = []

        def marked(_: object) -> None:
            try:
                client.mark(msg_id="m2")
            except RuntimeError as error:
                told.append(str(error))

        with servers.client(marked=marked) as client:
            client.mark_later(msg_id="m1")
            client.marks_sent()
            wait_until("it is told", lambda: bool(told))
        assert told == ["a function that the client calls must not call the client"]

    @pytest.mark.parametrize("call", ["mark", "pending", "close", "stream"])
    def test_a_token_function_that_calls_the_client_is_told(
        self, servers: Servers, call: str
    ) -> None:
        """Each call would wait for the token that it fetches; the next one finds all in order."""
        asked: list[str] = []

        def token() -> str:
            asked.append(call)
            if len(asked) == 1:
                match call:
                    case "mark":
                        client.mark(msg_id="m2")
                    case "pending":
                        client.pending  # noqa: B018 -- it asks the client's thread
                    case "close":
                        client.close()
                    case _:
                        stream.get()
            return "a.b.c"

        with servers.client(token=token) as client:
            stream = client.receipts()
            with pytest.raises(RuntimeError, match="must not call the client"):
                client.mark(msg_id="m1")
            assert client.mark(msg_id="m1").msg_id == "m1"
        assert len(asked) == 2

    def test_a_notice_that_asks_for_the_next_item_is_told(self, servers: Servers) -> None:
        """Its thread is the one that would bring the item."""
        told: list[str] = []

        def notice(_: object) -> None:
            try:
                stream.get()
            except RuntimeError as error:
                told.append(str(error))

        with servers.client() as client, ThreadPoolExecutor(1) as pool:
            stream = client.receipts(notice=notice)
            waiting = pool.submit(stream.get)
            visit = servers.welcome()
            servers.do(visit.push(1))
            assert waiting.result(PATIENCE).seq == 1
        assert told == ["a function that the client calls must not call the client"]

    def test_a_forked_process_makes_its_own(self, servers: Servers) -> None:
        """There is no thread there that could answer: an error, and no endless wait."""
        with servers.client() as client:
            client.mark(msg_id="m1")
            client._thread._process = os.getpid() + 1  # type: ignore[union-attr]  # as after a fork
            with pytest.raises(RuntimeError, match="another process"):
                client.mark(msg_id="m1")
            client._thread._process = os.getpid()  # type: ignore[union-attr]

    def test_a_storage_that_cannot_be_opened_leaves_nothing(
        self, servers: Servers, tmp_path: Path
    ) -> None:
        """The error is the caller's, and the next attempt may do better."""
        client = servers.client(storage=FileStorage(tmp_path / "none" / "kept"))
        with pytest.raises(FileNotFoundError):
            client.mark(msg_id="m1")
        assert client_threads() == []
        (tmp_path / "none").mkdir()
        client.mark_later(msg_id="m1")
        client.close()
        assert Mark("m1") not in client.pending
        client.close()
