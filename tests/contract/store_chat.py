"""A small chat in a store, what stands in its tables, and the end of a process at any moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from seenby.store.tables import metadata
from tests.contract.store_adapters import change, rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from seenby.store.sql import SqlStore
    from seenby.store.verifying import Difference

NUMBERED = {"receipts": "id", "outbox": "id", "erasures": "asked"}
"""Columns that are another one each time the same is done."""


def clear(store: SqlStore) -> None:
    """Take every row of every table away; the epoch stays."""
    for table in metadata.tables:
        if table not in {"meta", "alembic_version"}:
            change(store, f"DELETE FROM {table}")


def contents(store: SqlStore) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, without numbers that mean nothing, in order."""
    found = {}
    for name, table in metadata.tables.items():
        columns = [c.name for c in table.columns if c.name != NUMBERED.get(name)]
        if name == "outbox":
            columns = ["events"]
        listed = rows(store, f"SELECT {', '.join(columns)} FROM {name}")
        found[name] = sorted(listed, key=repr)
    return found


def naming(store: SqlStore, word: str) -> list[str]:
    """The tables that have *word* in any column of any row, as a part of it too."""
    return [table for table, listed in contents(store).items() if word in repr(listed)]


def differences(store: SqlStore) -> list[Difference]:
    """What ``seenby verify`` says."""
    return [
        difference
        for conversation_id in store.verifying.conversations("", 1000)
        for difference in store.verifying.verify(conversation_id, repair=False)
    ]


class ProcessEnds(BaseException):
    """Not to be caught: nothing runs after it."""


def ending_after(store: SqlStore, transactions: int, work: Callable[[], object]) -> bool:
    """Do *work*, but let the process end after so many transactions; whether it did."""
    run = store.connections.run
    left = transactions

    def running(piece: Any, **how: bool) -> Any:
        nonlocal left
        done = run(piece, **how)
        left -= 1
        if left == 0:
            raise ProcessEnds
        return done

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(store.connections, "run", running)
        try:
            work()
        except ProcessEnds:
            return True
    return False
