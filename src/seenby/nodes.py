"""What the processes of seenby tell each other of themselves, for people who look.

Each has a row in the database with its ``Numbers``; what one of them alone knows (when something
was written to a socket, when the bus acknowledged it) it answers when it is asked (``Told``).
Values only. All times are ms since the Unix epoch, by the clock of whoever tells.
"""

from __future__ import annotations

import msgspec

ASKED_AT = "/inspect/node"
"""The path at which a process answers others, on its own port."""

USER, AT = "user_id", "at"
"""The parameters of the question, each any number of times."""

ASKED_MAX = 100
"""How often each of them may be given."""


class Here(msgspec.Struct, frozen=True):
    """What is at a gateway now.

    Attributes:
        users: how many are connected.
        partitions: those that are read because these users need them.
        bus: whether the bus answers.
    """

    users: int
    partitions: list[int]
    bus: bool


class Numbers(msgspec.Struct, frozen=True):
    """What a process has counted in the last ``over_ms``, and what is there now.

    Attributes:
        version: of the program.
        clock: its own, when it wrote this.
        uptime_ms: for how long it runs.
        over_ms: in how many ms the counts below were made.
        marks: that were answered.
        published: events that the bus has acknowledged.
        delivered: events that were pushed to a device at least.
        pushed: how many were pushed how long after their mark (``metrics.LATENCY_BUCKETS``, and
            one more for all above).
        acked: the same of acknowledgements.
        connections: sockets that are open.
        lag: records in the partitions that are read which are still to be read.
        here: None where there is no gateway.
    """

    version: str
    clock: int
    uptime_ms: int
    over_ms: int
    marks: int
    published: int
    delivered: int
    pushed: list[int]
    acked: list[int]
    connections: int = 0
    lag: int = 0
    here: Here | None = None


class SessionSeen(msgspec.Struct, frozen=True):
    """One connected client, as its gateway sees it.

    Attributes:
        device_id: "" for a client that has none.
        silent: it asked for no subprotocol: its position is known by pings.
        state: ``joining``, ``catching_up`` or ``live``.
        connected_at: when it connected.
        position: the last seq that was written to it, or passed over.
        began: where it began: what is not above it was not written to this session.
        pushes: (seq, when): at that time everything up to seq had been written.
        pushes_after: what is not above it was written before the first of them.
        acks: (seq, when): at that time the client said that it has everything up to seq.
        acks_after: what is not above it was acknowledged before the first of them.
    """

    device_id: str
    silent: bool
    state: str
    connected_at: int
    position: int
    began: int
    pushes_after: int
    pushes: list[tuple[int, int]]
    acks_after: int
    acks: list[tuple[int, int]]


class UserSeen(msgspec.Struct, frozen=True):
    """A user's clients at one gateway."""

    user_id: str
    sessions: list[SessionSeen]


class Told(msgspec.Struct, frozen=True):
    """The answer of one process.

    ``published`` has, for each commit time asked for and remembered, when the bus had acknowledged
    all events of that commit.
    """

    users: list[UserSeen]
    published: list[tuple[int, int]]
