"""What users want others to know of them, in general and per conversation."""

# ruff: noqa: S608 -- statements are put together from our own words; values never are among them

from __future__ import annotations

from typing import TYPE_CHECKING

from seenby.store.connections import told
from seenby.store.statements import singles

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from seenby.store.connections import Connection, Connections, Row
    from seenby.store.statements import Words

    Key = tuple[str, str]


class Preferences:
    """Keeps users' wishes; a user who has said nothing has no row.

    Args:
        connections: to the database.
        words: the database's.
    """

    def __init__(self, connections: Connections, words: Words) -> None:
        """Put the statements together."""
        self._connections = connections
        text = words.text
        self._put = text(
            "INSERT INTO preferences (user_id, conversation_id, send_receipts)"
            f" SELECT :user_id, :conversation_id, :sends {words.upsert('user_id, conversation_id')}"
            " send_receipts = :sends"
        )
        self._remove = text(
            "DELETE FROM preferences"
            " WHERE user_id = :user_id AND conversation_id = :conversation_id"
        )
        self._find = find_wishes(words)

    def put(self, user_id: str, conversation_id: str, send_receipts: bool | None) -> None:  # noqa: FBT001 -- it is the value
        """Keep what a user wishes.

        Args:
            user_id: whose wish it is.
            conversation_id: where it holds; "" for in general.
            send_receipts: whether senders are told the user's name; None: no wish any more.
        """
        key = {"user_id": user_id, "conversation_id": conversation_id}

        def work(connection: Connection) -> None:
            if send_receipts is None:
                connection.change(self._remove, **key)
            else:
                connection.change(self._put, **key, sends=int(send_receipts))

        self._connections.run(work)

    def of(self, user_id: str) -> dict[str, bool]:
        """One user's wishes by conversation_id; "" is in general."""
        return {place: sends for (_, place), sends in self.wishes([user_id]).items()}

    def wishes(self, user_ids: Sequence[str]) -> dict[Key, bool]:
        """Users' wishes by (user_id, conversation_id or "" for in general)."""
        if not user_ids:
            return {}
        [rows] = self._connections.run(
            lambda connection: connection.together(told(self._find, users=singles(user_ids)))
        )
        return wishes_of(rows)


def find_wishes(words: Words) -> str:
    """The statement that finds the wishes of ``users``."""
    return words.text(
        "SELECT p.user_id, p.conversation_id, p.send_receipts FROM preferences AS p"
        f" WHERE {words.among('p.user_id', 'users')}"
    )


def wishes_of(rows: Iterable[Row]) -> dict[Key, bool]:
    """What it finds, by (user_id, conversation_id)."""
    return {(user_id, conversation_id): bool(sends) for user_id, conversation_id, sends in rows}
