"""The threads in which the store works, so that the event loop never waits for a database.

One thread writes: on SQLite there can be only one writer, and elsewhere marks, acknowledgements
and sweeps take turns in small pieces anyway. A few threads read. Each thread keeps its own
connection (``connections``).
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from seenby.store.base import Store

P = ParamSpec("P")
T = TypeVar("T")
S_co = TypeVar("S_co", bound="Store", covariant=True)

READERS = 4


class StoreThreads(Generic[S_co]):
    """A store and the threads that call it.

    Args:
        store: closed with the threads.
        readers: how many calls may read at the same time.
    """

    def __init__(self, store: S_co, *, readers: int = READERS) -> None:
        """Threads start when they are first needed."""
        self.store = store
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="store-reader")

    async def write(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method of the store that writes; such calls run one after the other.

        A caller that is cancelled stops waiting; a call that has begun runs to its end.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writer, partial(call, *args, **kwargs))

    async def read(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method of the store that only reads."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, partial(call, *args, **kwargs))

    async def close(self) -> None:
        """Let calls under way end, then close the store; nothing may be called afterwards."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        self.store.close()
