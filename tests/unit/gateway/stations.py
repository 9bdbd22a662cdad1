"""A dispatcher with a store in memory and a bus by hand, and clients without sockets."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from seenby.gateway.dispatcher import Dispatcher
from seenby.gateway.hub import Hub
from seenby.gateway.session import Session, State
from seenby.metrics import Metrics
from seenby.model import ANYONE
from seenby.testing import HandFeed, MemorySource
from tests.unit.gateway.clients import frame, sent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from seenby.gateway.disconnect import Disconnect


class Station:
    """A gateway without its server.

    Attributes:
        written: what was written to each session, in words.
    """

    def __init__(self, **options: Any) -> None:
        self.source = MemorySource()
        self.feed = HandFeed()
        self.hub = Hub()
        self.metrics = Metrics()
        self.written: dict[Session, list[Any]] = {}
        self.dispatcher = Dispatcher(
            self.source, self.hub, self.feed, self.metrics, write=self.write, **options
        )

    def write(self, session: Session) -> None:
        """Take what a session has to send."""
        self.written.setdefault(session, []).extend(sent(session))

    def connect(
        self, user: str = "sender", device: str = "", *, at: int = 0, **hello: Any
    ) -> Session:
        """A client has come in: silent, or with a hello."""
        session = Session(
            silent=not hello, user_id=user, device_id=device, now=0.0, connected_at_ms=at
        )
        if hello:
            session.receive(frame(type="hello", **hello), 0.0)
        assert session.admit(ANYONE, 0.0, 0.0)
        self.written[session] = []
        self.dispatcher.admitted(session)
        return session

    def leave(self, session: Session, *, clean: bool = False) -> None:
        """A client's socket is gone."""
        session.gone()
        self.dispatcher.gone(session, clean=clean)

    def close(self, session: Session, reason: Disconnect) -> None:
        """The gateway closes a session."""
        session.close(reason)
        self.write(session)

    def metric(self, name: str) -> float:
        """The value of a sample without labels."""
        text = self.metrics.render()[0].decode()
        return float(text.split(f"\n{name} ")[1].split("\n")[0])


async def turn(times: int = 20) -> None:
    """Let everything happen that waits for nothing but the loop; no time passes."""
    for _ in range(times):
        await asyncio.sleep(0)


def live(*sessions: Session) -> bool:
    """Whether these sessions are all live."""
    return all(session.state is State.LIVE for session in sessions)


@asynccontextmanager
async def station(**options: Any) -> AsyncIterator[Station]:
    """A station that runs."""
    made = Station(**options)
    await made.dispatcher.start()
    try:
        yield made
    finally:
        await made.dispatcher.close()
