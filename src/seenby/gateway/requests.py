"""What clients ask for beyond listening: to come in, to acknowledge, to mark as read."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from seenby.auth import Caller
from seenby.errors import BadInput, Forbidden, SeenbyError
from seenby.gateway import disconnect, frames
from seenby.inputs import new_trace, parse_mark, receipt_json
from seenby.model import Receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from seenby.auth import Authenticator
    from seenby.gateway.dispatcher import Dispatcher
    from seenby.gateway.session import Request, Session
    from seenby.service import Service

USER_LIMIT = 100
"""Connections one user may have to one gateway."""

ANYONE = Caller(user_id="", everyone=True, expires_at=None)
"""The caller where authentication is off."""

log = structlog.get_logger()


class Requests:
    """Serves the requests of sessions.

    Args:
        dispatcher: supplies those that have come in.
        service: records marks.
        authenticator: tells who a client is; None where authentication is off.
        write: writes what a session has to send.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        service: Service,
        authenticator: Authenticator | None,
        *,
        write: Callable[[Session], None],
    ) -> None:
        """Keep the parts."""
        self._dispatcher = dispatcher
        self._service = service
        self._authenticator = authenticator
        self._write = write
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
            self._spawn(self._authenticate(session, self._authenticator, token))

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
                if session.caller is None:
                    raise BadInput("read", "sent after welcome")
                self._spawn(self._mark(session, session.caller, request))

    async def close(self) -> None:
        """Finish what is under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _hello(self, session: Session, hello: frames.Hello) -> None:
        if session.caller is not None:
            self._admit(session, session.caller)
        elif self._authenticator is not None and hello.token is not None:
            self._spawn(self._authenticate(session, self._authenticator, hello.token))
        elif not session.token_pending:
            session.close(disconnect.NO_TOKEN)

    async def _authenticate(
        self, session: Session, authenticator: Authenticator, token: str
    ) -> None:
        session.token_pending = True
        try:
            caller = await authenticator.authenticate(token, time.time())
            if session.user_id and not caller.may_act_for(session.user_id):
                message = "user_id must be the token's user"
                raise Forbidden(message)
            if not (session.user_id or caller.user_id):
                raise BadInput("user_id", "given in the query by a token without a user")
        except SeenbyError as error:
            log.info("refused", user=session.user_id, code=error.code, why=str(error))
            session.close(disconnect.for_error(error))
        else:
            session.user_id = session.user_id or caller.user_id
            self._admit(session, caller)
        session.token_pending = False
        self._write(session)

    def _admit(self, session: Session, caller: Caller) -> None:
        if not session.admit(caller, asyncio.get_running_loop().time(), time.time()):
            return
        if self._dispatcher.sessions_of(session.user_id) >= USER_LIMIT:
            session.close(disconnect.TOO_MANY)
        else:
            self._dispatcher.admitted(session)

    async def _mark(self, session: Session, caller: Caller, request: frames.Read) -> None:
        outcome: Receipt | SeenbyError
        try:
            mark = parse_mark(request.fields, new_trace())
            [outcome] = await self._service.mark(caller, [mark])
        except SeenbyError as error:
            outcome = error
        if isinstance(outcome, Receipt):
            session.answer(frames.read_done(request.ref, receipt_json(outcome)))
        else:
            session.answer(frames.read_refused(request.ref, outcome.code, str(outcome)))
        self._write(session)
