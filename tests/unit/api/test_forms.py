"""Bodies of the endpoints for conversations: every field's rule, and sentences that name it."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seenby.api import forms
from seenby.errors import BadInput
from seenby.model import NewMessage
from seenby.store.conversations import MembersChange, NewConversation

if TYPE_CHECKING:
    from collections.abc import Callable

CONVERSATION = {"type": "group", "members": ["ann", "bob"]}
CHANGE = {"add": ["cid"], "remove": ["bob"]}
MESSAGE = {"msg_id": "m1", "conversation_id": "c1", "sender_id": "ann"}
READ_ALL = {"user_id": "ann", "conversation_id": "c1", "up_to_msg_id": "m1"}
WITHDRAWAL = {"msg_id": "m1", "reader_id": "ann"}
WISH = {"send_receipts": True, "conversation_id": "c1"}

FORMS: dict[str, tuple[Callable[[bytes], Any], dict[str, Any]]] = {
    "conversation": (lambda body: forms.conversation(body, "c1"), CONVERSATION),
    "change": (lambda body: forms.change(body, "c1"), CHANGE),
    "message": (forms.message, MESSAGE),
    "read_all": (forms.read_all, READ_ALL),
    "withdrawal": (forms.withdrawal, WITHDRAWAL),
    "wish": (forms.wish, WISH),
}

PRINTABLE = "printable ASCII characters without spaces (0x21 to 0x7E)"
OF_64 = f"1 to 64 {PRINTABLE}"
ACCEPTED = {
    "type": "`private` or `group`",
    "members": "a list of at most 10000 user ids",
    "add": "a list of at most 10000 user ids",
    "remove": "a list of at most 10000 user ids",
    "msg_id": OF_64,
    "up_to_msg_id": OF_64,
    "sender_id": OF_64,
    "reader_id": OF_64,
    "user_id": OF_64,
    "conversation_id": f"1 to 128 {PRINTABLE}",
    "sent_at": "a time such as 2024-01-01T12:00:00Z, or unix seconds",
    "send_receipts": "true, false or null",
}

IDS = [
    (form, name)
    for form, (_, whole) in FORMS.items()
    for name in whole
    if name.endswith("_id") and form not in {"change", "conversation"}
]
REQUIRED = [
    ("conversation", "type"),
    ("conversation", "members"),
    *(("message", name) for name in MESSAGE),
    ("read_all", "user_id"),
    ("read_all", "conversation_id"),
    *(("withdrawal", name) for name in WITHDRAWAL),
    ("wish", "send_receipts"),
]
LISTS = [("conversation", "members"), ("change", "add"), ("change", "remove")]


def body(form: str, **changes: Any) -> bytes:
    """A good body of that form with some fields changed."""
    return json.dumps(FORMS[form][1] | changes).encode()


def refusal(form: str, text: bytes) -> BadInput:
    """The refusal of a body."""
    with pytest.raises(BadInput) as problem:
        FORMS[form][0](text)
    assert problem.value.__cause__ is None
    return problem.value


def refused(form: str, text: bytes) -> str:
    """The sentence in which a body is refused."""
    return str(refusal(form, text))


class TestEveryForm:
    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"x",
            b"null",
            b"3",
            b"[]",
            b'"text"',
            b"{",
            b"\xff",
            b"NaN",
            b"[" * 60_000,
            b'{"a":' * 50_000,
        ],
    )
    def test_what_is_not_a_json_object(self, form: str, text: bytes) -> None:
        """However deep or broken it is, it is refused as a whole."""
        assert refused(form, text) == "body must be a JSON object"

    @pytest.mark.parametrize(("form", "name"), REQUIRED)
    def test_a_missing_field_is_named(self, form: str, name: str) -> None:
        """With the form it must have."""
        left = {key: value for key, value in FORMS[form][1].items() if key != name}
        sentence = f"{name} must be given: {ACCEPTED[name]}"
        assert refused(form, json.dumps(left).encode()) == sentence

    @pytest.mark.parametrize(
        ("form", "name"), [(form, name) for form, (_, whole) in FORMS.items() for name in whole]
    )
    @pytest.mark.parametrize("value", [5, 1.5, -1, 2**70, "", [], {}, [[]], {"a": 1}, [1], [None]])
    def test_a_field_of_another_type_is_named(self, form: str, name: str, value: Any) -> None:
        """Nothing is guessed and nothing converted: 1 is not true, and a list of none no list."""
        if value == [] and (form, name) in LISTS:
            value = [[]]
        assert refused(form, body(form, **{name: value})) == f"{name} must be {ACCEPTED[name]}"

    @pytest.mark.parametrize("form", FORMS)
    def test_what_is_not_known_is_passed_over(self, form: str) -> None:
        """Callers may be newer than we are."""
        read = FORMS[form][0]
        assert repr(read(body(form, more={"a": [1]}))) == repr(read(body(form)))

    @pytest.mark.parametrize(("form", "name"), IDS)
    def test_an_id_has_its_length_and_characters(self, form: str, name: str) -> None:
        """The same rule as in marks, at every place where an id may stand."""
        longest = 128 if name == "conversation_id" else 64
        read = FORMS[form][0]
        for good in ("!", "~" * longest, "a/b", "(erased"):
            assert good in repr(read(body(form, **{name: good})))
        for wrong in ("", "a b", "a\n", "\x00", "é", "~" * (longest + 1)):
            assert refused(form, body(form, **{name: wrong})) == f"{name} must be {ACCEPTED[name]}"

    @pytest.mark.parametrize(("form", "name"), [pair for pair in IDS if "msg" not in pair[1]])
    def test_the_erased_are_nobody(self, form: str, name: str) -> None:
        """No user bears the name that stands for them; a conversation may."""
        text = body(form, **{name: "(erased)"})
        if name == "conversation_id":
            FORMS[form][0](text)
        else:
            assert refused(form, text).startswith(f"{name} must be another id")

    # How fast the machine draws them says nothing about the forms.
    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.sampled_from(sorted(FORMS)),
        st.dictionaries(
            st.sampled_from(sorted(ACCEPTED)),
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers()
                | st.floats(allow_nan=False, allow_infinity=False)
                | st.text(max_size=70),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
                max_leaves=5,
            ),
        ),
    )
    def test_nothing_else_is_raised(self, form: str, changes: dict[str, Any]) -> None:
        """Whatever JSON comes is a form, or is refused in a sentence that names a field."""
        with contextlib.suppress(BadInput):
            FORMS[form][0](body(form, **changes))
            return
        problem = refusal(form, body(form, **changes))
        assert problem.field in ACCEPTED
        assert str(problem).startswith(f"{problem.field} must be ")


class TestConversation:
    def test_its_id_stands_in_the_address(self) -> None:
        """The body may repeat it, and nothing else."""
        wanted = NewConversation("c1", "group", ["ann", "bob"])
        assert forms.conversation(body("conversation"), "c1") == wanted
        assert forms.conversation(body("conversation", conversation_id="c1"), "c1") == wanted
        for other in ("c2", ""):
            assert (
                refused("conversation", body("conversation", conversation_id=other))
                == "conversation_id must be the same as in the address, or left out"
            )

    def test_in_a_batch_it_stands_in_the_item(self) -> None:
        """There is no other place for it."""
        [good, without] = forms.conversations(
            json.dumps(
                {"conversations": [CONVERSATION | {"conversation_id": "c1"}, CONVERSATION]}
            ).encode()
        )
        assert good == NewConversation("c1", "group", ["ann", "bob"])
        assert str(without) == f"conversation_id must be given: {ACCEPTED['conversation_id']}"

    def test_it_may_be_empty(self) -> None:
        """Everybody has left."""
        assert forms.conversation(body("conversation", members=[]), "c1").members == []

    @pytest.mark.parametrize("name", ["Group", "channel", "private ", "` - at `$.members`"])
    def test_a_type_is_private_or_group(self, name: str) -> None:
        """Nothing is guessed, and a value that looks like a path does not mislead."""
        text = body("conversation", type=name)
        assert refused("conversation", text) == "type must be `private` or `group`"


class TestMembers:
    @pytest.mark.parametrize(("form", "name"), LISTS)
    def test_who_is_named_twice_is_one(self, form: str, name: str) -> None:
        """In the order in which they came."""
        other: dict[str, Any] = {} if form == "conversation" else {"add": [], "remove": []}
        found = FORMS[form][0](body(form, **(other | {name: ["b", "a", "b", "a", "c"]})))
        assert getattr(found, name) == ["b", "a", "c"]

    @pytest.mark.parametrize(("form", "name"), LISTS)
    @pytest.mark.parametrize("wrong", ["", "a b", "x" * 65, "é", "(erased)"])
    def test_each_of_them_is_an_id(self, form: str, name: str, wrong: str) -> None:
        """One that is none spoils the list, which is named."""
        sentence = refused(form, body(form, **{name: ["fine", wrong]}))
        assert sentence.startswith(f"{name} must be ")

    @pytest.mark.parametrize(("form", "name"), LISTS)
    def test_a_list_has_a_length(self, form: str, name: str) -> None:
        """10,000 are one call; one more, even a repeat, are not."""
        most = [f"u{number}" for number in range(10_000)]
        assert len(getattr(FORMS[form][0](body(form, **{name: most})), name)) == 10_000
        text = body(form, **{name: [*most, "u0"]})
        assert refused(form, text) == f"{name} must be {ACCEPTED[name]}"

    def test_nobody_comes_and_leaves(self) -> None:
        """Which of both would be meant is not known."""
        text = body("change", add=["ann", "bob"], remove=["cid", "bob"])
        assert refused("change", text) == "remove must be a list without those in add"

    def test_a_change_may_be_none(self) -> None:
        """Both lists may be left out."""
        assert forms.change(b"{}", "c1") == MembersChange("c1", [], [])


class TestSentAt:
    @pytest.mark.parametrize(
        ("text", "ms"),
        [
            ("null", None),
            ("0", 0),
            ("-0.0", 0),
            ("1704067200", 1_704_067_200_000),
            ("1704067200.125", 1_704_067_200_125),
            ("1.7e9", 1_700_000_000_000),
            ('"2024-01-01T00:00:00Z"', 1_704_067_200_000),
            ('"2024-01-01T00:00:00.125Z"', 1_704_067_200_125),
            ('"2024-01-01T00:00:00.1254Z"', 1_704_067_200_125),
            ('"2024-01-01T02:00:00+02:00"', 1_704_067_200_000),
            ('"2023-12-31T14:00:00-10:00"', 1_704_067_200_000),
            ('"2024-01-01 00:00:00Z"', 1_704_067_200_000),
            ("253402300799", 253_402_300_799_000),
        ],
    )
    def test_a_time_has_many_forms(self, text: str, ms: int | None) -> None:
        """ISO 8601 with its offset from UTC, or seconds since 1970; null is "not said"."""
        whole = body("message")[:-1] + b', "sent_at": ' + text.encode() + b"}"
        assert forms.message(whole) == NewMessage("m1", "c1", "ann", ms)

    @pytest.mark.parametrize(
        "text",
        [
            "true",
            "-1",
            "-0.5",
            "1704067200000",
            "253402300800",
            "1e308",
            "1e400",
            "1" + "0" * 400,
            '"1704067200"',
            '"2024-01-01"',
            '"2024-01-01T00:00:00"',
            '"2024-13-01T00:00:00Z"',
            '"2024-01-01T24:00:00Z"',
            '"1969-12-31T23:59:59Z"',
            '"0001-01-01T00:00:00+23:59"',
            '"9999-12-31T23:59:59-23:59"',
            '"yesterday"',
            '"NaN"',
        ],
    )
    def test_what_is_no_time(self, text: str) -> None:
        """No offset, before 1970, after 9999, milliseconds: refused, not guessed."""
        whole = body("message")[:-1] + b', "sent_at": ' + text.encode() + b"}"
        assert refused("message", whole) == f"sent_at must be {ACCEPTED['sent_at']}"

    @pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "01", "+1", "0x10", "1_000"])
    def test_what_is_no_number_in_json(self, text: str) -> None:
        """Then the whole is not JSON."""
        whole = body("message")[:-1] + b', "sent_at": ' + text.encode() + b"}"
        assert refused("message", whole) == "body must be a JSON object"


BATCHES: dict[str, tuple[Callable[[bytes], list[Any]], dict[str, Any]]] = {
    "conversations": (forms.conversations, CONVERSATION | {"conversation_id": "c1"}),
    "changes": (forms.changes, CHANGE | {"conversation_id": "c1"}),
    "messages": (forms.messages, MESSAGE),
}


class TestBatches:
    @pytest.mark.parametrize("name", BATCHES)
    @pytest.mark.parametrize("size", [1, 1000])
    def test_a_batch_has_1_to_1000_items(self, name: str, size: int) -> None:
        """Each end belongs to it."""
        read, item = BATCHES[name]
        found = read(json.dumps({name: [item] * size}).encode())
        assert len(found) == size
        assert not any(isinstance(each, BadInput) for each in found)

    @pytest.mark.parametrize("name", BATCHES)
    @pytest.mark.parametrize("items", [[], None, {}, "x", 1, [{}] * 1001])
    def test_what_is_no_batch(self, name: str, items: Any) -> None:
        """It is refused as a whole, and the list is named."""
        with pytest.raises(BadInput) as problem:
            BATCHES[name][0](json.dumps({name: items}).encode())
        assert str(problem.value) == f"{name} must be a list of 1 to 1000 {name}"

    @pytest.mark.parametrize("name", BATCHES)
    def test_each_item_is_accepted_or_refused_on_its_own(self, name: str) -> None:
        """In its place, and however broken it is."""
        read, good = BATCHES[name]
        items: list[Any] = [good, {}, None, 5, "x", [], good | {"conversation_id": ""}, good]
        found = read(json.dumps({name: items}).encode())
        assert [isinstance(each, BadInput) for each in found] == [False, *[True] * 6, False]
        assert {str(each) for each in found[2:6]} == {"body must be a JSON object"}
        assert str(found[6]) == f"conversation_id must be {ACCEPTED['conversation_id']}"


class TestWish:
    @pytest.mark.parametrize(("text", "wish"), [("true", True), ("false", False), ("null", None)])
    def test_a_wish_may_be_taken_back(self, text: str, wish: bool | None) -> None:
        """null: no wish any more; without a conversation it is one in general."""
        found = forms.wish(b'{"send_receipts": ' + text.encode() + b"}")
        assert (found.send_receipts, found.conversation_id) == (wish, None)
        found = forms.wish(b'{"send_receipts": ' + text.encode() + b', "conversation_id": null}')
        assert (found.send_receipts, found.conversation_id) == (wish, None)
