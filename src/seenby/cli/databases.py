"""The commands that prepare and check database and topics, and the one that lists settings."""

from __future__ import annotations

import contextlib
import logging
import re
from typing import TYPE_CHECKING, Annotated

import typer

from seenby import config
from seenby.cli.application import FAILED, app, counted, epoch_app, topic_app
from seenby.errors import ConfigError
from seenby.settings import variables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seenby.cli.progress import Work

PIECE = 100
"""Conversations that are asked for at once."""


@app.command()
def migrate() -> None:
    """Bring the database's tables up to this version of seenby.

    Safe to repeat, and safe when several do it at once.
    """
    from seenby.cli.progress import progress  # noqa: PLC0415 -- slow to import
    from seenby.store.schema import migrate as bring_up_to_date  # noqa: PLC0415 -- as above

    url = config.load().database_url
    with progress("migrating, steps", even=False) as work, _following_steps(work):
        applied = bring_up_to_date(url)
    for line in applied:
        print(f"applied {line}")
    if not applied:
        print("the database is up to date")


@contextlib.contextmanager
def _following_steps(work: Work) -> Iterator[None]:
    """Show which step runs: on a large table one may take a while. Alembic tells its log."""

    class Steps(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            # "Running upgrade 0001 -> 0002, conversations"; the first one comes from nowhere.
            found = re.fullmatch(r"Running upgrade (\w*) *-> (\w+, .+)", record.getMessage())
            if found is None:
                return
            if not begun:
                work.of(_steps_after(found[1]))
            else:
                work.advance()
            begun.append(found[2])
            work.now(f"migrating {found[2]}, steps")

    begun: list[str] = []
    steps = logging.getLogger("alembic.runtime.migration")
    level, handler = steps.level, Steps()
    steps.addHandler(handler)
    steps.setLevel(logging.INFO)
    try:
        yield
    finally:
        steps.setLevel(level)
        steps.removeHandler(handler)


def _steps_after(revision: str) -> int:
    """How many steps lead from a revision ("": from nothing) to this program's.

    Each takes as long as its tables are large, so nothing is said of the time that is left.
    """
    from seenby.store.schema import revisions  # noqa: PLC0415 -- slow to import

    known = revisions()
    return len(known) - (known.index(revision) + 1 if revision else 0)


@topic_app.command("create")
def topic_create() -> None:
    """Create the topics that seenby publishes to, where they do not exist.

    How many partitions and replicas: SEENBY_TOPIC_PARTITIONS, SEENBY_TOPIC_REPLICATION.
    """
    from seenby.bus import kafka_topics as topics  # noqa: PLC0415 -- slow to import
    from seenby.bus.dead_letters import SUFFIX  # noqa: PLC0415 -- as above
    from seenby.bus.kafka_security import security_of  # noqa: PLC0415 -- as above

    settings = config.load()
    if not settings.kafka_brokers:
        raise ConfigError("KAFKA_BROKERS must be set to create topics: a list of host:port")
    for name, partitions, retention_ms in (
        (settings.topic, settings.topic_partitions, topics.RETENTION_MS),
        (settings.updates_topic, settings.topic_partitions, topics.RETENTION_MS),
        (settings.topic + SUFFIX, 1, topics.DEAD_LETTER_RETENTION_MS),
        (settings.updates_topic + SUFFIX, 1, topics.DEAD_LETTER_RETENTION_MS),
        (settings.messages_topic + SUFFIX, 1, topics.DEAD_LETTER_RETENTION_MS),
    ):
        print(
            topics.create_topic(
                settings.kafka_brokers,
                name,
                partitions=partitions,
                replication=settings.topic_replication,
                retention_ms=retention_ms,
                security=security_of(settings),
            )
        )


@app.command()
def verify(
    *,
    repair: Annotated[bool, typer.Option("--repair", help="Put right what is wrong.")] = False,
) -> None:
    """Make all counters anew from receipts and members, and say where they differ.

    Safe while seenby runs. One line per difference; ends with 1 when there is one that is left.
    """
    from seenby.cli.progress import progress  # noqa: PLC0415 -- slow to import
    from seenby.store.schema import require_current  # noqa: PLC0415 -- as above
    from seenby.store.sql import open_store  # noqa: PLC0415 -- as above

    url = config.load().database_url
    require_current(url)
    conversations = differences = 0
    with (
        contextlib.closing(open_store(url)) as store,
        progress("verifying, conversations") as work,
    ):
        if work.shown:
            # Each conversation takes as long as it is large, so what is left is an estimate.
            work.of(store.verifying.count())
        after = ""
        while found := store.verifying.conversations(after, PIECE):
            for conversation_id in found:
                for wrong in store.verifying.verify(conversation_id, repair=repair):
                    where = f"{conversation_id}: {wrong.what} of {wrong.key}"
                    work.say(f"{where} is {wrong.found}, should be {wrong.right}")
                    differences += 1
                work.advance()
            conversations += len(found)
            after = found[-1]
    done = "put right" if repair else "left as found; to put right: seenby verify --repair"
    outcome = f", {done}" if differences else ""
    looked_at = f"{counted(conversations, 'conversation')}, {counted(differences, 'difference')}"
    print(f"{looked_at}{outcome}")
    if differences and not repair:
        raise typer.Exit(FAILED)


@epoch_app.command("new")
def epoch_new() -> None:
    """Begin a new epoch: after a restore from a backup, or a failover that may have lost commits.

    Every client is then told to load anew instead of trusting positions that count no longer.
    """
    from seenby.store.schema import require_current  # noqa: PLC0415 -- slow to import
    from seenby.store.sql import open_store  # noqa: PLC0415 -- as above

    url = config.load().database_url
    require_current(url)
    with contextlib.closing(open_store(url)) as store:
        print(store.new_epoch())


@app.command("settings")
def show_settings() -> None:
    """List every setting: name, default, accepted form, and what it is for."""
    for variable in variables():
        default = "" if variable.default in (None, "", ()) else f"  (default: {variable.default})"
        print(f"{variable.name}{default}\n    {variable.description}\n    {variable.accepted}\n")
