"""The shapes of what operators are answered: one struct each.

Times are ISO 8601 in UTC, to the millisecond: here milliseconds are what is asked for.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import msgspec

DeviceState = Literal[
    "acknowledged", "pushed", "on_its_way", "offline", "before", "came_later", "other_epoch"
]
"""Where a receipt is for one device.

``acknowledged``: the device has said so. ``pushed``: written to its socket, no more is known.
``on_its_way``: it is connected and will be written to. ``offline``: it will get it when it comes.
``before``: it was not written to this connection: the device had it before, or was told to load
anew. ``came_later``: a client without a device_id that connected afterwards. ``other_epoch``: its
position counts in another epoch; it will be told to load anew.
"""

PublishedState = Literal["published", "waiting", "no_bus", "unknown"]


def stamp(ms: int) -> str:
    """A time as it is answered."""
    at = datetime.fromtimestamp(ms / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class When(msgspec.Struct, frozen=True):
    """A time; not ``exact``: it was then or before."""

    at: str
    exact: bool


class Missing(msgspec.Struct, frozen=True):
    """A process that could not be asked, so that something may be missing."""

    node: str
    role: str
    why: str


# The overview


class Outbox(msgspec.Struct, frozen=True):
    """Batches that are committed and still to be published, and the age of the oldest."""

    rows: int
    oldest_seconds: float


class Latency(msgspec.Struct, frozen=True):
    """How long it took, in the last seconds: half and 99 % of them at most so many ms.

    None where nothing happened, and for what took longer than five minutes.
    """

    count: int
    p50_ms: float | None
    p99_ms: float | None


class Rates(msgspec.Struct, frozen=True):
    """What all processes together have done in the last seconds.

    Deliveries are events that were pushed to a device at least, however many there were.
    """

    marks_per_second: float
    published_per_second: float
    deliveries_per_second: float
    mark_to_push: Latency
    mark_to_ack: Latency


class NodeSight(msgspec.Struct, frozen=True):
    """One process.

    ``lost``: it has gone without a word. ``clock_ahead_ms`` is by how much its clock is before the
    database's, give or take the time that writing the row took. The rest is None where there is no
    gateway; ``partitions`` are those that its users need.
    """

    node: str
    role: str
    version: str
    started_at: str
    seen_at: str
    lost: bool
    clock_ahead_ms: int
    connections: int
    users: int | None
    partitions: list[int] | None
    lag: int | None
    bus: bool | None
    marks_per_second: float
    deliveries_per_second: float


class Overview(msgspec.Struct, frozen=True):
    """All processes at a glance."""

    at: str
    epoch: str
    bus: bool
    outbox: Outbox
    rates: Rates
    nodes: list[NodeSight]


# A user


class SessionSight(msgspec.Struct, frozen=True):
    """One connected client: on which gateway, since when, and how far it was written to."""

    node: str
    connected_at: str
    silent: bool
    state: str
    position: int
    pushed_at: str | None
    acknowledged_at: str | None


class DeviceSight(msgspec.Struct, frozen=True):
    """One device.

    ``seq`` is what it has acknowledged, as stored, and ``behind`` how many events it lacks; None
    where nothing is stored, or for another epoch. A ``device_id`` of "" stands for all clients
    that gave none.
    """

    device_id: str
    seq: int | None
    behind: int | None
    last_seen_at: str | None
    sessions: list[SessionSight]


class EventSight(msgspec.Struct, frozen=True):
    """One event of the stream. Those for the reader's own devices do not say what was read."""

    seq: int
    type: str
    at: str
    msg_id: str | None = None
    reader_id: str | None = None


class UserSight(msgspec.Struct, frozen=True):
    """A user's stream and devices; ``recent`` has the newest events first."""

    user_id: str
    epoch: str
    head: int
    floor: int
    partition: int
    devices: list[DeviceSight]
    recent: list[EventSight]
    missing: list[Missing]


# A message


class Published(msgspec.Struct, frozen=True):
    """Whether the bus has it.

    ``at`` is when it had acknowledged the whole commit; None where no process remembers.
    ``since`` and ``by`` are for what waits: since when, and which process is publishing it.
    """

    state: PublishedState
    at: str | None = None
    since: str | None = None
    by: str | None = None


class DeviceStep(msgspec.Struct, frozen=True):
    """Where a receipt is for one device of the sender (see DeviceState)."""

    device_id: str
    state: DeviceState
    node: str | None = None
    pushed: When | None = None
    acknowledged: When | None = None
    by_ping: bool = False
    behind: int | None = None
    last_seen_at: str | None = None


class ReceiptSight(msgspec.Struct, frozen=True):
    """A receipt on its way. ``seq`` is None where no event tells the sender this name."""

    reader_id: str
    sender_id: str
    conversation_id: str
    recorded_at: str
    seq: int | None
    published: Published
    devices: list[DeviceStep]


class Registered(msgspec.Struct, frozen=True):
    """A message that was registered: to how many it was sent, and how many have read it."""

    conversation_id: str
    sender_id: str
    sent_at: str
    member_count: int
    readers: int


class MessageSight(msgspec.Struct, frozen=True):
    """A message and its receipts in pages; ``count`` has those that are counted without a name."""

    msg_id: str
    registered: Registered | None
    count: int
    receipts: list[ReceiptSight]
    next_cursor: str | None
    missing: list[Missing]
