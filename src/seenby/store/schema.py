"""The schema: brought up to date by ``migrate``, checked by ``require_current``.

Which revision a database has stands in its table ``seenby_version``: a name of our own, because
the database may be shared with another program that uses Alembic. The revisions lie beside this
file and are found there, installed or not. Alembic itself is imported to take a step only: that is
a sixth of a start.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import column, inspect, select, table

from seenby.errors import SchemaError
from seenby.store.connections import connect_with, keep_trying
from seenby.store.url import database_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic.config import Config
    from sqlalchemy import Connection

    from seenby.store.url import Database

T = TypeVar("T")

VERSION_TABLE = "seenby_version"

MIGRATIONS = Path(__file__).with_name("migrations")

TRY_SECONDS = 5.0
"""For how long a database that does not answer is tried again."""


def revisions() -> list[str]:
    """This program's, the first one first: the file of each begins with it."""
    return sorted(file.name.split("_")[0] for file in (MIGRATIONS / "versions").glob("*.py"))


def migrate(url: str) -> list[str]:
    """Bring a database's schema up to this program's; safe when several start at once.

    Returns:
        One line per revision that was applied; none when there was nothing to do.

    Raises:
        ConfigError: the address is wrong.
        SchemaError: the database belongs to a newer program, or its server is too old.
        StoreUnavailable: the database cannot be reached, or another process keeps it to itself.
    """
    database = database_at(url)

    def upgrade(connection: Connection) -> list[str]:
        with database.alone(connection):
            found, known = _revision(connection), revisions()
            _refuse_newer(found, known)
            return [] if found == known[-1] else _take_steps(connection, found)

    return _with_connection(database, upgrade)


def require_current(url: str) -> None:
    """Return when a database's schema is exactly this program's.

    Raises:
        ConfigError: the address is wrong.
        SchemaError: the schema is missing, older or newer; the sentence says what to do.
        StoreUnavailable: the database cannot be reached.
    """
    database = database_at(url)
    # Looking into a file that does not exist would make it.
    found = None if database.missing else _with_connection(database, _revision)
    if found is None:
        raise SchemaError("the database has no tables of seenby yet; run: seenby migrate")
    known = revisions()
    _refuse_newer(found, known)
    wanted = known[-1]
    if found != wanted:
        raise SchemaError(
            f"the database's schema is older than this program (revision {found}, wanted"
            f" {wanted}); run: seenby migrate"
        )


def _take_steps(connection: Connection, found: str | None) -> list[str]:
    from alembic import command  # noqa: PLC0415 -- slow to import
    from alembic.script import ScriptDirectory  # noqa: PLC0415 -- as above

    config = _config()
    script = ScriptDirectory.from_config(config)
    steps = [
        f"{step.revision}: {step.doc}" for step in script.iterate_revisions("head", found or "base")
    ]
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return steps[::-1]


def _config() -> Config:
    from alembic.config import Config  # noqa: PLC0415 -- slow to import

    config = Config()
    # Alembic reads the option with configparser, to which a single % means something.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["version_table"] = VERSION_TABLE
    return config


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.scalar(
        select(column("version_num")).select_from(table(VERSION_TABLE))
    )
    return found


def _refuse_newer(found: str | None, known: list[str]) -> None:
    if found is not None and found not in known:
        raise SchemaError(
            f"the database belongs to a newer seenby: its schema is revision {found}, this program"
            f" knows revisions up to {known[-1]}; start that newer seenby"
        )


def _with_connection(database: Database, work: Callable[[Connection], T]) -> T:
    """Do *work* on a connection of its own, which may be patient."""
    engine = connect_with(database, database.patient_arguments)

    def attempt() -> T:
        with engine.connect() as connection:
            return work(connection)

    return keep_trying(database, attempt, TRY_SECONDS)
