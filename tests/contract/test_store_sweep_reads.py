"""What erasing and retention read on MariaDB: pieces of a bounded size, however much there is.

Counted as in ``test_store_reads``, on tables of 50,000 rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.store_adapters import filled
from tests.contract.test_store_reads import reads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seenby.store.sql import SqlStore
    from tests.servers.mariadb import MariaDB

AT = 1_000_000
"""When the first message was sent and the first receipt made, in ms; one ms later the next."""

FILL = (
    "INSERT INTO streams SELECT CONCAT('u', seq), 500, 0 FROM seq_0_to_99",
    (
        "INSERT INTO events SELECT CONCAT('u', seq MOD 100), seq DIV 100 + 1, 0, CONCAT('m', seq),"
        f" CONCAT('u', (seq + 1) MOD 100), 'c', 'd', {AT} + seq, NULL, NULL FROM seq_0_to_49999"
    ),
    # Ten members in each of 500 conversations with 100 messages, each of which one has read.
    "INSERT INTO conversations SELECT CONCAT('c', seq), 'group', 10, 100 FROM seq_0_to_499",
    (
        "INSERT INTO members SELECT CONCAT('c', c.seq), CONCAT('u', (c.seq + i.seq) MOD 100), 0,"
        " NULL, 0, 0, 20 FROM seq_0_to_499 AS c JOIN seq_0_to_9 AS i"
    ),
    (
        "INSERT INTO messages SELECT CONCAT('m', seq), CONCAT('c', seq MOD 500), seq DIV 500 + 1,"
        f" CONCAT('u', seq MOD 100), {AT} + seq, 9, 9, 1, 1, 0 FROM seq_0_to_49999"
    ),
    (
        "INSERT INTO receipts SELECT NULL, CONCAT('m', seq), CONCAT('u', (seq + 1) MOD 100),"
        f" CONCAT('u', seq MOD 100), 'c', 'group', 'd', {AT} + seq, 0 FROM seq_0_to_49999"
    ),
    "ANALYZE TABLE receipts, streams, events, conversations, members, messages",
)

LIMIT = 100


@pytest.fixture(scope="module")
def full(mariadb_server: MariaDB) -> Iterator[SqlStore]:
    """A store with 50,000 rows and more in each table that grows."""
    with filled(mariadb_server, FILL) as store:
        yield store


def test_with_nothing_old_next_to_nothing_is_read(full: SqlStore) -> None:
    """So it may be asked for as often as one likes."""
    assert reads(full, lambda: full.retention.expire(before=AT, limit=LIMIT)) < 20


def test_what_is_old_is_found_by_index(full: SqlStore) -> None:
    """A few lookups for each member and message of the one conversation that is looked after."""
    bound = 10 * LIMIT * 6
    assert reads(full, lambda: full.retention.expire(before=AT * 2, limit=LIMIT)) < bound


def test_a_step_of_an_erasure_reads_ten_rows_for_each_it_may_change(full: SqlStore) -> None:
    """Whatever its stage is; the steps come to their end."""
    full.erasing.ask("u7", now=AT)
    steps: list[int] = []
    finished: list[bool] = []

    def step() -> None:
        finished.append(full.erasing.step("u7", limit=LIMIT))

    full.erasing.step("u7", limit=LIMIT)
    while not any(finished):
        steps.append(reads(full, step))
    assert 100 < len(steps) < 300
    # A page of receipts is read twice, and MariaDB reads it twice more to know where it ends.
    assert max(steps) < 10 * LIMIT * 4
