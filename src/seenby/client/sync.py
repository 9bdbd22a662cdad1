"""The same client without await: for Django, scripts and workers.

::

    with Client(user_id="user123", device_id="laptop") as client:
        client.mark(msg_id="m1", sender_id="user456", conversation_id="c1")
        for item in client.receipts():
            print(item)

It is the asynchronous client, on an event loop in a thread of its own; what each method does is
said there. Any thread may call it, several at a time. Functions that the application gives it
(notice, marked, refused) are called in that thread, where they must not call the client back; nor
may the one that fetches a token, which has a thread of its own, since it may take a while.

A client is opened by its first use, and may live as long as its process: close() or ``with`` ends
it in order, and so does the end of the program. It does not live on in a forked process, where a
new one is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from seenby.client.client import Client as AsyncClient

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Sequence
    from concurrent.futures import Future
    from typing import Any

    from seenby.client.answers import MessageReceipts, Receipt, Unread, UnreadCounts
    from seenby.client.frames import Item
    from seenby.client.pace import Pace
    from seenby.client.storage import Mark, Storage
    from seenby.client.stream import Notice
    from seenby.client.stream import Receipts as AsyncReceipts
    from seenby.errors import SeenbyError
    from seenby.model import ConversationType, Position

T = TypeVar("T")

CLOSE_WITHIN = 10.0
"""Seconds after which the thread is left to itself."""

BY_ITSELF = "a function that the client calls must not call the client"

Token = str | Callable[[], str]
"""A token, or a function that fetches one; it may wait, and is called again when one expired."""


class Client:
    """As seenby.client.Client, each method without await.

    Args:
        user_id: who marks, and whose receipts are followed.
        device_id: the device whose position the gateway keeps.
        token: shown where authentication is on; a function (not a coroutine function) is asked for
            a new one when it has expired.
        api: the address of the API.
        gateway: the address of the gateway, with its path.
        storage: keeps the position and the marks of mark_later().
        marked: told each receipt that comes of mark_later().
        refused: told each mark of mark_later() that is refused for good, and why.
        pace: time and chance; for tests.
        timeout: seconds that each call may take before it is given up with a TimeoutError; None
            leaves it at the bounds that calls have anyway.

    Raises:
        BadInput: user_id or device_id cannot be an id, api or gateway cannot be an address.
    """

    def __init__(
        self,
        *,
        user_id: str,
        device_id: str = "",
        token: Token | None = None,
        api: str | None = None,
        gateway: str | None = None,
        storage: Storage | None = None,
        marked: Callable[[Receipt], object] | None = None,
        refused: Callable[[Mark, SeenbyError], object] | None = None,
        pace: Pace | None = None,
        timeout: float | None = None,
    ) -> None:
        self._fetching: set[int] = set()
        self._client = AsyncClient(
            user_id=user_id,
            device_id=device_id,
            token=(
                token
                if token is None or isinstance(token, str)
                else _awaited(token, self._fetching)
            ),
            api=api,
            gateway=gateway,
            storage=storage,
            marked=marked,
            refused=refused,
            pace=pace,
        )
        self._timeout = timeout
        self._lock = threading.Lock()
        self._thread: _Thread | None = None

    def __enter__(self) -> Self:
        """Open it: see seenby.client.Client."""
        self._refuse_itself()
        with self._lock:
            self._opened()
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Send what can be sent, acknowledge, and disconnect; the next use opens it again."""
        self._refuse_itself()
        # Who calls meanwhile waits, and opens it again: it is never open twice.
        with self._lock:
            try:
                if self._thread is not None:
                    self._thread.close()
            finally:
                self._thread = None

    @property
    def position(self) -> Position | None:
        """Up to where the application has handled the stream."""
        return self._client.position

    @property
    def pending(self) -> list[Mark]:
        """The marks of mark_later() that are not answered."""

        async def ask() -> list[Mark]:
            return self._client.pending

        return self._call(ask)

    # Over HTTP

    def mark(
        self,
        *,
        msg_id: str,
        sender_id: str | None = None,
        conversation_id: str | None = None,
        conversation_type: ConversationType = "private",
    ) -> Receipt:
        """Record that this user has read a message."""
        return self._call(
            lambda: self._client.mark(
                msg_id=msg_id,
                sender_id=sender_id,
                conversation_id=conversation_id,
                conversation_type=conversation_type,
            )
        )

    def mark_later(
        self,
        *,
        msg_id: str,
        sender_id: str | None = None,
        conversation_id: str | None = None,
        conversation_type: ConversationType = "private",
    ) -> None:
        """Mark a message as read, without waiting for the answer."""

        async def keep() -> None:
            self._client.mark_later(
                msg_id=msg_id,
                sender_id=sender_id,
                conversation_id=conversation_id,
                conversation_type=conversation_type,
            )

        self._call(keep)

    def marks_sent(self) -> None:
        """Return when every mark of mark_later() is answered."""
        self._call(self._client.marks_sent)

    def unmark(self, msg_id: str) -> Receipt:
        """Take the receipt of a message back."""
        return self._call(lambda: self._client.unmark(msg_id))

    def read_conversation(self, conversation_id: str, up_to: str | None = None) -> int:
        """Mark everything in a registered conversation as read."""
        return self._call(lambda: self._client.read_conversation(conversation_id, up_to))

    def unread_counts(self) -> UnreadCounts:
        """How many registered messages this user has not read."""
        return self._call(self._client.unread_counts)

    def unread(
        self, limit: int = 100, offset: int = 0, *, conversation_id: str | None = None
    ) -> Unread:
        """A page of the registered messages that this user has not read."""
        return self._call(
            lambda: self._client.unread(limit, offset, conversation_id=conversation_id)
        )

    def message_receipts(
        self, msg_ids: Sequence[str], *, limit: int = 100, cursor: str | None = None
    ) -> list[MessageReceipts]:
        """Who has read these messages of the user's."""
        return self._call(
            lambda: self._client.message_receipts(msg_ids, limit=limit, cursor=cursor)
        )

    def receipts_of(self, msg_id: str, *, page: int = 100) -> Iterator[Receipt]:
        """Everyone who has read a message of the user's."""
        found = self._client.receipts_of(msg_id, page=page)

        async def one_more() -> Receipt | None:
            return await anext(found, None)

        while (receipt := self._call(one_more)) is not None:
            yield receipt

    def set_preferences(
        self, *, send_receipts: bool | None, conversation_id: str | None = None
    ) -> None:
        """Set whether the senders of what this user reads are told the name."""
        self._call(
            lambda: self._client.set_preferences(
                send_receipts=send_receipts, conversation_id=conversation_id
            )
        )

    # The stream

    def receipts(
        self,
        position: Position | tuple[str, int] | None = None,
        *,
        batch: bool = True,
        auto_ack: bool = True,
        notice: Callable[[Notice], None] | None = None,
    ) -> Receipts:
        """The stream of this user, from *position* on and then live."""

        async def begin() -> AsyncReceipts:
            return self._client.receipts(position, batch=batch, auto_ack=auto_ack, notice=notice)

        stream, thread = self._begin(begin)
        return Receipts(stream.result(), thread)

    def ack(self, item: Item) -> None:
        """The application has handled *item* and all before it."""

        async def handled() -> None:
            self._client.ack(item)

        self._call(handled)

    def _call(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return self._begin(work)[0].result()

    def _begin(self, work: Callable[[], Coroutine[Any, Any, T]]) -> tuple[_Answer[T], _Thread]:
        async def in_time() -> T:
            async with asyncio.timeout(self._timeout):
                return await work()

        self._refuse_itself()
        with self._lock:
            thread = self._opened()
            return _Answer(thread.submit(in_time())), thread

    def _opened(self) -> _Thread:
        if self._thread is None:
            self._thread = _Thread(self._client, self._fetching)
        return self._thread

    def _refuse_itself(self) -> None:
        """Whoever is called by the client may not wait for it: not for its lock either."""
        thread = self._thread
        here = thread is not None and thread.is_current
        if here or threading.get_ident() in self._fetching:
            raise RuntimeError(BY_ITSELF)


class Receipts:
    """An iterator over a user's receipts and resets; made by Client.receipts().

    For one thread at a time: with auto_ack an item counts as handled when the next one is asked
    for, by whomever.
    """

    def __init__(self, stream: AsyncReceipts, thread: _Thread) -> None:
        self._stream = stream
        self._thread = thread
        self._asked: Future[Item | None] | None = None
        self._lock = threading.Lock()

    def __iter__(self) -> Self:
        """The stream itself."""
        return self

    def __next__(self) -> Item:
        """The next item, however long it takes; see seenby.client.Receipts."""
        return self.get()

    def get(self, timeout: float | None = None) -> Item:
        """The next item.

        Args:
            timeout: seconds to wait; None: as long as it takes.

        Raises:
            TimeoutError: there was none in that time. Nothing is lost by it.
            StopIteration: the stream is closed.
            Refused: one of its kinds says why the gateway does not want this client back.
        """
        if self._thread.is_current:
            raise RuntimeError(BY_ITSELF)
        with self._lock:
            # Who gives up waiting leaves the question as it stands: its answer is for the next.
            try:
                self._asked = self._asked or self._thread.submit(self._next())
                item = self._asked.result(timeout)
            except (CancelledError, _Closed):
                item = None
            finally:
                if self._asked is not None and self._asked.done():
                    self._asked = None
        if item is None:
            raise StopIteration
        return item

    def close(self) -> None:
        """Acknowledge what is still to be acknowledged, and disconnect."""
        with contextlib.suppress(_Closed):
            self._thread.run(self._stream.aclose())

    async def _next(self) -> Item | None:
        # A coroutine cannot raise StopAsyncIteration, nor a future hold StopIteration.
        return await anext(self._stream, None)


class _Closed(RuntimeError):  # noqa: N818 -- applications know it as a RuntimeError
    """The thread takes nothing any more."""


class _Answer(Generic[T]):
    """What comes of something that was begun."""

    def __init__(self, done: Future[T]) -> None:
        self._done = done

    def result(self) -> T:
        """Wait for it; whoever is interrupted leaves nothing going on."""
        try:
            return self._done.result()
        except CancelledError:
            raise _Closed("the client was closed meanwhile") from None
        except BaseException:
            self._done.cancel()
            raise


class _Thread:
    """A thread with an event loop on which one client is open.

    Args:
        client: is opened here.
        fetching: the threads in which a token is fetched for it.
    """

    def __init__(self, client: AsyncClient, fetching: set[int]) -> None:
        self._process = os.getpid()
        self._fetching = fetching
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=_go_round, args=(self._loop,), name="seenby-client", daemon=True
        )
        self._lock = threading.Lock()
        self._closed = False
        self._thread.start()
        # It knows no more than it must, so that a client that is forgotten is closed.
        self._end = weakref.finalize(self, _end, self._process, self._loop, self._thread, client)
        try:
            self.run(client.__aenter__())
        except BaseException:
            self._closed = True
            self._end.detach()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CLOSE_WITHIN)
            raise

    @property
    def is_current(self) -> bool:
        """Whether the caller is in this thread, or this one waits for the caller's token."""
        here = threading.current_thread()
        return here is self._thread or here.ident in self._fetching

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin to do *work* in the thread."""
        with self._lock:
            wrong = ""
            if os.getpid() != self._process:
                wrong = "this client belongs to another process: make a new one after a fork"
            elif self.is_current:
                wrong = BY_ITSELF
            if not wrong and not self._closed:
                return asyncio.run_coroutine_threadsafe(work, self._loop)
        work.close()
        raise RuntimeError(wrong) if wrong else _Closed("the client is closed")

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What *work* returns."""
        return _Answer(self.submit(work)).result()

    def close(self) -> None:
        """Close the client and end the thread."""
        with self._lock:
            self._closed = True
        self._end()


def _go_round(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        # Whoever still waits for an answer is told that there will be none.
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def _end(
    process: int, loop: asyncio.AbstractEventLoop, thread: threading.Thread, client: AsyncClient
) -> None:
    async def close() -> None:
        try:
            await client.__aexit__()
        finally:
            loop.stop()

    if os.getpid() != process:
        return
    closed = asyncio.run_coroutine_threadsafe(close(), loop)
    # A client that is forgotten may be found in any thread, so in its own.
    if threading.current_thread() is not thread:
        thread.join(CLOSE_WITHIN)
        closed.result(0)


def _awaited(
    fetch: Callable[[], str], fetching: set[int]
) -> Callable[[], Coroutine[Any, Any, str]]:
    """The same for the asynchronous client; *fetching*: the threads in which it goes on."""

    def fetch_here() -> str:
        # Not in the client's thread, for it may wait; the client's calls would wait for it.
        fetching.add(threading.get_ident())
        try:
            return fetch()
        finally:
            fetching.discard(threading.get_ident())

    async def fetched() -> str:
        return await asyncio.to_thread(fetch_here)

    return fetched
