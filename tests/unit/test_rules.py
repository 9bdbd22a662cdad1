"""Who is told what."""

from __future__ import annotations

import pytest

from seenby.rules import Rules, Shown, is_crowd


@pytest.mark.parametrize(
    ("wishes", "sends", "decided_by"),
    [
        ({}, True, "default"),
        ({("bob", ""): False}, False, "user"),
        ({("bob", ""): False, ("bob", "team"): True}, True, "conversation"),
        ({("bob", "other"): False}, True, "default"),
        ({("eve", ""): False}, True, "default"),
    ],
)
def test_the_nearest_wish_decides(
    wishes: dict[tuple[str, str], bool], sends: bool, decided_by: str
) -> None:
    """A wish for the conversation goes before one in general, and that before the default."""
    assert Rules().sends(wishes, "bob", "team") == (sends, decided_by)


@pytest.mark.parametrize("forced", [True, False])
def test_an_organisation_goes_before_every_wish(forced: bool) -> None:
    """What the organisation has decided holds against any wish."""
    wishes = {("bob", ""): not forced, ("bob", "team"): not forced}
    assert Rules(forced=forced).sends(wishes, "bob", "team") == (forced, "organisation")


@pytest.mark.parametrize(
    ("count_hidden", "crowd", "shown"),
    [
        (False, True, Shown.UNCOUNTED),
        (True, False, Shown.UNCOUNTED),
        (True, True, Shown.COUNTED),
    ],
)
def test_who_hides_is_counted_in_a_crowd_only(
    count_hidden: bool, crowd: bool, shown: Shown
) -> None:
    """A hidden reader counts only where the operator wants it and the count gives nobody away."""
    rules = Rules(count_hidden=count_hidden)
    assert rules.shown({("bob", ""): False}, "bob", "team", crowd=crowd) is shown
    assert rules.shown({}, "bob", "team", crowd=crowd) is Shown.NAMED


def test_who_hides_sees_no_names_where_that_is_mutual() -> None:
    """Only with ``reciprocal`` does hiding cost anything."""
    wishes = {("bob", ""): False}
    assert Rules().sees_names(wishes, "bob", "team")
    assert not Rules(reciprocal=True).sees_names(wishes, "bob", "team")
    assert Rules(reciprocal=True).sees_names(wishes, "eve", "team")


def test_a_crowd_is_a_group_of_five() -> None:
    """Sender included, five are enough; a private conversation is never a crowd."""
    assert not is_crowd("group", 3)
    assert is_crowd("group", 4)
    assert not is_crowd("private", 100)
