"""What gateway and client say to each other, to the letter."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from seenby.client import frames
from seenby.client.frames import (
    BatchFrame,
    CountFrame,
    ErrorFrame,
    Pushed,
    ReadCount,
    ReadSelf,
    ReadSelfFrame,
    ReceiptFrame,
    ResetFrame,
    UnreadSelf,
    UnreadSelfFrame,
    Welcome,
    Withdrawn,
    WithdrawnFrame,
)
from seenby.gateway import frames as theirs
from seenby.model import Event, Kind, Position

RECEIPT = (
    '{"type": "read_receipt", "msg_id": "m1", "reader_id": "user456", "read_at": 1704067200,'
    ' "conversation_id": "c1", "timestamp": 1704067205, "seq": 42}'
)
DECODED = ReceiptFrame("m1", "user456", 1_704_067_200, "c1", 1_704_067_205, 42)


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        (RECEIPT, DECODED),
        ('{"type":"read_receipts","receipts":[' + RECEIPT + "]}", BatchFrame([DECODED])),
        (
            '{"type":"welcome","user_id":"u","epoch":"e","seq":9,"resumed":true,"heartbeat":30}',
            Welcome("e", 9, resumed=True, heartbeat=30, user_id="u"),
        ),
        ('{"type":"reset","epoch":"e","seq":9}', ResetFrame("e", 9)),
        ('{"type":"error","code":"c","error":"a sentence"}', ErrorFrame("c", "a sentence")),
        ('{"type":"read_result","ref":1,"success":true}', None),
        ('{"type":"pong"}', None),
    ],
)
def test_the_contracts_frames_are_understood(text: str, frame: frames.Frame | None) -> None:
    """Contract, section 3; None for a type that is not for this client."""
    assert frames.decode(text) == frame


READ_AT, PUSHED_AT = 1_704_067_200, 1_704_067_205
READ, NOW = datetime.fromtimestamp(READ_AT, UTC), datetime.fromtimestamp(PUSHED_AT, UTC)


def _place(seq: int = 42) -> dict[str, Any]:
    return {"pushed_at": NOW, "epoch": "e", "seq": seq}


@pytest.mark.parametrize(
    ("changes", "frame", "item"),
    [
        (
            {},
            DECODED,
            Pushed("m1", "user456", "c1", READ, **_place()),
        ),
        (
            {"count": 5, "of": 10},
            ReceiptFrame("m1", "user456", READ_AT, "c1", PUSHED_AT, 42, 5, 10),
            Pushed("m1", "user456", "c1", READ, 5, 10, **_place()),
        ),
        (
            {"kind": Kind.COUNT, "count": 512, "of": 2000},
            CountFrame("m1", "c1", 512, 2000, PUSHED_AT, 42),
            ReadCount("m1", "c1", 512, 2000, **_place()),
        ),
        (
            {"kind": Kind.WITHDRAWN, "count": 4, "of": 10},
            WithdrawnFrame("m1", "user456", "c1", READ_AT, PUSHED_AT, 42, 4, 10),
            Withdrawn("m1", "user456", "c1", READ, 4, 10, **_place()),
        ),
        (
            {"kind": Kind.WITHDRAWN, "seq": 0},
            WithdrawnFrame("m1", "user456", "c1", READ_AT, PUSHED_AT),
            Withdrawn("m1", "user456", "c1", READ, **_place(0)),
        ),
        (
            {"kind": Kind.READ_SELF, "count": 7, "device_id": "phone"},
            ReadSelfFrame("m1", "c1", READ_AT, PUSHED_AT, 7, "phone", 42),
            ReadSelf("m1", "c1", READ, 7, "phone", **_place()),
        ),
        (
            {"kind": Kind.READ_SELF_UP_TO, "count": 0},
            ReadSelfFrame("m1", "c1", READ_AT, PUSHED_AT, 0, "", 42, up_to=True),
            ReadSelf("m1", "c1", READ, 0, up_to=True, **_place()),
        ),
        (
            {"kind": Kind.UNREAD_SELF, "count": 8},
            UnreadSelfFrame("m1", "c1", PUSHED_AT, 8, 42),
            UnreadSelf("m1", "c1", 8, **_place()),
        ),
    ],
)
def test_every_kind_of_event_comes_through(
    changes: dict[str, Any], frame: frames.EventFrame, item: frames.Item
) -> None:
    """As the gateway writes it, to what an application is given."""
    event = replace(
        Event("user123", 42, "m1", "user456", "c1", READ_AT * 1000, READ_AT * 1000), **changes
    )
    text = (theirs.update if event.kind else theirs.receipt)(event, PUSHED_AT).decode()
    assert frames.decode(text) == frame
    assert frame.pushed("e") == item
    assert item.position == (Position("e", 42) if event.seq else None)


@pytest.mark.parametrize("kind", ["read_count", "read_withdrawn", "read_self", "unread_self"])
def test_a_frame_that_lacks_what_it_must_have_is_a_fault(kind: str) -> None:
    """Passing it over would be a silent hole."""
    with pytest.raises(ValueError, match="missing required field"):
        frames.decode(f'{{"type":"{kind}","msg_id":"m1","seq":3}}')


def test_hello_leaves_out_what_it_does_not_say() -> None:
    """A hello without seq lets the gateway decide; a seq of 0 is said."""
    silent = frames.hello(token=None, device_id="", position=None, batch=False)
    assert silent == '{"type":"hello"}'
    assert frames.hello(token="t", device_id="d", position=Position("e", 0), batch=True) == (
        '{"type":"hello","token":"t","device_id":"d","epoch":"e","seq":0,"batch":true}'
    )


def test_an_acknowledgement_is_a_seq() -> None:
    """Everything up to it."""
    assert frames.ack(42) == '{"type":"ack","seq":42}'
