"""Who is calling, and for whom they may act."""

from __future__ import annotations

import msgspec

from seenby.errors import Forbidden


class Caller(msgspec.Struct, frozen=True):
    """Someone whose right to ask has been checked.

    Attributes:
        user_id: the user; "" for nobody in particular.
        everyone: may act for anyone: authentication is off, or the token's scope is `service`.
        expires_at: until when this holds, in unix seconds; None for ever.
    """

    user_id: str
    everyone: bool
    expires_at: float | None

    def may_act_for(self, user_id: str) -> bool:
        """Whether this caller may read and mark as *user_id*."""
        return self.everyone or self.user_id == user_id

    def must_act_for(self, user_id: str) -> None:
        """Return when this caller may act for *user_id*; raises Forbidden when not."""
        if not self.may_act_for(user_id):
            raise Forbidden(
                "this is open to the user it is about only: user_id must be the token's user"
            )
