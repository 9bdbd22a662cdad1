"""What users wish others to know, kept as they said it last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from seenby.errors import StoreRefused
from tests.contract.store_adapters import change, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seenby.store.preferences import Preferences
    from seenby.store.sql import SqlStore


@pytest.fixture
def preferences(store: SqlStore) -> Iterator[Preferences]:
    """Those of an empty store."""
    change(store, "DELETE FROM preferences")
    yield store.preferences
    change(store, "DELETE FROM preferences")


def test_a_wish_is_kept_for_the_place_it_was_said_for(preferences: Preferences) -> None:
    """In general and per conversation, each on its own."""
    preferences.put("bob", "", send_receipts=False)
    preferences.put("bob", "c1", send_receipts=True)
    preferences.put("ann", "c1", send_receipts=False)
    assert preferences.of("bob") == {"": False, "c1": True}
    assert preferences.of("ann") == {"c1": False}


def test_the_last_word_counts(preferences: Preferences) -> None:
    """Saying it again changes it, and saying the same changes nothing."""
    for wish in (True, False, False):
        preferences.put("bob", "", send_receipts=wish)
        assert preferences.of("bob") == {"": wish}


def test_a_wish_can_be_taken_back(preferences: Preferences, store: SqlStore) -> None:
    """Nothing is left of it, whether it was there or not, and no other goes with it."""
    preferences.put("bob", "", send_receipts=False)
    preferences.put("bob", "c1", send_receipts=False)
    for _ in range(2):
        preferences.put("bob", "c1", send_receipts=None)
        assert preferences.of("bob") == {"": False}
    preferences.put("bob", "", send_receipts=None)
    assert rows(store, "SELECT * FROM preferences") == []


def test_who_has_said_nothing_wishes_nothing(preferences: Preferences) -> None:
    """No answer is not the same as no."""
    assert preferences.of("bob") == {}
    assert preferences.wishes([]) == {}
    assert preferences.wishes(["bob"]) == {}


def test_wishes_of_many_come_at_once(preferences: Preferences) -> None:
    """All of those who were asked for, each once, and of nobody else."""
    preferences.put("bob", "", send_receipts=False)
    preferences.put("bob", "c1", send_receipts=True)
    preferences.put("Bob", "", send_receipts=True)
    preferences.put("eve", "", send_receipts=False)
    assert preferences.wishes(["bob", "Bob", "bob", "ann"]) == {
        ("bob", ""): False,
        ("bob", "c1"): True,
        ("Bob", ""): True,
    }


@pytest.mark.parametrize(
    ("user_id", "conversation_id"), [("u" * 65, ""), ("bob", "c" * 129), ("b\u00f6b", "")]
)
def test_what_is_no_id_is_refused(
    preferences: Preferences, store: SqlStore, user_id: str, conversation_id: str
) -> None:
    """Never cut or folded into somebody else's."""
    with pytest.raises(StoreRefused):
        preferences.put(user_id, conversation_id, send_receipts=False)
    assert rows(store, "SELECT * FROM preferences") == []
