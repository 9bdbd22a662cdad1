"""Exact bytes to clients, and what is believed of theirs."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seenby.errors import BadInput
from seenby.gateway import disconnect, frames
from seenby.gateway.session import Ping
from seenby.model import TYPE_OF_KIND, Kind
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

    def test_a_receipt_of_a_registered_message_says_how_many_have_read_it(self) -> None:
        """At its end, behind what the original knows."""
        assert frames.receipt(event(42, count=5, of=10), 1_704_067_205) == (
            b'{"type":"read_receipt","msg_id":"m42","reader_id":"reader","read_at":1704067200,'
            b'"conversation_id":"c","timestamp":1704067205,"seq":42,"read":5,"of":10}'
        )
        assert frames.receipt(event(42, count=0, of=0), 1).endswith(b',"read":0,"of":0}')

    @pytest.mark.parametrize(
        ("changes", "text"),
        [
            (
                {"kind": Kind.COUNT, "reader_id": "", "count": 512, "of": 2000},
                (
                    '{"type":"read_count","msg_id":"m42","conversation_id":"c","read":512,"of":2000,'
                    '"timestamp":1704067205,"seq":42}'
                ),
            ),
            (
                {"kind": Kind.WITHDRAWN, "count": 4, "of": 10},
                (
                    '{"type":"read_withdrawn","msg_id":"m42","reader_id":"reader",'
                    '"conversation_id":"c","withdrawn_at":1704067200,"timestamp":1704067205,"seq":42,'
                    '"read":4,"of":10}'
                ),
            ),
            (
                {"kind": Kind.WITHDRAWN},
                (
                    '{"type":"read_withdrawn","msg_id":"m42","reader_id":"reader",'
                    '"conversation_id":"c","withdrawn_at":1704067200,"timestamp":1704067205,"seq":42}'
                ),
            ),
            (
                {"kind": Kind.READ_SELF, "count": 7, "device_id": "phone"},
                (
                    '{"type":"read_self","msg_id":"m42","conversation_id":"c","read_at":1704067200,'
                    '"unread":7,"device_id":"phone","timestamp":1704067205,"seq":42}'
                ),
            ),
            (
                {"kind": Kind.READ_SELF_UP_TO, "count": 0},
                (
                    '{"type":"read_self","msg_id":"m42","conversation_id":"c","read_at":1704067200,'
                    '"unread":0,"device_id":"","timestamp":1704067205,"seq":42,"up_to":true}'
                ),
            ),
            (
                {"kind": Kind.UNREAD_SELF, "count": 8},
                (
                    '{"type":"unread_self","msg_id":"m42","conversation_id":"c","unread":8,'
                    '"timestamp":1704067205,"seq":42}'
                ),
            ),
        ],
    )
    def test_every_other_kind_has_a_frame_of_its_own(
        self, changes: dict[str, Any], text: str
    ) -> None:
        """To the letter; what is not known is left out, a count of 0 is not."""
        assert frames.update(event(42, **changes), 1_704_067_205).decode() == text

    def test_there_is_a_frame_for_every_kind(self) -> None:
        """A kind without one would end the feed."""
        for kind in set(Kind) - {Kind.RECEIPT}:
            decoded = json.loads(frames.update(event(0, kind=kind), 1))
            assert decoded["type"] == TYPE_OF_KIND[kind]
            assert "seq" not in decoded

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


def receipts(first: int, last: int, **changes: Any) -> list[bytes]:
    """Receipt frames with these seqs."""
    return [frames.receipt(event(seq, **changes), 1) for seq in range(first, last + 1)]


class TestJoined:
    def test_receipts_that_follow_each_other_are_one_frame(self) -> None:
        """One alone stays as it is: a batch of one would only be longer."""
        assert frames.joined(receipts(1, 3)) == [frames.batch(receipts(1, 3))]
        assert frames.joined(receipts(1, 1)) == receipts(1, 1)
        assert frames.joined([]) == []

    def test_whatever_stands_between_stays_where_it_is(self) -> None:
        """Answers, other kinds, pings and the close; the order is kept."""
        other = frames.update(event(3, kind=Kind.READ_SELF), 1)
        counted = frames.receipt(event(5, count=1, of=2), 1)
        ping = Ping(b"5")
        out = [*receipts(1, 2), other, *receipts(4, 4), ping, counted, *receipts(6, 6)]
        assert frames.joined([*out, frames.PONG, disconnect.DRAIN]) == [
            frames.batch(receipts(1, 2)),
            other,
            *receipts(4, 4),
            ping,
            frames.batch([counted, *receipts(6, 6)]),
            frames.PONG,
            disconnect.DRAIN,
        ]

    def test_a_batch_is_no_longer_than_any_message(self) -> None:
        """64 KiB, filled to the last receipt that fits; then the next one begins."""
        whole = receipts(1000, 1999, conversation_id="c" * 128)
        batches = frames.joined(whole)
        assert all(len(batch) <= frames.MAX_MESSAGE for batch in batches)
        assert all(len(batch) > frames.MAX_MESSAGE - len(whole[0]) - 1 for batch in batches[:-1])
        assert [r for batch in batches for r in json.loads(batch)["receipts"]] == [
            json.loads(receipt) for receipt in whole
        ]

    def test_a_batch_may_be_filled_to_the_brim(self) -> None:
        """Not a byte more."""
        first = receipts(1, 100)

        def padded(size: int) -> list[bytes]:
            return [*first, frames.receipt(event(101, msg_id="m" * size), 1)]

        room = frames.MAX_MESSAGE - len(frames.batch(padded(0)))
        assert [len(frame) for frame in frames.joined(padded(room))] == [frames.MAX_MESSAGE]
        assert len(frames.joined(padded(room + 1))) == 2


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
