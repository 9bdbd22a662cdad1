"""Why the gateway closes a socket: one closed table of codes (contract, section 3).

4000-4099: reconnect and resume. 4400-4499: do not reconnect. The codes are an API: clients decide
by the range, people read the reason.
"""

from __future__ import annotations

from typing import NamedTuple

from seenby.errors import Forbidden, SeenbyError, TokenExpired, Unauthenticated


class Disconnect(NamedTuple):
    """A close code and its reason; the reason fits a close frame (123 bytes)."""

    code: int
    reason: str


DRAIN = Disconnect(4000, "this gateway is going away: reconnect and resume")
EPOCH_CHANGED = Disconnect(4000, "a new epoch has begun: reconnect, your position will be reset")
EXPIRED = Disconnect(4001, "the token has expired: reconnect with a new one")
SILENT = Disconnect(4002, "nothing was heard from the client for too long: reconnect and resume")
SLOW = Disconnect(4008, "the client reads more slowly than receipts come: reconnect and resume")
TRY_LATER = Disconnect(1013, "the gateway cannot serve this now: reconnect after a pause")
BAD_FRAMES = Disconnect(4400, "too many frames that cannot be used")
SILENT_SPOKE = Disconnect(4400, "data frames need the subprotocol seenby.v1")
TOO_LONG = Disconnect(4400, "the message is over 64 KiB")
NOT_TEXT = Disconnect(4400, "only text frames are understood")
BROKEN_FRAGMENTS = Disconnect(4400, "the fragments do not make one message")
NOT_UTF8 = Disconnect(4400, "the text is not UTF-8")
RESERVED_BITS = Disconnect(4400, "reserved bits are set and no extension was agreed on")
NO_TOKEN = Disconnect(4401, "a token is needed: in the Authorization header or in hello")
NO_HELLO = Disconnect(4401, "no hello with a token within 10 seconds")
TOO_MANY = Disconnect(4429, "this user has too many connections to this gateway")


def for_error(error: SeenbyError) -> Disconnect:
    """The disconnect that answers *error* where the session cannot go on."""
    match error:
        case TokenExpired():
            return EXPIRED
        case Unauthenticated():
            return Disconnect(4401, _cut(str(error)))
        case Forbidden():
            return Disconnect(4403, _cut(str(error)))
        case _ if error.retriable:
            return TRY_LATER
        case _:
            return Disconnect(4400, _cut(str(error)))


def _cut(reason: str) -> str:
    """A close frame holds at most 125 bytes, two of them the code (RFC 6455, section 5.5)."""
    return reason.encode()[:123].decode(errors="ignore")
