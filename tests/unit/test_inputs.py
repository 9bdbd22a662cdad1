"""From outside to Mark, and back: every field's rule, and sentences that name it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seenby import inputs
from seenby.errors import BadInput
from seenby.inputs import decode_batch, decode_mark, parse_mark
from seenby.model import Mark, Receipt

SEEDS_OWN = (
    b'{"msg_id": "test-msg-123", "reader_id": "user456", "sender_id": "user123", '
    b'"conversation_id": "conv789", "conversation_type": "private"}'
)
"""The body of the original's own curl."""

PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))

FORMS = {
    "msg_id": "1 to 64 printable ASCII characters without spaces (0x21 to 0x7E)",
    "reader_id": "1 to 64 printable ASCII characters without spaces (0x21 to 0x7E)",
    "sender_id": "1 to 64 printable ASCII characters without spaces (0x21 to 0x7E)",
    "conversation_id": "1 to 128 printable ASCII characters without spaces (0x21 to 0x7E)",
    "conversation_type": "`private` or `group`",
    "device_id": "at most 64 printable ASCII characters without spaces (0x21 to 0x7E)",
}
REQUIRED = ("msg_id", "reader_id")
SENTENCES = {f"{name} must be {form}" for name, form in FORMS.items()}
SENTENCES |= {f"{name} must be given: {FORMS[name]}" for name in REQUIRED}
SENTENCES |= {"body must be a JSON object"}


def fields(**changes: Any) -> dict[str, Any]:
    """The fields of a good mark with some changed; None takes one away."""
    changed = json.loads(SEEDS_OWN) | changes
    return {name: value for name, value in changed.items() if value is not None}


def refused(**changes: Any) -> BadInput:
    """How a mark is refused, by HTTP and by the socket alike."""
    with pytest.raises(BadInput) as by_http:
        decode_mark(json.dumps(fields(**changes)).encode(), "")
    with pytest.raises(BadInput) as by_socket:
        parse_mark(fields(**changes), "")
    assert str(by_http.value) == str(by_socket.value)
    assert by_http.value.__cause__ is None
    return by_http.value


class TestMark:
    def test_the_originals_own_body(self) -> None:
        """What its curl sends is a mark; the device is optional."""
        assert decode_mark(SEEDS_OWN, "t") == Mark(
            "test-msg-123", "user456", "user123", "conv789", "private", "", "t"
        )

    def test_the_type_is_private_when_left_out(self) -> None:
        """Contract, section 1: default `private`."""
        without = fields(conversation_type=None, device_id="phone")
        for mark in (decode_mark(json.dumps(without).encode(), ""), parse_mark(without, "")):
            assert (mark.conversation_type, mark.device_id) == ("private", "phone")

    def test_fields_that_are_not_known_are_passed_over(self) -> None:
        """Clients may be newer; the socket's own `type` and `ref` are among them."""
        more = fields(type="read", ref=7, shard={"a": [1]})
        assert decode_mark(json.dumps(more).encode(), "") == parse_mark(more, "")

    @pytest.mark.parametrize("name", REQUIRED)
    def test_a_missing_field_is_named(self, name: str) -> None:
        """With the form it must have."""
        problem = refused(**{name: None})
        assert str(problem) == f"{name} must be given: {FORMS[name]}"
        assert problem.field == name

    @pytest.mark.parametrize("name", ["sender_id", "conversation_id"])
    def test_what_a_registered_message_says_itself_may_be_left_out(self, name: str) -> None:
        """It is "" then, which no caller can say: "" is no id."""
        without = fields(**{name: None})
        for mark in (decode_mark(json.dumps(without).encode(), ""), parse_mark(without, "")):
            assert getattr(mark, name) == ""

    @pytest.mark.parametrize("name", ["reader_id", "sender_id"])
    def test_the_erased_are_nobody(self, name: str) -> None:
        """The name that stands for them is nobody's; one that only begins with it is an id."""
        problem = refused(**{name: "(erased)"})
        sentence = "must be another id: (erased) stands for users who were erased"
        assert str(problem) == f"{name} {sentence}"
        assert problem.field == name
        assert getattr(parse_mark(fields(**{name: "(erased)x"}), ""), name) == "(erased)x"

    @pytest.mark.parametrize("name", FORMS)
    @pytest.mark.parametrize("value", [5, 1.5, True, [], {}, ["x"], {"x": "y"}])
    def test_a_field_of_another_type_is_named(self, name: str, value: Any) -> None:
        """A number is no id: what would be compared is not what was sent."""
        problem = refused(**{name: value})
        assert str(problem) == f"{name} must be {FORMS[name]}"
        assert problem.field == name

    @pytest.mark.parametrize("name", FORMS)
    def test_null_is_no_value(self, name: str) -> None:
        """Not taken for "left out" either: the first read would be wrong for ever."""
        body = json.dumps(fields() | {name: None}).encode()
        with pytest.raises(BadInput) as problem:
            decode_mark(body, "")
        assert str(problem.value) == f"{name} must be {FORMS[name]}"

    @pytest.mark.parametrize(
        ("name", "shortest", "longest"),
        [
            ("msg_id", 1, 64),
            ("reader_id", 1, 64),
            ("sender_id", 1, 64),
            ("conversation_id", 1, 128),
            ("device_id", 0, 64),
        ],
    )
    def test_an_id_has_a_length(self, name: str, shortest: int, longest: int) -> None:
        """Contract, section 1: both ends belong to the range."""
        for length in (shortest, longest):
            assert getattr(parse_mark(fields(**{name: "~" * length}), ""), name) == "~" * length
        wrong = [longest + 1, longest * 1000] + [0] * shortest
        for length in wrong:
            assert str(refused(**{name: "~" * length})) == f"{name} must be {FORMS[name]}"

    @pytest.mark.parametrize("name", [name for name in FORMS if name.endswith("_id")])
    def test_an_id_is_printable_ascii(self, name: str) -> None:
        """0x21 to 0x7E, each of them, and nothing else: no database compares others alike."""
        for character in PRINTABLE:
            assert getattr(parse_mark(fields(**{name: character}), ""), name) == character
        for wrong in (
            " ",
            "a b",
            "a\n",
            "\na",
            "\x00",
            "\x1f",
            "\x7f",
            "\x80",
            "é",
            "😀",
            "\u2028",
        ):
            assert str(refused(**{name: wrong})) == f"{name} must be {FORMS[name]}"

    @pytest.mark.parametrize("value", ["", "Private", "groups", "private ", "` - at `$.msg_id`"])
    def test_a_type_is_private_or_group(self, value: str) -> None:
        """Nothing is guessed, and a value that looks like a path does not mislead."""
        problem = refused(conversation_type=value)
        assert str(problem) == "conversation_type must be `private` or `group`"

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b" ",
            b"null",
            b"[]",
            b"5",
            b'"x"',
            b"{",
            SEEDS_OWN + b"}",
            b"{'msg_id': 1}",
            SEEDS_OWN[:-1],
            SEEDS_OWN + SEEDS_OWN,
            b"\xef\xbb\xbf" + SEEDS_OWN,
            SEEDS_OWN.decode().encode("utf-16"),
            SEEDS_OWN.replace(b"test", b"\xff"),
            SEEDS_OWN.replace(b"test", rb"\ud800"),
            b"msg_id=1&reader_id=2",
            b"[" * 100_000,
            b'{"x":' * 100_000,
        ],
        ids=range(18),
    )
    def test_what_is_no_json_object_is_refused_as_a_whole(self, body: bytes) -> None:
        """No field can be blamed."""
        with pytest.raises(BadInput) as problem:
            decode_mark(body, "")
        assert str(problem.value) == "body must be a JSON object"
        assert problem.value.field == "body"


@given(st.binary())
def test_any_bytes_are_a_mark_or_refused(body: bytes) -> None:
    """Nothing but BadInput comes out, in one of a few sentences that hold nothing of the bytes."""
    with pytest.raises(BadInput) as problem:
        decode_mark(body, "")
    assert str(problem.value) in SENTENCES
    with pytest.raises(BadInput):
        decode_batch(body, "")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_ids = st.text(PRINTABLE, min_size=1, max_size=64)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys([*FORMS, "more"], _json | _ids)))
def test_any_object_is_a_mark_or_refused_by_http_and_socket_alike(given_: dict[str, Any]) -> None:
    """Both roads come to the same mark or the same sentence."""
    body = msgspec.json.encode(given_)
    as_read = msgspec.json.decode(body)
    results: list[Mark | str] = []
    roads: list[tuple[Any, Any]] = [(decode_mark, body), (parse_mark, as_read)]
    for road, sent in roads:
        try:
            results.append(road(sent, "t"))
        except BadInput as problem:
            results.append(str(problem))
    assert results[0] == results[1]
    assert isinstance(results[0], Mark) or results[0] in SENTENCES


@given(st.fixed_dictionaries(dict.fromkeys(REQUIRED, _ids)), st.text(PRINTABLE, max_size=64))
def test_every_good_mark_is_taken_as_it_is(given_: dict[str, str], device_id: str) -> None:
    """Byte for byte: nothing is folded, trimmed or escaped."""
    found = decode_mark(json.dumps(given_ | {"device_id": device_id}).encode(), "t")
    assert {name: getattr(found, name) for name in REQUIRED} == given_
    assert found.device_id == device_id


class TestBatch:
    def test_each_item_is_accepted_or_refused_on_its_own(self) -> None:
        """In order, so that a client can tell which is which."""
        items = [fields(), 5, fields(msg_id=None), [], fields(msg_id="m2")]
        first, number, missing, a_list, last = decode_batch(
            json.dumps({"receipts": items}).encode(), "t"
        )
        assert first == decode_mark(SEEDS_OWN, "t")
        assert [str(number), str(a_list)] == ["body must be a JSON object"] * 2
        assert str(missing) == f"msg_id must be given: {FORMS['msg_id']}"
        assert isinstance(last, Mark)
        assert last.msg_id == "m2"

    def test_a_batch_has_at_most_a_thousand(self) -> None:
        """Contract, section 1."""
        assert decode_batch(b'{"receipts": []}', "") == []
        full = json.dumps({"receipts": [fields()] * 1000}).encode()
        assert len(decode_batch(full, "")) == 1000
        over = json.dumps({"receipts": [0] * 1001}).encode()
        with pytest.raises(BadInput, match=r"^receipts must be a list of at most 1000 marks$"):
            decode_batch(over, "")

    @pytest.mark.parametrize(
        ("body", "sentence"),
        [
            (b"{}", "receipts must be given: a list of at most 1000 marks"),
            (b'{"receipts": 5}', "receipts must be a list of at most 1000 marks"),
            (b'{"receipts": null}', "receipts must be a list of at most 1000 marks"),
            (b'{"receipts": {}}', "receipts must be a list of at most 1000 marks"),
            (b"[]", "body must be a JSON object"),
            (SEEDS_OWN, "receipts must be given: a list of at most 1000 marks"),
            (b'{"receipts": [', "body must be a JSON object"),
            (b'{"receipts": [{]}', "body must be a JSON object"),
            (b'{"receipts": ' + b"[" * 100_000, "body must be a JSON object"),
        ],
    )
    def test_a_body_that_is_no_batch_is_refused_as_a_whole(
        self, body: bytes, sentence: str
    ) -> None:
        """Nothing of it was recorded."""
        with pytest.raises(BadInput) as problem:
            decode_batch(body, "")
        assert str(problem.value) == sentence

    @given(st.lists(st.binary(max_size=20), max_size=4))
    def test_whatever_stands_between_the_commas(self, items: list[bytes]) -> None:
        """The body is refused, or each item is answered."""
        body = b'{"receipts": [' + b",".join(items) + b"]}"
        try:
            found = decode_batch(body, "")
        except BadInput as problem:
            assert str(problem) == "body must be a JSON object"  # noqa: PT017 -- either is right
        else:
            assert all(isinstance(item, BadInput) for item in found)


class TestIds:
    @pytest.mark.parametrize(
        ("check", "name"),
        [(inputs.msg_id, "msg_id"), (inputs.user_id, "user_id"), (inputs.device_id, "device_id")],
    )
    def test_an_id_in_an_address_has_the_same_form(self, check: Any, name: str) -> None:
        """And the error names the field as the caller wrote it."""
        assert check("~" * 64) == "~" * 64
        for wrong in ("~" * 65, "a b", "a\n", "é"):
            with pytest.raises(BadInput, match=f"^{name} must be "):
                check(wrong)
            with pytest.raises(BadInput, match=r"^user must be "):
                check(wrong, "user")

    def test_only_a_device_may_be_nameless(self) -> None:
        """A user or message without an id is none."""
        assert inputs.device_id("") == ""
        for check in (inputs.msg_id, inputs.user_id):
            with pytest.raises(BadInput):
                check("")


class TestOut:
    RECEIPT = Receipt(12345, "m1", "user456", "user123", "c1", "group", 1_704_110_400_999, "phone")

    def test_a_receipt_is_shown_as_the_original_showed_it(self) -> None:
        """Contract, section 1: these fields, in this order, the time in UTC to the second."""
        assert inputs.receipt_json(self.RECEIPT) == (
            b'{"id":12345,"msg_id":"m1","reader_id":"user456","sender_id":"user123",'
            b'"conversation_id":"c1","conversation_type":"group",'
            b'"read_at":"2024-01-01T12:00:00Z","device_id":"phone"}'
        )

    def test_a_time_is_cut_to_the_second(self) -> None:
        """Never rounded up: nobody reads in the future."""
        assert inputs.at(1_704_110_400_999).isoformat() == "2024-01-01T12:00:00+00:00"
        assert inputs.public(self.RECEIPT).read_at == inputs.at(1_704_110_400_000)

    def test_a_trace_is_one_that_others_accept(self) -> None:
        """W3C Trace Context, section 3.2.2.3: 32 hex digits, not all zero."""
        traces = {inputs.new_trace() for _ in range(100)}
        assert len(traces) == 100
        assert all(len(trace) == 32 and int(trace, 16) for trace in traces)

    def test_a_trace_of_zeros_is_never_made(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Not even when chance would have it."""
        monkeypatch.setattr(inputs, "getrandbits", lambda _: 0)
        assert inputs.new_trace() == "0" * 31 + "1"
