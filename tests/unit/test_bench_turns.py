"""The benchmark's conversations: who reads what, and who sends it."""

from __future__ import annotations

from collections import Counter

import pytest

from bench import turns
from bench.turns import Crowd, Groups


def test_each_message_of_a_group_is_read_by_all_others_once() -> None:
    """Its sender does not read it, and no mark comes twice."""
    readings = [Groups("t").reading(number) for number in range(2 * turns.ROUND)]
    assert len({(r.msg_id, r.reader_id) for r in readings}) == len(readings)
    assert set(Counter(r.msg_id for r in readings).values()) == {turns.READERS}
    assert all(r.reader_id != r.sender_id for r in readings)


def test_marks_that_follow_each_other_are_of_many_messages() -> None:
    """So those that share a commit seldom share a message."""
    readings = [Groups("t").reading(number) for number in range(turns.GROUPS)]
    assert len({r.msg_id for r in readings}) == turns.GROUPS


def test_what_is_registered_is_what_is_read() -> None:
    """The same messages, conversations, senders and members, and no others."""
    readings = [Groups("t").reading(number) for number in range(2 * turns.ROUND)]
    sent = list(Groups("t").sent(2 * turns.ROUND))
    assert len(sent) == 2 * turns.GROUPS
    assert {(r.msg_id, r.conversation_id, r.sender_id) for r in readings} == set(sent)
    members = dict(turns.groups())
    assert all({r.reader_id, r.sender_id} <= set(members[r.conversation_id]) for r in readings)
    assert {len(users) for users in members.values()} == {turns.MEMBERS}


def test_a_crowd_reads_one_message() -> None:
    """Each member once, in as many slices as one likes."""
    readings = [Crowd(one=True, first=first).reading(n) for first in (0, 50) for n in range(50)]
    assert {r.msg_id for r in readings} == {turns.ONE}
    assert len({r.reader_id for r in readings}) == 100
    assert turns.ONE not in {r.reader_id for r in readings}


@pytest.mark.parametrize("first", [0, 20_000])
def test_a_crowd_reads_what_others_have_sent(first: int) -> None:
    """The messages of all senders in turn, and nobody one of their own."""
    readings = [Crowd(one=False, first=first).reading(n) for n in range(2 * turns.SENDERS)]
    assert set(Counter(r.sender_id for r in readings).values()) == {2}
    assert all(r.reader_id != r.sender_id for r in readings)
    assert {(r.msg_id, r.sender_id) for r in readings} == {
        (f"many-{n}", turns.one_of_many(n)) for n in range(turns.SENDERS)
    }
