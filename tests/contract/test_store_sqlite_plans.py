"""How SQLite finds what is deleted or asked about: it counts no rows, but tells its plan."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from seenby.store.schema import migrate
from seenby.store.sql import open_store
from tests.contract.store_adapters import rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from seenby.store.sql import SqlStore


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlStore]:
    """A store on SQLite."""
    url = f"sqlite:///{tmp_path_factory.mktemp('plans')}/seenby.db"
    migrate(url)
    with closing(open_store(url)) as opened:
        yield opened


LEAVER = "(conversation_id=? AND user_id=? AND since=?)"
MEMBER = "(user_id=? AND conversation_id=? AND since=?)"
DELETIONS: dict[str, tuple[Callable[[SqlStore], str], str, str]] = {
    "events": (lambda s: s._statements.delete_events, "events", "(user_id=? AND seq=?)"),
    "devices": (lambda s: s._statements.forget_unseen, "devices", "(user_id=? AND device_id=?)"),
    "leavers": (lambda s: s.conversations._settling._forget, "leavers", LEAVER),
    "members": (lambda s: s.conversations._delete_members, "leavers", MEMBER),
    "members who left": (lambda s: s.retention._delete_members, "left", MEMBER),
    "times of the erased": (lambda s: s.erasing._delete_members, "times", MEMBER),
    "receipts": (lambda s: s.retention._delete_receipts, "receipts", "(rowid=?)"),
    "messages": (lambda s: s.retention._delete_messages, "messages", "(msg_id=?)"),
}


@pytest.mark.parametrize(("statement", "name", "key"), DELETIONS.values(), ids=DELETIONS.keys())
def test_a_row_to_be_deleted_is_found_by_its_whole_key(
    store: SqlStore, statement: Callable[[SqlStore], str], name: str, key: str
) -> None:
    """By a part of it a long stream would be read whole for every piece that is trimmed."""
    values = {name: "[]", "since": 0}
    plan = [row[3] for row in rows(store, f"EXPLAIN QUERY PLAN {statement(store)}", **values)]
    assert key in plan[0]


LOOKS: dict[str, tuple[Callable[[SqlStore], str], str]] = {
    "the event of a receipt": (
        lambda s: s.inspecting.find_event,
        "INDEX events_by_time (at=? AND user_id=?)",
    ),
    "a batch that waits": (
        lambda s: s.inspecting.find_batch,
        "INDEX outbox_by_created (created>? AND created<?)",
    ),
}


@pytest.mark.parametrize(("statement", "key"), LOOKS.values(), ids=LOOKS.keys())
def test_what_operators_ask_about_is_found_by_its_time(
    store: SqlStore, statement: Callable[[SqlStore], str], key: str
) -> None:
    """In indexes that are there for other reasons, and never by reading a whole stream."""
    values = dict.fromkeys(("user_id", "msg_id", "reader_id", "named"), "")
    times = dict.fromkeys(("at", "first", "last"), 0)
    plan = rows(store, f"EXPLAIN QUERY PLAN {statement(store)}", **values, **times)
    assert [key in row[3] for row in plan if row[3].startswith("SEARCH")] == [True]
