"""Who reads which message, in which order: the same for messages that are registered or not.

In groups: GROUPS groups of MEMBERS members each. The first member of each has sent a message, the
others read it, one after the other; then the next message comes. So marks that share a commit are
of many messages, and each message is read by several. In a crowd: all are members of one group, and
each reads one message, the same for all or one of SENDERS in turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUPS = 500
MEMBERS = 10
READERS = MEMBERS - 1
ROUND = GROUPS * READERS
"""Marks after which every group has read its message."""

SENDERS = 500
CROWD = "crowd"
ONE = "one"
"""The sender of the message that all of a crowd read."""


class Reading(NamedTuple):
    """One mark, as its request says it."""

    msg_id: str
    reader_id: str
    sender_id: str
    conversation_id: str


class Turns(Protocol):
    """Gives marks by their number, from 0."""

    def reading(self, number: int) -> Reading:
        """The mark of that number."""
        ...


class Groups:
    """Marks of groups; *tag* is what the message ids begin with."""

    def __init__(self, tag: str) -> None:
        self._tag = tag

    def reading(self, number: int) -> Reading:
        """The mark of that number."""
        message, rest = divmod(number, ROUND)
        reader, group = divmod(rest, GROUPS)
        return Reading(
            f"{self._tag}-{message}-{group}",
            member(group, reader + 1),
            member(group, 0),
            f"group{group}",
        )

    def sent(self, marks: int) -> Iterator[tuple[str, str, str]]:
        """The messages of so many marks: msg_id, conversation, sender."""
        for message in range(marks // ROUND):
            for group in range(GROUPS):
                yield f"{self._tag}-{message}-{group}", f"group{group}", member(group, 0)


class Crowd:
    """Marks of one crowd's members, from the member of number *first* on."""

    def __init__(self, *, one: bool, first: int) -> None:
        self._one = one
        self._first = first

    def reading(self, number: int) -> Reading:
        """The mark of that number."""
        reader = self._first + number
        if self._one:
            return Reading(ONE, one_of_many(reader), ONE, CROWD)
        # The one after: nobody reads a message of their own.
        sender = (reader + 1) % SENDERS
        return Reading(f"many-{sender}", one_of_many(reader), one_of_many(sender), CROWD)


def member(group: int, number: int) -> str:
    """A member of a group; number 0 sends."""
    return f"user{group}-{number}"


def one_of_many(number: int) -> str:
    """A member of the crowd; the first SENDERS of them send too."""
    return f"user{number}"


def groups() -> Iterator[tuple[str, list[str]]]:
    """All groups and their members."""
    for group in range(GROUPS):
        yield f"group{group}", [member(group, number) for number in range(MEMBERS)]
