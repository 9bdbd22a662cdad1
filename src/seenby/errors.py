"""Every exception of seenby, and the one table that turns them into HTTP statuses.

::

    SeenbyError                 code, retriable
    ├── ConfigError             a setting is wrong: the start is refused, the setting is named
    ├── SchemaError             the database's schema is older or newer than this program
    ├── Refused                 the caller's fault: asking again the same way does not help
    │   ├── BadInput            a field is missing or has the wrong form; names the field
    │   ├── TooLarge            the body is over its limit
    │   ├── WrongMediaType      the body is not declared as JSON
    │   ├── Unauthenticated     no token, or one that does not hold
    │   │   └── TokenExpired    the token was good once
    │   ├── Forbidden           the token is good, but not for this
    │   ├── NotFound            there is no such thing
    │   ├── WrongMethod         the address exists, the method does not
    │   ├── Conflict            a repeat that names another sender or conversation
    │   ├── OwnMessage          a reader marks their own message
    │   ├── Mismatch            the registered message has another sender or conversation
    │   ├── TooLate             a receipt is older than what may be taken back
    │   └── PositionLost        a position cannot be served whole: start anew from the head
    ├── Overloaded              too many marks wait already; nothing was recorded
    ├── Draining                this instance is stopping; nothing was recorded
    ├── KeysUnavailable         the keys that check tokens cannot be fetched now
    ├── Unreachable             the client's: no answer from API or gateway
    ├── StoreUnavailable        the database did not answer; nothing was recorded
    ├── StoreRefused            the database refused the content of a batch
    ├── BusUnavailable          the bus did not take a batch; its outbox row stays
    └── BadEvent                a record on the bus cannot be decoded; it becomes a dead letter

``code`` is the stable word that clients see, ``retriable`` says whether the same request may
succeed later without a change.
"""

from __future__ import annotations

from typing import ClassVar


class SeenbyError(Exception):
    """Base of all errors that seenby raises on purpose. Its text is a sentence for a person."""

    code: ClassVar[str] = "internal"
    retriable: ClassVar[bool] = False

    @property
    def told(self) -> str:
        """What a caller is told; the text itself may show how the inside is made."""
        return str(self)


class ConfigError(SeenbyError):
    """A setting is missing, unknown or has the wrong form."""

    code = "config"


class SchemaError(SeenbyError):
    """The database's schema does not fit this program."""

    code = "schema"


class Refused(SeenbyError):
    """The request cannot be served as it stands."""

    code = "refused"


class BadInput(Refused):
    """A field is missing or has the wrong form.

    Args:
        field: the field's name as the caller wrote it, or ``body`` for the whole document.
        accepted: the accepted form, in words that complete "<field> must be ...".
    """

    code = "bad_request"

    def __init__(self, field: str, accepted: str) -> None:
        """Keep the field; the sentence is built from both."""
        super().__init__(f"{field} must be {accepted}")
        self.field = field
        self.accepted = accepted


class TooLarge(Refused):
    """The body is over its limit."""

    code = "too_large"


class WrongMediaType(Refused):
    """The body is not declared as JSON."""

    code = "unsupported_media_type"


class Unauthenticated(Refused):
    """No token, or one that does not hold."""

    code = "unauthenticated"


class TokenExpired(Unauthenticated):
    """The token was good once."""

    code = "token_expired"


class Forbidden(Refused):
    """The caller is known, and may not do this."""

    code = "forbidden"


class NotFound(Refused):
    """There is no such thing."""

    code = "not_found"


class WrongMethod(Refused):
    """The address exists, the method does not."""

    code = "method_not_allowed"


class Conflict(Refused):
    """A repeated mark names another sender or conversation than the first."""

    code = "conflict"


class OwnMessage(Refused):
    """A reader marks their own message as read."""

    code = "own_message"

    def __init__(
        self,
        message: str = "reader_id must not be the sender: one's own message is not marked",
    ) -> None:
        """There is but one way to do it, so there is one sentence for it."""
        super().__init__(message)


class Mismatch(Refused):
    """A field is not what the chat's backend has registered.

    Args:
        field: the field's name.
    """

    code = "mismatch"

    def __init__(self, field: str) -> None:
        """Name the field; what is registered is not told."""
        super().__init__(f"{field} must be the registered message's, or left out")
        self.field = field


class TooLate(Refused):
    """A receipt is older than the time in which it may be taken back."""

    code = "too_late"


class PositionLost(Refused):
    """A position cannot be served whole.

    Args:
        epoch: the epoch in force.
        seq: the stream's head; the caller goes on from there after reloading.
    """

    code = "reset"

    def __init__(self, message: str, *, epoch: str, seq: int) -> None:
        """Keep the position from which the caller may go on."""
        super().__init__(message)
        self.epoch = epoch
        self.seq = seq


class Overloaded(SeenbyError):
    """Too many marks wait already; nothing was recorded."""

    code = "too_many"
    retriable = True


class Draining(SeenbyError):
    """This instance is stopping; nothing was recorded. Another one may serve."""

    code = "draining"
    retriable = True


class KeysUnavailable(SeenbyError):
    """The keys that check tokens cannot be fetched now, so nobody can be let in or turned away."""

    code = "keys_unavailable"
    retriable = True


class Unreachable(SeenbyError):
    """API or gateway did not answer a client; what it asked for may have been done all the same."""

    code = "unreachable"
    retriable = True


class StoreUnavailable(SeenbyError):
    """The database did not answer in time; nothing was recorded."""

    code = "store_unavailable"
    retriable = True

    @property
    def told(self) -> str:
        """Without the driver's words, which name hosts and ports."""
        return "the database is not available now"


class StoreRefused(SeenbyError):
    """The database refused the content of a statement: one of the values does not fit."""

    code = "store_refused"

    @property
    def told(self) -> str:
        """Without the driver's words, which name tables and columns."""
        return "the database does not take one of the values"


class BusUnavailable(SeenbyError):
    """The bus did not acknowledge a batch; what it holds stays in the outbox."""

    code = "bus_unavailable"
    retriable = True


class BadEvent(SeenbyError):
    """A record on the bus cannot be an event; the text is the reason."""

    code = "bad_event"


HTTP_STATUS: dict[type[SeenbyError], int] = {
    Refused: 400,
    BadInput: 400,
    Unauthenticated: 401,
    TokenExpired: 401,
    Forbidden: 403,
    NotFound: 404,
    WrongMethod: 405,
    Conflict: 409,
    PositionLost: 410,
    TooLarge: 413,
    WrongMediaType: 415,
    OwnMessage: 422,
    Mismatch: 422,
    TooLate: 409,
    Overloaded: 429,
    Draining: 503,
    KeysUnavailable: 503,
    StoreUnavailable: 503,
    BusUnavailable: 503,
    StoreRefused: 500,
}
"""The answer's status for each error (contract, section 1). What is not here is a 500."""


def http_status(error: SeenbyError) -> int:
    """The HTTP status that answers *error*."""
    return HTTP_STATUS.get(type(error), 500)
