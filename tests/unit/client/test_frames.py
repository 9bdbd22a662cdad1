"""What gateway and client say to each other, to the letter."""

from __future__ import annotations

import pytest

from seenby.client import frames
from seenby.client.frames import BatchFrame, ErrorFrame, ReceiptFrame, ResetFrame, Welcome
from seenby.model import Position

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
