"""Who is calling, and for whom they may act.

A token is a JWT (RFC 7519, checked as RFC 8725 asks): signed with a key of ours, not expired,
from the issuer and for the audience in the settings. ``sub`` is the user; the scope ``service``
may act for anyone. What a sentence here says never holds a part of a token.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import jwt

from seenby import inputs
from seenby.errors import BadInput, ConfigError, TokenExpired, Unauthenticated
from seenby.keys import FetchedKeys, Key, OneKey, from_pem
from seenby.model import ANYONE, Caller

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seenby.config import Settings
    from seenby.keys import Keys

SERVICE = "service"
"""The scope that may act for anyone."""

TOKEN_MAX = 8 * 1024
"""Characters of a token: an HTTP header line cannot be longer either."""

CACHED_TOKENS = 10_000
"""Tokens whose check is remembered: users that mark within the same few minutes."""

CACHED_SECONDS = 300.0
"""For how long: a key taken out of use ends its tokens after that at the latest."""


def bearer(authorization: str) -> str | None:
    """The token in an Authorization header; None when it holds none (RFC 6750, section 2.1)."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


class Authenticator(Protocol):
    """Tells who a token's bearer is."""

    async def authenticate(self, token: str | None, now: float) -> Caller:
        """The bearer of *token* (None: there is none) at *now* (unix seconds).

        Raises:
            Unauthenticated: the token is missing or does not hold.
            TokenExpired: it held once.
            KeysUnavailable: it cannot be found out now.
        """
        ...


class QuickAuthenticator(Authenticator, Protocol):
    """One that need not be waited for when it has the answer at hand."""

    def known(self, token: str | None, now: float) -> Caller | None:
        """The bearer of *token*; None where authenticate() has to be asked."""
        ...


class AuthOff:
    """Anyone may act for everyone; tokens are not looked at."""

    def known(self, token: str | None, now: float) -> Caller:  # noqa: ARG002 -- see QuickAuthenticator
        """Anyone."""
        return ANYONE

    async def authenticate(self, token: str | None, now: float) -> Caller:  # noqa: ARG002 -- see Authenticator
        """Anyone."""
        return ANYONE


class JwtAuth:
    """Checks tokens.

    A token that was checked is remembered for some minutes, never past its end: a mark then
    costs 0.2 us for knowing its caller, where a signature costs 10 (HS256) to 100 (ES256).

    Args:
        keys: finds the key for a token.
        issuer: the required ``iss``; "" for any.
        audience: the required ``aud``; "" for any.
        leeway: seconds by which the issuer's clock may differ.
    """

    def __init__(
        self, keys: Keys, *, issuer: str = "", audience: str = "", leeway: float = 0.0
    ) -> None:
        """Nothing is fetched before the first token."""
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._leeway = leeway
        self._checked: dict[str, tuple[Caller, float]] = {}
        self._signatures = jwt.PyJWT(_SIGNATURE_ONLY)

    async def authenticate(self, token: str | None, now: float) -> Caller:
        """See Authenticator."""
        if token is None:
            raise Unauthenticated("a token is needed: Authorization: Bearer <token>")
        known = self.known(token, now)
        if known is not None:
            return known
        # Asked for again, it is put at the end of those to be forgotten.
        self._checked.pop(token, None)
        caller = self._caller(await self._claims(token, now), now)
        if len(self._checked) >= CACHED_TOKENS:
            del self._checked[next(iter(self._checked))]
        self._checked[token] = caller, min(caller.expires_at or math.inf, now + CACHED_SECONDS)
        return caller

    def known(self, token: str | None, now: float) -> Caller | None:
        """See QuickAuthenticator."""
        caller, until = self._checked.get(token or "", (None, 0.0))
        return caller if now < until else None

    async def _claims(self, token: str, now: float) -> dict[str, Any]:
        """What a token says, once its signature holds."""
        if len(token) > TOKEN_MAX:
            raise Unauthenticated("the token is too long")
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise Unauthenticated("the token is not a JWT") from None
        if "crit" in header:
            raise Unauthenticated("the token needs an extension that is not known here")
        key = await self._keys.find(header.get("kid"), now)
        if header.get("alg") != key.algorithm:
            raise Unauthenticated(f"the token must be signed with {key.algorithm}")
        try:
            return self._signatures.decode(token, key.material, algorithms=[key.algorithm])
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise Unauthenticated("the token's signature does not hold") from None

    def _caller(self, claims: Mapping[str, Any], now: float) -> Caller:
        """Who the claims speak of, once all of them hold."""
        expires = _time(claims, "exp")
        if expires is None:
            raise Unauthenticated("the token must say when it expires (exp)")
        if now >= expires + self._leeway:
            raise TokenExpired("the token has expired")
        begins = _time(claims, "nbf")
        if begins is not None and now + self._leeway < begins:
            raise Unauthenticated("the token is not valid yet (nbf)")
        if self._issuer and claims.get("iss") != self._issuer:
            raise Unauthenticated("the token is from another issuer (iss)")
        if self._audience and self._audience not in _texts(claims.get("aud"), None):
            raise Unauthenticated("the token is for another audience (aud)")
        everyone = SERVICE in _texts(claims.get("scope"), " ")
        return Caller(_user(claims.get("sub"), optional=everyone), everyone, expires + self._leeway)


def make_authenticator(settings: Settings) -> QuickAuthenticator:
    """Whoever the settings want to ask for tokens.

    Raises:
        ConfigError: the key file holds no key that serves.
    """
    if settings.auth == "off":
        return AuthOff()
    return JwtAuth(
        _keys(settings),
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        leeway=settings.jwt_leeway,
    )


def make_token(settings: Settings, *, user_id: str, scope: str = "", ttl: float, now: float) -> str:
    """A token for trying out, signed with the shared secret.

    Args:
        settings: where the secret is, and which issuer and audience are asked for.
        user_id: the user it is for; "" for a service that is nobody in particular.
        scope: "" or ``service``.
        ttl: seconds for which it holds.
        now: unix seconds.

    Raises:
        ConfigError: there is no shared secret, so only the issuer can make tokens.
    """
    if not settings.jwt_secret:
        raise ConfigError(
            "a token can be made with a shared secret only: set SEENBY_JWT_SECRET or "
            "SEENBY_JWT_SECRET_FILE, or ask whoever holds the private key"
        )
    claims: dict[str, Any] = {"iat": int(now), "exp": math.ceil(now + ttl)}
    if user_id or scope != SERVICE:
        claims["sub"] = inputs.user_id(user_id)
    more = {"scope": scope, "iss": settings.jwt_issuer, "aud": settings.jwt_audience}
    claims |= {name: value for name, value in more.items() if value}
    return jwt.encode(claims, settings.jwt_secret, algorithm="HS256")


_SIGNATURE_ONLY: Any = {
    # The claims are checked here, against a time that is an argument.
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


def _keys(settings: Settings) -> Keys:
    if settings.jwt_secret:
        return OneKey(Key("HS256", settings.jwt_secret.encode()))
    if settings.jwt_jwks_url:
        return FetchedKeys(settings.jwt_jwks_url, settings.jwt_algorithms)
    return OneKey(from_pem(settings.jwt_key, settings.jwt_algorithms, "SEENBY_JWT_KEY_FILE"))


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    """A claim that is a time in unix seconds; None when it is not there."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        raise Unauthenticated(f"the token's {name} must be a time in unix seconds")
    return float(value)


def _texts(value: object, separator: str | None) -> list[object]:
    """A claim that is a text or a list of texts, as a list."""
    if isinstance(value, str):
        return [value] if separator is None else list(value.split(separator))
    return value if isinstance(value, list) else []


def _user(sub: object, *, optional: bool) -> str:
    if sub is None and optional:
        return ""
    try:
        return inputs.user_id(sub if isinstance(sub, str) else "", "the token's sub")
    except BadInput as problem:
        if optional:
            return ""
        raise Unauthenticated(str(problem)) from None
