"""The Python client: marks messages as read, and follows the stream of one user.

::

    async with Client(user_id="user123", device_id="laptop") as client:
        await client.mark(msg_id="m1", sender_id="user456", conversation_id="c1")
        async for item in client.receipts():
            match item:
                case Pushed():
                    print(item.reader_id, "has read", item.msg_id)
                case Reset():
                    ...  # the stream has a gap here: load what is shown anew, by REST

Where nobody awaits, ``seenby.client.sync`` has the same client without it.

Of registered messages the stream has more: see ReadCount, Withdrawn, ReadSelf and UnreadSelf.

What it promises: within an epoch every event comes once and in order, over any number of lost
connections; what cannot be had any more is told by a Reset. It connects again by itself until
the gateway says that there is no point, and then raises why.
"""

from __future__ import annotations

from seenby.client.answers import (
    MessageReceipts,
    Receipt,
    Unread,
    UnreadCount,
    UnreadCounts,
    UnreadMessage,
)
from seenby.client.client import Client
from seenby.client.frames import Pushed, ReadCount, ReadSelf, Reset, UnreadSelf, Withdrawn
from seenby.client.pace import Pace
from seenby.client.storage import FileStorage, Kept, Mark, MemoryStorage, Storage
from seenby.client.stream import Connected, Disconnected, Receipts
from seenby.client.token import Token
from seenby.model import Position

__all__ = [
    "Client",
    "Connected",
    "Disconnected",
    "FileStorage",
    "Kept",
    "Mark",
    "MemoryStorage",
    "MessageReceipts",
    "Pace",
    "Position",
    "Pushed",
    "ReadCount",
    "ReadSelf",
    "Receipt",
    "Receipts",
    "Reset",
    "Storage",
    "Token",
    "Unread",
    "UnreadCount",
    "UnreadCounts",
    "UnreadMessage",
    "UnreadSelf",
    "Withdrawn",
]
