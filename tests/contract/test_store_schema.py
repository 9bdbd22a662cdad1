"""The schema on SQLite and MariaDB: made from nothing, brought up to date, refused in words."""

from __future__ import annotations

import multiprocessing
import shutil
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.pool import NullPool

from seenby.errors import SchemaError, StoreUnavailable
from seenby.model import Event, Position, Receipt
from seenby.store import mysql, schema, sqlite
from seenby.store.base import Device, OutboxBatch, Page, ReceiptPage, Want
from seenby.store.connections import connect_with
from seenby.store.schema import VERSION_TABLE, migrate, require_current
from seenby.store.sql import open_store
from seenby.store.tables import metadata
from seenby.store.url import database_at
from tests.contract.store_adapters import change, mark, rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

STEPS = [
    "0001: Receipts, streams, events, outbox, devices, and the epoch.",
    (
        "0002: Conversations, members, messages, preferences; counts in events, hidden receipts,"
        " erasures."
    ),
    "0003: Nodes: the processes that run.",
]
LAST = f"{len(STEPS):04}"
NEXT = f"{len(STEPS) + 1:04}"


@pytest.fixture(params=["sqlite", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/seenby.db"
    return str(request.getfixturevalue("mariadb_url"))


def engine_of(url: str) -> Engine:
    """SQLAlchemy's own way to the database, for looking at it from outside."""
    return create_engine(url.replace("mysql://", "mysql+pymysql://"), poolclass=NullPool)


def parts(statement: str) -> tuple[str, list[str], str]:
    """A CREATE statement taken apart: a column that was added later stands behind the others."""
    name, _, rest = statement.partition("(")
    body, _, options = rest.rpartition(")")
    return name, sorted(part.strip() for part in body.split(",")), options


def told(url: str) -> dict[str, tuple[str, list[str], str]]:
    """What the database itself says its tables and indexes are, without the version table."""
    engine = engine_of(url)
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            found = connection.execute(
                text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
            )
            return {name: parts(sql) for name, sql in found if name != VERSION_TABLE}
        names = [name for name in inspect(engine).get_table_names() if name != VERSION_TABLE]
        # The next number to give out is no part of the schema.
        return {
            name: parts(connection.execute(text(f"SHOW CREATE TABLE {name}")).one()[1])
            for name in names
        }


@pytest.fixture
def tomorrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Turns this program into a later one: call it with what its next revision does."""
    folder = tmp_path / "migrations"
    shutil.copytree(schema.MIGRATIONS, folder)

    def become(upgrade: str) -> None:
        (folder / "versions" / f"{NEXT}_more.py").write_text(
            '"""More."""\n'
            "import sqlalchemy as sa\n"
            "from alembic import op\n"
            f'revision, down_revision = "{NEXT}", "{LAST}"\n'
            f"def upgrade() -> None:\n    {upgrade}\n",
            encoding="ascii",
        )
        monkeypatch.setattr(schema, "MIGRATIONS", folder)

    return become


ONE_MORE = 'op.create_table("more", sa.Column("a", sa.Integer), if_not_exists=True)'


def test_revisions_are_known_without_alembic() -> None:
    """The files' names say the same as what is in them."""
    script = ScriptDirectory.from_config(schema._config())
    known = [step.revision for step in script.walk_revisions("base", "heads")]
    assert schema.revisions() == known[::-1]
    assert script.get_heads() == [schema.revisions()[-1]]


def test_a_database_is_made_once(url: str, capfd: pytest.CaptureFixture[str]) -> None:
    """From nothing, in steps that are told; again there is nothing to do. Nothing is printed."""
    assert migrate(url) == STEPS
    with closing(open_store(url)) as store:
        epoch = store.epoch()
        receipt = store.record([mark()], now=1, lease=0).outcomes

    assert migrate(url) == []

    require_current(url)
    with closing(open_store(url)) as store:
        assert store.epoch() == epoch
        assert store.record([mark()], now=2, lease=0).outcomes == receipt
    assert tuple(capfd.readouterr()) == ("", "")


def test_two_databases_have_different_epochs(url: str, tmp_path: Path) -> None:
    """Seqs of one mean nothing in the other."""
    other = f"sqlite:///{tmp_path}/other.db"
    epochs = set()
    for each in (url, other):
        migrate(each)
        with closing(open_store(each)) as store:
            epochs.add(store.epoch())
    assert len(epochs) == 2


def test_several_processes_may_start_at_once(url: str) -> None:
    """One makes the schema, the others wait and find it made."""
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as processes:
        done = list(processes.map(migrate, [url] * 4))
    assert sorted(done) == [[], [], [], STEPS]
    require_current(url)


def test_the_migrations_make_what_the_metadata_says(url: str) -> None:
    """By Alembic's comparison, of types and defaults too."""
    migrate(url)
    with engine_of(url).connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": VERSION_TABLE,
                "compare_type": True,
                "compare_server_default": True,
            },
        )
        assert compare_metadata(context, metadata) == []


def test_the_migrations_make_exactly_what_the_metadata_makes(
    url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Word for word, as the database tells it, but for the order: checks and engines too."""
    migrate(url)
    by_migrations = told(url)
    engine = engine_of(url)
    with engine.begin() as connection:
        metadata.drop_all(connection)
        metadata.create_all(connection)
    assert by_migrations == told(url)
    assert set(metadata.tables) <= set(by_migrations)


def migrate_to(url: str, revision: str) -> None:
    """Bring a database to an old program's schema."""
    database = database_at(url)
    config = schema._config()
    with connect_with(database, database.patient_arguments).connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def test_what_an_older_program_wrote_is_kept(url: str) -> None:
    """Under the first schema nothing was hidden, and streams had names only."""
    migrate_to(url, "0001")
    with closing(open_store(url)) as store:
        epoch = store.epoch()
        for statement in (
            "INSERT INTO streams VALUES ('ann', 1, 0)",
            "INSERT INTO receipts VALUES (7, 'm1', 'bob', 'ann', 'c1', 'group', 'phone', 5)",
            "INSERT INTO events VALUES ('ann', 1, 0, 'm1', 'bob', 'c1', 'phone', 5)",
            "INSERT INTO devices VALUES ('ann', 'tab', 'e', 1, 5)",
            """INSERT INTO outbox VALUES (3, '', 0, 0, '[["ann",1,""]]')""",
        ):
            change(store, statement)

    assert migrate(url) == STEPS[1:]

    receipt = Receipt(7, "m1", "bob", "ann", "c1", "group", 5, "phone")
    event = Event("ann", 1, "m1", "bob", "c1", 5, 5, "phone")
    with closing(open_store(url)) as store:
        assert store.epoch() == epoch
        assert store.receipts(["m1"], sender_id="ann", after_id=0, limit=9) == [
            ReceiptPage("m1", 1, [receipt])
        ]
        assert store.pages([Want("ann", 0, 9)]) == [Page(1, 0, [event])]
        assert store.devices("ann") == [Device("tab", Position("e", 1), 5)]
        assert store.claim(owner="n", lease=9, limit=9) == [OutboxBatch(3, [event])]
        repeat = mark("m1", "bob", "ann", "c1", "group")
        assert store.record([repeat], now=9, lease=None).outcomes == [receipt]


def test_a_database_without_tables_is_refused_in_words(url: str) -> None:
    """Looking does not make a file either."""
    for _ in range(2):
        with pytest.raises(SchemaError, match="no tables of seenby yet; run: seenby migrate"):
            require_current(url)
    if url.startswith("sqlite"):
        assert not Path(url.removeprefix("sqlite:///")).exists()


def test_an_older_schema_is_refused_until_it_is_migrated(
    url: str, tomorrow: Callable[[str], None]
) -> None:
    """The sentence names both revisions and what to do; migrating takes the missing step only."""
    migrate(url)
    tomorrow(ONE_MORE)

    with pytest.raises(SchemaError, match=rf"older .*{LAST}, wanted {NEXT}\); run: seenby migrate"):
        require_current(url)

    assert migrate(url) == [f"{NEXT}: More."]
    require_current(url)


def test_a_newer_schema_is_refused(
    url: str, tomorrow: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old program neither serves it nor touches it; the sentence names both revisions."""
    today = schema.MIGRATIONS
    tomorrow(ONE_MORE)
    assert migrate(url) == [*STEPS, f"{NEXT}: More."]

    monkeypatch.setattr(schema, "MIGRATIONS", today)
    for call in (migrate, require_current):
        with pytest.raises(SchemaError, match=rf"newer seenby: .*{NEXT}, .* up to {LAST}"):
            call(url)


def test_a_step_that_fails_leaves_the_schema_as_it_was(
    url: str, tomorrow: Callable[[str], None]
) -> None:
    """At the revision before, with its data; mended, the same step goes through."""
    migrate(url)
    with closing(open_store(url)) as store:
        store.record([mark()], now=1, lease=0)
    tomorrow(f'{ONE_MORE}; op.execute("SELECT 1 FROM nowhere")')

    with pytest.raises(StoreUnavailable, match="nowhere"):
        migrate(url)

    with pytest.raises(SchemaError, match="older"):
        require_current(url)
    if url.startswith("sqlite"):
        assert "more" not in told(url)
    tomorrow(f"{ONE_MORE}; 1")
    assert migrate(url) == [f"{NEXT}: More."]
    with closing(open_store(url)) as store:
        assert store.heads(["ann"])[1]["ann"].head == 1


def test_a_migration_that_was_cut_short_is_taken_up_again(url: str) -> None:
    """MariaDB has no transactions for tables: every step of a revision may run twice."""
    migrate(url)
    whole = told(url)
    with closing(open_store(url)) as store:
        epoch = store.epoch()
        change(store, f"DELETE FROM {VERSION_TABLE}")
        for table in ("devices", "leavers", "erasures", "nodes"):
            change(store, f"DROP TABLE {table}")
        for index, table in (("events_by_time", "events"), ("messages_by_time", "messages")):
            change(store, f"DROP INDEX {index}" + ("" if "sqlite" in url else f" ON {table}"))

    assert migrate(url) == STEPS

    assert told(url) == whole
    with closing(open_store(url)) as store:
        assert store.epoch() == epoch


def test_another_program_may_use_alembic_in_the_same_database(url: str) -> None:
    """Its version table is neither read nor written."""
    with engine_of(url).begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('feedbeef')"))
    assert migrate(url) == STEPS
    require_current(url)
    with closing(open_store(url)) as store:
        assert rows(store, "SELECT version_num FROM alembic_version") == [("feedbeef",)]


def test_who_keeps_the_schema_to_himself_for_too_long_is_named(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait for another process's change is bounded."""
    migrate(url)
    monkeypatch.setattr(sqlite, "ALONE_SECONDS", 0.1)
    monkeypatch.setattr(mysql, "ALONE_SECONDS", 0)
    monkeypatch.setattr(schema, "TRY_SECONDS", 0.1)
    with closing(open_store(url)) as other:
        if url.startswith("sqlite"):
            change(other, "BEGIN IMMEDIATE")
        else:
            rows(other, "SELECT GET_LOCK(CONCAT('seenby_', MD5(DATABASE())), 0)")
        with pytest.raises(StoreUnavailable, match=r"another process|locked"):
            migrate(url)
        require_current(url)
    assert migrate(url) == []
