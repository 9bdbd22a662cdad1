"""Sessions without sockets, and what they have to write, in words a test can compare."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from seenby.gateway.disconnect import Disconnect
from seenby.gateway.frames import Hello
from seenby.gateway.session import Begin, Ping, Session
from seenby.model import ANYONE, Caller, Event, Position

if TYPE_CHECKING:
    from collections.abc import Sequence

EPOCH = "e1"


def event(seq: int, user_id: str = "sender", **changes: Any) -> Event:
    """An event of a user's stream; message ids tell the seq."""
    fields: dict[str, Any] = {
        "sender_id": user_id,
        "seq": seq,
        "msg_id": f"m{seq}",
        "reader_id": "reader",
        "conversation_id": "c",
        "read_at": 1_704_067_200_000,
        "at": 1_704_067_200_000,
    }
    return Event(**(fields | changes))


def events(first: int, last: int) -> list[Event]:
    """Events from *first* to *last*, both included."""
    return [event(seq) for seq in range(first, last + 1)]


def frame(**fields: Any) -> bytes:
    """A client's frame."""
    return json.dumps(fields).encode()


def sent(session: Session) -> list[Any]:
    """What the session has to write: frames as dicts, pings as bytes, closes as they are."""
    out: list[Any] = []
    for item in session.data_to_send():
        if isinstance(item, bytes):
            out.append(json.loads(item))
        else:
            out.append(item.payload if isinstance(item, Ping) else item)
    return out


def seqs(out: Sequence[Any]) -> list[int]:
    """The seqs of the receipts in what was written, batches unpacked."""
    found: list[int] = []
    for item in out:
        if isinstance(item, dict) and item["type"] == "read_receipt":
            found.append(item["seq"])
        elif isinstance(item, dict) and item["type"] == "read_receipts":
            found += [receipt["seq"] for receipt in item["receipts"]]
    return found


def types(out: Sequence[Any]) -> list[Any]:
    """The types of the frames in what was written, and the codes of closes."""
    return [item.code if isinstance(item, Disconnect) else item["type"] for item in out]


def start(**changes: Any) -> Begin:
    """A stream of events 11 to 20: 10 have been trimmed."""
    fields: dict[str, Any] = {"epoch": EPOCH, "head": 20, "floor": 10, "live_from": 20}
    return Begin(**(fields | changes))


def stored(seq: int, epoch: str = EPOCH) -> Position:
    """A device's stored position."""
    return Position(epoch, seq)


def silent(device_id: str = "", *, now: float = 0.0) -> Session:
    """A silent client that has come in."""
    session = Session(silent=True, user_id="sender", device_id=device_id, now=now)
    assert session.admit(ANYONE, now, 1_700_000_000.0)
    return session


def greeted(*, now: float = 0.0, caller: Caller = ANYONE, **hello: Any) -> Session:
    """A seenby.v1 client that has come in and said hello."""
    session = Session(silent=False, user_id="sender", device_id="", now=now)
    assert not session.admit(caller, now, 1_700_000_000.0)
    assert isinstance(session.receive(frame(type="hello", **hello), now), Hello)
    assert session.admit(caller, now, 1_700_000_000.0)
    return session
