"""One client's life as a state machine without I/O: frames and time in, frames out.

::

    GREETING --hello, token--> JOINING --begin()--> CATCHING_UP --live()--> LIVE
        any state --close()--> CLOSED

Rules that live here, and nowhere else:

- Before ``welcome`` a seenby.v1 client is sent nothing but answers; a silent client nothing but
  receipts, ever.
- ``position`` is the seq of the last event that was written or passed over. It only grows, except
  by a reset, and stands still once the session is closed: what is not written is not had.
- Where a session begins: at what the client says, else at the device's stored position, else (a
  device never seen) at the oldest event kept, else (no device) at the moment of connecting.
- A position that cannot be served whole is a ``reset`` for a seenby.v1 client; a silent client
  gets what is still kept.
- A silent client's device has what was written before a ping that it answered. Such a ping goes
  out with a push, or within a second of it.

Time comes in as an argument, in seconds of any steady clock. The owner takes what is to be
written from ``data_to_send()`` and calls ``expire()`` at ``deadline()``.
"""

from __future__ import annotations

import math
import re
from enum import Enum, auto
from typing import TYPE_CHECKING

import msgspec

from seenby.errors import BadInput
from seenby.gateway import disconnect, frames
from seenby.gateway.disconnect import Disconnect
from seenby.model import Position

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seenby.model import Caller

HELLO_WITHIN = 10.0
"""Seconds a client has to say hello with a token."""

SILENCE_LIMIT = 90.0
"""Seconds without any word (pongs count) after which the client is taken for gone."""

ASK_WITH, ASK_WITHIN = 0.6, 0.9
"""Seconds after a push when a question for the device's position goes out with another push, or by
itself. With the wheel's tick that is within a second of it."""

NOWHERE = -1
"""The position before a session has its place in the stream."""

ERROR_WINDOW = 60.0
ERROR_LIMIT = 3
"""The third unusable frame within the window ends the session."""


_LATER = "sent after welcome"

_A_SEQ = re.compile(rb"[0-9]{1,19}").fullmatch
"""What our pings carry; a pong nobody asked for may carry anything."""


_HELLO = frames.Hello()
"""Stands for the hello of a session that has begun: nobody needs its token any more."""


class State(Enum):
    """Where a session stands."""

    GREETING = auto()
    JOINING = auto()
    CATCHING_UP = auto()
    LIVE = auto()
    CLOSED = auto()


class Ping(msgspec.Struct, frozen=True):
    """A ping to write; its payload comes back in the pong."""

    payload: bytes


Outgoing = bytes | Ping | Disconnect
"""A text frame, a ping, or the close that ends it all."""

Request = frames.Hello | frames.AckFrame | frames.Read
"""What a client asks for that needs more than this machine."""


class Begin(msgspec.Struct, frozen=True):
    """What the store says when a session begins.

    ``live_from`` is the position from which a client that keeps none is served.
    """

    epoch: str
    head: int
    floor: int
    live_from: int
    stored: Position | None = None
    replay_limit: int = 10_000


class Session:
    """One connected client.

    ``congested`` (the socket takes no more for now), ``token_pending`` (a token is being
    checked), ``marks`` (how many are under way), ``turn`` (see Wheel) and ``link`` (whoever
    carries the bytes) are the owner's notes. ``resumes`` says that the device's position is
    served whole and may be stored; it counts in ``epoch``. ``confirms`` says that it is a silent
    client's device, whose pongs tell how far it is.

    Args:
        silent: the client asked for no subprotocol.
        user_id: whose receipts it gets; "" until a token tells.
        device_id: "" for none.
        now: the moment of connecting.
        connected_at_ms: the same in ms since the Unix epoch.
    """

    __slots__ = (
        "_asked_at",
        "_asked_seq",
        "_confirmed_seq",
        "_errors",
        "_expires_at",
        "_heard_at",
        "_hello",
        "_hello_by",
        "_out",
        "_ping_at",
        "_unasked_since",
        "batch",
        "caller",
        "confirms",
        "congested",
        "connected_at_ms",
        "device_id",
        "epoch",
        "last_push_at_ms",
        "link",
        "marks",
        "position",
        "resumes",
        "silent",
        "state",
        "token_pending",
        "turn",
        "user_id",
    )

    def __init__(
        self, *, silent: bool, user_id: str, device_id: str, now: float, connected_at_ms: int = 0
    ) -> None:
        """A client has connected."""
        self.silent = silent
        self.user_id = user_id
        self.device_id = device_id
        self.connected_at_ms = connected_at_ms
        self.state = State.GREETING
        self.caller: Caller | None = None
        self.batch = False
        self.epoch = ""
        self.position = NOWHERE
        self.last_push_at_ms = 0
        self.marks = 0
        self.turn = 0
        self.congested = False
        self.resumes = False
        self.confirms = silent and bool(device_id)
        self.token_pending = False
        self.link: object = None
        self._hello: frames.Hello | None = None
        self._out: list[Outgoing] = []
        self._heard_at = now
        self._ping_at = now + frames.HEARTBEAT
        self._hello_by = now + HELLO_WITHIN
        self._expires_at = math.inf
        self._asked_at = now - ASK_WITHIN
        self._unasked_since: float | None = None
        self._asked_seq = self._confirmed_seq = NOWHERE
        self._errors: list[float] | None = None

    # In: from the client

    def receive(self, message: bytes, now: float) -> Request | None:
        """A text message has come; returns what it asks for, if the owner must act.

        A frame that cannot be used is answered here.
        """
        self._heard_at = now
        if self.state is State.CLOSED:
            return None
        if self.silent:
            self.close(disconnect.SILENT_SPOKE)
            return None
        try:
            frame = frames.decode(message)
            return self._accept(frame)
        except BadInput as error:
            self.refuse(error.code, str(error), now)
            return None

    def _accept(self, frame: frames.ClientFrame) -> Request | None:
        match frame:
            case frames.Ping():
                self._out.append(frames.PONG)
                return None
            case frames.Hello():
                if self._hello is not None:
                    raise BadInput("hello", "the first frame, and sent once")
                self._hello = frame
                self.batch = frame.batch
                if frame.device_id is not None:
                    self.device_id = frame.device_id
                return frame
            case _ if self._hello is None:
                raise BadInput("hello", "the first frame")
            case _ if self.state is State.GREETING or self.state is State.JOINING:
                raise BadInput("ack" if isinstance(frame, frames.AckFrame) else "read", _LATER)
            case frames.AckFrame() if not self.device_id:
                raise BadInput("device_id", "given in hello by a client that acknowledges")
            case _:
                return frame

    def pong(self, payload: bytes, now: float) -> int | None:
        """A pong has come; returns the seq that a silent client's device now has, if it is news."""
        self._heard_at = now
        if not (self.confirms and _A_SEQ(payload)):
            return None
        seq = int(payload)
        if not self._confirmed_seq < seq <= self._asked_seq:
            return None
        self._confirmed_seq = seq
        return seq

    @property
    def confirmed(self) -> int:
        """The seq its device has for certain: where it began, or the last ping it answered."""
        return self._confirmed_seq

    def heard(self, now: float) -> None:
        """The client gave some other sign of life."""
        self._heard_at = now

    def refuse(self, code: str, sentence: str, now: float) -> None:
        """Answer a frame that cannot be used; too many of them end the session."""
        if self.state is State.CLOSED:
            return
        errors = [then for then in self._errors or () if now - then < ERROR_WINDOW]
        errors.append(now)
        self._errors = errors
        self._out.append(frames.error(code, sentence))
        if len(errors) >= ERROR_LIMIT:
            self.close(disconnect.BAD_FRAMES)

    # In: from the owner

    def admit(self, caller: Caller, now: float, wall: float) -> bool:
        """The client is who it says; *wall* is the Unix time, for the token's end.

        Returns whether it waits for its place in the stream from now on: a silent client does, any
        other does after its hello.
        """
        self.caller = caller
        if caller.expires_at is not None:
            self._expires_at = now + caller.expires_at - wall
        if self.state is not State.GREETING or not (self.silent or self._hello is not None):
            return False
        self.state = State.JOINING
        return True

    def begin(self, start: Begin) -> int:
        """The stream's ends are known: decide where this session begins, and say so.

        Returns how many events a silent client has missed because they are no longer kept.
        """
        if self.state is State.CLOSED:
            return 0
        before, known, whole = self._where(start)
        self.epoch = start.epoch
        self.resumes = bool(self.device_id) and (whole or self.silent)
        self.state = State.CATCHING_UP
        self._asked_seq = self._confirmed_seq = self.position
        if self.silent:
            return 0 if whole else max(0, start.floor - before)
        self._hello = _HELLO
        self._out.append(
            frames.welcome(
                user_id=self.user_id,
                device_id=self.device_id,
                epoch=start.epoch,
                seq=start.head,
                resumed=known and whole,
            )
        )
        if not whole:
            self._out.append(frames.reset(epoch=start.epoch, seq=start.head))
        return 0

    def _where(self, start: Begin) -> tuple[int, bool, bool]:
        """Set the position.

        Returns what it was before, whether one was known, and whether it can be served whole.
        """
        hello = self._hello
        known = whole = True
        if hello is not None and hello.seq is not None:
            before, whole = hello.seq, hello.epoch == start.epoch
        elif not self.device_id:
            self.position = start.live_from
            return start.live_from, False, True
        elif start.stored is not None:
            before, whole = start.stored.seq, start.stored.epoch == start.epoch
        else:
            before, known = start.floor, False
        whole = whole and start.floor <= before <= start.head
        if not self.silent:
            whole = whole and start.head - before <= start.replay_limit
        self.position = before if whole else start.floor if self.silent else start.head
        return before, known, whole

    def live(self) -> None:
        """The session has everything the stream has; from now on it is pushed to."""
        if self.state is not State.CLOSED:
            self.state = State.LIVE

    def push(self, frame: bytes, seq: int, at_ms: int) -> None:
        """Write one event's frame, unless the client has it.

        *seq* 0 is an event without a place in the stream; *at_ms* is when it was committed.
        """
        if self.state is State.CLOSED:
            return
        if seq:
            if seq <= self.position:
                return
            self.position = seq
            self.last_push_at_ms = at_ms
        self._out.append(frame)

    def skip(self, seq: int) -> bool:
        """Pass over an event that this client is not shown.

        Returns whether ask() has to be called, as it is when something is written: a silent
        client's device is asked as often after events that it is not shown as after others.
        """
        if self.state is State.CLOSED or seq <= self.position:
            return False
        self.position = seq
        return self.confirms and self._unasked_since is None

    def page(self, shown: Sequence[bytes], last: int) -> None:
        """Write what is shown of a page of the backlog; it ends at *last*."""
        if self.state is not State.CLOSED:
            self._out.extend(shown)
            self.position = last

    def cut(self, epoch: str, floor: int, head: int) -> int:
        """Events up to *floor* are gone: a session below it goes on there, or from *head*.

        Returns how many of them a silent client has missed.
        """
        missed = floor - self.position
        if self.state is State.CLOSED or missed <= 0:
            return 0
        if self.silent:
            self.position = floor
            return missed
        self.position = head
        self._out.append(frames.reset(epoch=epoch, seq=head))
        return 0

    def answer(self, frame: bytes) -> None:
        """Write an answer to a request."""
        if self.state is not State.CLOSED:
            self._out.append(frame)

    def close(self, reason: Disconnect) -> None:
        """End the session after what is already to be written; later calls change nothing."""
        if self.state is not State.CLOSED:
            self.state = State.CLOSED
            self._out.append(reason)

    def gone(self) -> None:
        """The client is gone: nothing can be written any more."""
        self.state = State.CLOSED
        self._out.clear()

    # Time

    def deadline(self) -> float:
        """When expire() is due next."""
        due = min(self._ping_at, self._heard_at + SILENCE_LIMIT, self._expires_at)
        if self.state is State.GREETING:
            due = min(due, self._hello_by)
        return due

    def ask(self, now: float) -> bool:
        """Ask a silent client's device how far it is, behind what is to be written.

        A question that goes out with a push costs no write of its own. So it waits for one, once
        ASK_WITH seconds have passed since the first push that it is for, but never longer than
        ASK_WITHIN: it is then made due by itself, and True says so.
        """
        if not self.confirms or self.position <= self._asked_seq or self.state is State.CLOSED:
            return False
        if self._unasked_since is None:
            if now < self._asked_at + ASK_WITHIN:
                self._unasked_since = now
                self._ping_at = min(self._ping_at, now + ASK_WITHIN)
                return True
        elif now < self._unasked_since + ASK_WITH:
            return False
        self._ping(now)
        return False

    def expire(self, now: float) -> None:
        """Do what is due: ping, or close."""
        if self.state is State.CLOSED:
            return
        if now >= self._expires_at:
            self.close(disconnect.EXPIRED)
        elif now >= self._heard_at + SILENCE_LIMIT:
            self.close(disconnect.SILENT)
        elif self.state is State.GREETING and now >= self._hello_by:
            self.close(disconnect.NO_HELLO)
        elif now >= self._ping_at:
            self._ping(now)

    def _ping(self, now: float) -> None:
        self._asked_seq = self.position
        self._asked_at = now
        self._unasked_since = None
        self._out.append(Ping(b"%d" % max(0, self.position)))
        self._ping_at = now + frames.HEARTBEAT

    # Out

    @property
    def has_data(self) -> bool:
        """Whether something is to be written."""
        return bool(self._out)

    def data_to_send(self) -> list[Outgoing]:
        """What is to be written now, in order.

        Receipts that follow each other are one frame for a client that takes batches.
        """
        out = self._out
        self._out = []
        return frames.joined(out) if self.batch and len(out) > 1 else out
