"""The Python client: marks messages as read, and follows the receipts of a user's own messages.

::

    async with Client(user_id="user123", device_id="laptop") as client:
        await client.mark(msg_id="m1", sender_id="user456", conversation_id="c1")
        async for item in client.receipts():
            match item:
                case Pushed():
                    print(item.reader_id, "has read", item.msg_id)
                case Reset():
                    ...  # the stream has a gap here: load what is shown anew, by REST

What it promises: within an epoch every receipt comes once and in order, over any number of lost
connections; what cannot be had any more is told by a Reset. It connects again by itself until
the gateway says that there is no point, and then raises why.
"""

from __future__ import annotations

from seenby.client.client import Client
from seenby.client.frames import Pushed, Reset
from seenby.client.marks import Receipt
from seenby.client.pace import Pace
from seenby.client.stream import Connected, Disconnected, Receipts
from seenby.client.token import Token
from seenby.model import Position

__all__ = [
    "Client",
    "Connected",
    "Disconnected",
    "Pace",
    "Position",
    "Pushed",
    "Receipt",
    "Receipts",
    "Reset",
    "Token",
]
