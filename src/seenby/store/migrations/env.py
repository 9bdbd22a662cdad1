"""How Alembic reaches the database: over the connection that ``store.schema`` has opened.

Each revision runs in the transaction that ``schema.migrate`` has begun, where the database has
transactions for tables at all (SQLite); elsewhere every step of a revision may run twice.
"""

from __future__ import annotations

from alembic import context

from seenby.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=context.config.attributes["version_table"],
)
context.run_migrations()
