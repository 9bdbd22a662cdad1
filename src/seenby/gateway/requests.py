"""What clients ask for beyond listening: to come in, to acknowledge, to mark as read."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from seenby.errors import BadInput, Overloaded, SeenbyError
from seenby.gateway import disconnect, frames
from seenby.inputs import new_trace, parse_mark, receipt_json
from seenby.model import ANYONE, Receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from seenby.auth import Authenticator
    from seenby.gateway.dispatcher import Dispatcher
    from seenby.gateway.session import Request, Session
    from seenby.gateway.source import Source
    from seenby.model import Caller

USER_LIMIT = 100
"""Connections one user may have to one gateway."""

MARKS_LIMIT = 100
"""Marks of one client that may be under way: more are refused until some are answered."""

log = structlog.get_logger()


class Requests:
    """Serves the requests of sessions.

    Args:
        dispatcher: supplies those that have come in.
        source: records marks.
        authenticator: tells who a client is; None where authentication is off.
        write: writes what a session has to send.
        clock: seconds, the same as the gateway's.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        source: Source,
        authenticator: Authenticator | None,
        *,
        write: Callable[[Session], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep the parts."""
        self._dispatcher = dispatcher
        self._source = source
        self._authenticator = authenticator
        self._write = write
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def token_required(self) -> bool:
        """Whether authentication is on."""
        return self._authenticator is not None

    def opened(self, session: Session, token: str | None) -> None:
        """A client has connected, with a token in its handshake or without."""
        if self._authenticator is None:
            self._admit(session, ANYONE)
        elif token is not None:
            self._check(session, self._authenticator, token)

    def serve(self, session: Session, request: Request) -> None:
        """Do what a frame asks for."""
        match request:
            case frames.Hello():
                self._hello(session, request)
            case frames.AckFrame():
                if request.seq > self._dispatcher.head(session.user_id):
                    raise BadInput("seq", "at most the head")
                self._dispatcher.acknowledged(session, request.seq)
            case frames.Read():
                self._read(session, request)

    async def close(self) -> None:
        """Finish what is under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("request_failed", exc_info=error)

    def _hello(self, session: Session, hello: frames.Hello) -> None:
        if session.caller is not None:
            self._admit(session, session.caller)
        elif session.token_pending:
            return  # The token of the handshake decides.
        elif self._authenticator is not None and hello.token is not None:
            self._check(session, self._authenticator, hello.token)
        else:
            session.close(disconnect.NO_TOKEN)

    def _check(self, session: Session, authenticator: Authenticator, token: str) -> None:
        session.token_pending = True
        self._spawn(self._authenticate(session, authenticator, token))

    async def _authenticate(
        self, session: Session, authenticator: Authenticator, token: str
    ) -> None:
        try:
            caller = await authenticator.authenticate(token, time.time())
            if session.user_id:
                caller.must_act_for(session.user_id)
            elif not caller.user_id:
                raise BadInput("user_id", "given in the query by a token without a user")
        except SeenbyError as error:
            log.info("refused", user=session.user_id, code=error.code, why=str(error))
            session.close(disconnect.for_error(error))
        else:
            session.user_id = session.user_id or caller.user_id
            self._admit(session, caller)
        finally:
            session.token_pending = False
            self._write(session)

    def _admit(self, session: Session, caller: Caller) -> None:
        if not session.admit(caller, self._clock(), time.time()):
            return
        if self._dispatcher.sessions_of(session.user_id) >= USER_LIMIT:
            session.close(disconnect.TOO_MANY)
        else:
            self._dispatcher.admitted(session)

    def _read(self, session: Session, request: frames.Read) -> None:
        if session.caller is None:
            return
        if session.marks >= MARKS_LIMIT:
            error = Overloaded(f"at most {MARKS_LIMIT} marks of a client may be under way")
            session.answer(frames.read_refused(request.ref, error.code, str(error)))
            return
        session.marks += 1
        self._spawn(self._mark(session, session.caller, request))

    async def _mark(self, session: Session, caller: Caller, request: frames.Read) -> None:
        outcome: Receipt | SeenbyError
        try:
            mark = parse_mark(request.fields, new_trace())
            [outcome] = await self._source.mark(caller, [mark])
        except SeenbyError as error:
            outcome = error
        finally:
            session.marks -= 1
        if isinstance(outcome, Receipt):
            session.answer(frames.read_done(request.ref, receipt_json(outcome)))
        else:
            session.answer(frames.read_refused(request.ref, outcome.code, outcome.told))
        self._write(session)
