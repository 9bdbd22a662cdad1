"""Who is told what: an organisation's rules, a user's wishes, and what follows from both.

A hidden reader's receipt is recorded and counts as read for the reader, but the sender is not told
the name, ever: what was decided when the mark came stands with the receipt (``Shown``). A group
may count such readers without a name, if it is so large that the count does not give them away.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seenby.model import ConversationType

    Wishes = Mapping[tuple[str, str], bool]
    """(user_id, conversation_id or "" for in general): whether receipts are sent."""

DecidedBy = Literal["organisation", "conversation", "user", "default"]

CROWD = 5
"""Members of a group from which a count without names gives nobody away."""

HOUR_MS = 3600 * 1000


class Shown(IntEnum):
    """How others see a receipt; the number stands in the database."""

    NAMED = 0
    UNCOUNTED = 1
    COUNTED = 2


class Rules(msgspec.Struct, frozen=True):
    """What an operator has decided.

    Attributes:
        accept_unregistered: whether marks of messages that nobody registered are recorded.
        visible_to_members: whether everyone whom a message was sent to may see who has read it.
        sync_reader: whether a reader's own devices are told.
        unread_window_ms: for how long after it a receipt may be taken back.
        forced: whether receipts are sent, whatever users wish; None: as they wish.
        count_hidden: whether large groups count hidden readers without a name.
        reciprocal: whether who hides sees no names either.
        aggregate_over: from how many more on a message's sender is told a count, not names.
    """

    accept_unregistered: bool = True
    visible_to_members: bool = False
    sync_reader: bool = True
    unread_window_ms: int = 24 * HOUR_MS
    forced: bool | None = None
    count_hidden: bool = False
    reciprocal: bool = False
    aggregate_over: int = 1000

    def sends(self, wishes: Wishes, user_id: str, conversation_id: str) -> tuple[bool, DecidedBy]:
        """Whether a user's receipts of a conversation are sent with the name, and who says so."""
        if self.forced is not None:
            return self.forced, "organisation"
        wish = wishes.get((user_id, conversation_id)) if conversation_id else None
        if wish is not None:
            return wish, "conversation"
        wish = wishes.get((user_id, ""))
        return (True, "default") if wish is None else (wish, "user")

    def sees_names(self, wishes: Wishes, user_id: str, conversation_id: str) -> bool:
        """Whether a user is told the names of those who have read."""
        return not self.reciprocal or self.sends(wishes, user_id, conversation_id)[0]

    def shown(self, wishes: Wishes, reader_id: str, conversation_id: str, *, crowd: bool) -> Shown:
        """How a reader's receipt is shown; *crowd*: see is_crowd()."""
        if self.sends(wishes, reader_id, conversation_id)[0]:
            return Shown.NAMED
        return Shown.COUNTED if crowd and self.count_hidden else Shown.UNCOUNTED


DEFAULT = Rules()
"""Those of an operator who has decided nothing."""


def is_crowd(kind: ConversationType, sent_to: int) -> bool:
    """Whether a message went to so many that a count without names gives nobody away.

    *sent_to* leaves the sender out, who is a member too.
    """
    return kind == "group" and sent_to + 1 >= CROWD
