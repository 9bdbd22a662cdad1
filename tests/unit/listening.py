"""A server made of a few lines, which leaves nothing behind."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tests.unit.eventually import all_waiting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[int]:
    """A server on loopback until the block ends: its port.

    Its connections end with it, whatever they are at: one that outlived its event loop would be
    found by the garbage collector, which tells so in the middle of another test.
    """
    writers: list[asyncio.StreamWriter] = []
    tasks: list[asyncio.Task[Any] | None] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        tasks.append(asyncio.current_task())
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        # A connection that has only just come must have begun before it can be ended, and asyncio
        # loses one whose server is closed at that moment.
        for socket in server.sockets:
            asyncio.get_running_loop().remove_reader(socket.fileno())
        await all_waiting()
        server.close()
        begun = [task for task in tasks if task is not None]
        for task in begun:
            task.cancel()
        ends = await asyncio.gather(*begun, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        await all_waiting()
        for end in ends:
            if isinstance(end, Exception):
                raise end
