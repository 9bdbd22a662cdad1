"""A chat's backend: registers conversations and messages through the API, before any clock runs."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bench.load import LoadError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BATCH = 1_000
"""Conversations or messages in one call; the API takes no more."""

MEMBERS = 10_000
"""Members in one call; the API takes no more."""


class Backend:
    """One connection to an API.

    Args:
        api: its address.
    """

    def __init__(self, api: str) -> None:
        parts = urlsplit(api)
        self._connection = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=60)

    def ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """The answer to one request.

        Raises:
            LoadError: it was refused, or a part of it.
        """
        text = None if body is None else json.dumps(body)
        headers = {"Content-Type": "application/json"}
        self._connection.request(method, f"/api/v1{path}", text, headers)
        answer = self._connection.getresponse()
        found: dict[str, Any] = json.loads(answer.read())
        refused = [item for item in found.get("results", ()) if not item.get("success")]
        if answer.status != 200 or refused:
            raise LoadError(f"{method} {path}: {answer.status} {str(refused or found)[:200]}")
        return found

    def groups(self, members: Iterable[tuple[str, Sequence[str]]]) -> None:
        """Register groups, each with so few members that a thousand fit into a request."""
        groups = [
            {"conversation_id": name, "type": "group", "members": users} for name, users in members
        ]
        for start in range(0, len(groups), BATCH):
            part = groups[start : start + BATCH]
            self.ask("POST", "/conversations/batch", {"conversations": part})

    def crowd(self, name: str, users: Sequence[str]) -> None:
        """Register one group, of however many."""
        first = {"type": "group", "members": users[:MEMBERS]}
        self.ask("PUT", f"/conversations/{name}", first)
        for start in range(MEMBERS, len(users), MEMBERS):
            part = users[start : start + MEMBERS]
            self.ask("POST", f"/conversations/{name}/members", {"add": part})

    def messages(self, sent: Iterable[tuple[str, str, str]]) -> None:
        """Register messages: msg_id, conversation, sender."""
        names = ("msg_id", "conversation_id", "sender_id")
        messages = [dict(zip(names, message, strict=True)) for message in sent]
        for start in range(0, len(messages), BATCH):
            self.ask("POST", "/messages/batch", {"messages": messages[start : start + BATCH]})

    def close(self) -> None:
        """Hang up."""
        self._connection.close()
