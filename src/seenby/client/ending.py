"""Why a connection ended, and what that means: the close codes of section 3 of the contract."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from seenby.errors import (
    Forbidden,
    NotFound,
    Refused,
    SeenbyError,
    TokenExpired,
    Unauthenticated,
)

LOST = 1006
"""The connection broke without a close (RFC 6455, section 7.1.5)."""

NO_CODE = 1005
"""The other side closed without saying why (RFC 6455, section 7.1.5)."""

EXPIRED = 4001

OUR_FAULT = {1003, 1007, 1009}
"""What a WebSocket library itself closes with when it cannot use what it got (RFC 6455, 7.4.1)."""


class Ending(msgspec.Struct, frozen=True):
    """How a connection ended: the close code, and the reason in words."""

    code: int
    reason: str

    @property
    def at_once(self) -> bool:
        """The gateway is well and asks to be connected to again."""
        return 4000 <= self.code <= 4099  # noqa: PLR2004 -- the contract's range

    @property
    def final(self) -> bool:
        """Connecting again would end the same way."""
        in_range = 4400 <= self.code <= 4499  # noqa: PLR2004 -- the contract's range
        return in_range or self.code in OUR_FAULT

    def error(self) -> SeenbyError:
        """What an application is told that is not to connect again."""
        reason = self.reason or f"the gateway closed the connection with code {self.code}"
        match self.code:
            case 4001:
                return TokenExpired(reason)
            case 4401:
                return Unauthenticated(reason)
            case 4403:
                return Forbidden(reason)
            case _:
                return Refused(reason)


def of_handshake(status: int, url: str) -> Ending:
    """How an opening handshake ended that was answered with *status*.

    Raises:
        Refused: one of its kinds says why connecting again is of no use.
    """
    reason = f"the gateway at {url} refused the connection with status {status}"
    match status:
        case HTTPStatus.UNAUTHORIZED:
            raise Unauthenticated(reason)
        case HTTPStatus.FORBIDDEN:
            raise Forbidden(reason)
        case HTTPStatus.NOT_FOUND:
            raise NotFound(f"there is no gateway at {url}: its path is usually /ws")
        case HTTPStatus.TOO_MANY_REQUESTS | HTTPStatus.REQUEST_TIMEOUT:
            return Ending(LOST, reason)
        case _ if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise Refused(reason)
        case _:
            return Ending(LOST, reason)
