"""Exact bytes to clients, and what is believed of theirs."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seenby.errors import BadInput
from seenby.gateway import frames
from tests.unit.gateway.clients import event, frame


class TestToClients:
    def test_a_receipt_is_the_originals_frame_with_seq_at_the_end(self) -> None:
        """Contract, section 3: these fields; times in seconds."""
        assert frames.receipt(event(42, read_at=1_704_067_200_999), 1_704_067_205) == (
            b'{"type":"read_receipt","msg_id":"m42","reader_id":"reader","read_at":1704067200,'
            b'"conversation_id":"c","timestamp":1704067205,"seq":42}'
        )

    def test_without_a_seq_there_is_no_seq(self) -> None:
        """Not 0, which would be one."""
        assert b"seq" not in frames.receipt(event(0), 1)

    def test_a_batch_is_its_receipts(self) -> None:
        """As they would stand alone."""
        receipts = [frames.receipt(event(seq), 1) for seq in (1, 2)]
        assert json.loads(frames.batch(receipts)) == {
            "type": "read_receipts",
            "receipts": [json.loads(receipt) for receipt in receipts],
        }

    @pytest.mark.parametrize("ref", ["a", 7, None, -(2**63)])
    def test_results_carry_the_reference_and_nothing_empty(self, ref: Any) -> None:
        """A receipt on success, code and sentence on refusal."""
        assert json.loads(frames.read_done(ref, b'{"id":1}')) == {
            "type": "read_result",
            "ref": ref,
            "success": True,
            "receipt": {"id": 1},
        }
        assert json.loads(frames.read_refused(ref, "forbidden", "no")) == {
            "type": "read_result",
            "ref": ref,
            "success": False,
            "code": "forbidden",
            "error": "no",
        }


class TestFromClients:
    def test_hello_may_say_nothing(self) -> None:
        """All its fields have defaults."""
        assert frames.decode(b'{"type":"hello"}') == frames.Hello()

    def test_unknown_fields_are_passed_over(self) -> None:
        """Clients may be newer than we are."""
        assert frames.decode(frame(type="ack", seq=1, more=[1])) == frames.AckFrame(1)

    def test_a_read_carries_the_fields_beside_it(self) -> None:
        """Whatever they are; they are checked where marks are."""
        read = frames.decode(frame(type="read", ref="r", msg_id=5))
        assert isinstance(read, frames.Read)
        assert (read.ref, read.fields["msg_id"]) == ("r", 5)

    @pytest.mark.parametrize(
        ("message", "field"),
        [
            (b"", "frame"),
            (b"hello", "frame"),
            (b"[]", "frame"),
            (b"{}", "type"),
            (b'"hello"', "frame"),
            (b'{"type":"hello"', "frame"),
            (b"[" * 60_000, "frame"),
            (b'{"type":"ping","x":' + b"[" * 60_000, "frame"),
            (frame(type="welcome"), "type"),
            (frame(type=1), "type"),
            (frame(type="hello", token=1), "token"),
            (frame(type="hello", device_id=1), "device_id"),
            (frame(type="hello", device_id="a b"), "device_id"),
            (frame(type="hello", device_id="d" * 65), "device_id"),
            (frame(type="hello", epoch=1), "epoch"),
            (frame(type="hello", seq="1"), "seq"),
            (frame(type="hello", seq=-1), "seq"),
            (frame(type="hello", seq=2**63), "seq"),
            (frame(type="hello", seq=1.5), "seq"),
            (frame(type="hello", batch=1), "batch"),
            (frame(type="ack"), "seq"),
            (frame(type="ack", seq=None), "seq"),
            (frame(type="read", ref=2**63), "ref"),
            (frame(type="read", ref=[]), "ref"),
        ],
    )
    def test_what_cannot_be_used_is_refused_by_name(self, message: bytes, field: str) -> None:
        """With the accepted form."""
        with pytest.raises(BadInput) as refused:
            frames.decode(message)
        assert refused.value.field == field
        assert refused.value.accepted

    @given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
    def test_no_message_does_anything_but_be_refused(self, message: bytes) -> None:
        """Whatever comes, the connection's loop goes on."""
        with contextlib.suppress(BadInput):
            frames.decode(message)

    @pytest.mark.parametrize("ref", ["", "\x00", "é" * 100])
    def test_any_text_is_a_reference(self, ref: str) -> None:
        """And can be given back."""
        read = frames.decode(frame(type="read", ref=ref))
        assert isinstance(read, frames.Read)
        assert json.loads(frames.read_refused(read.ref, "c", "s"))["ref"] == ref

    def test_half_a_character_is_no_text(self) -> None:
        """A lone surrogate could not be given back (RFC 8259, section 8.2)."""
        with pytest.raises(BadInput):
            frames.decode(b'{"type":"read","ref":"\\ud800"}')
