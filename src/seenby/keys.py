"""The keys that check tokens: a shared secret, a public key in a file, or a set fetched by HTTP.

A key is bound to one algorithm from the moment it is known here, by its own type; what a token's
header says can select a key, never an algorithm for it, and never bring a key along (RFC 8725,
sections 2.1, 3.1 and 3.10).
"""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.error import HTTPError

import jwt
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from seenby.errors import ConfigError, KeysUnavailable, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from http.client import HTTPResponse

REFETCH_AFTER = 30.0
"""Seconds between fetches for keys that are not known: anyone can name one in a token."""

RETRY_AFTER = 5.0
"""Seconds between fetches while they fail."""

MAX_AGE = 600.0
"""Seconds after which the set is fetched again, so that a key taken out of it ends."""

FETCH_TIMEOUT = 5.0
"""Seconds that a fetch may take."""

FETCH_BYTES_MAX = 1024 * 1024
"""Bytes that a set of keys may have."""

RSA_BITS_MIN = 2048
"""The shortest RSA key (RFC 7518, section 3.3)."""

log = structlog.get_logger()


class Key(NamedTuple):
    """A key and the one algorithm it is used with."""

    algorithm: str
    material: Any


class Keys(Protocol):
    """Finds the key for a token."""

    async def find(self, kid: str | None, now: float) -> Key:
        """The key of that id (None: the token names none).

        Raises:
            Unauthenticated: there is no such key.
            KeysUnavailable: it cannot be found out now.
        """
        ...


class OneKey:
    """The same key for every token, whatever id it names."""

    def __init__(self, key: Key) -> None:
        self._key = key

    async def find(self, kid: str | None, now: float) -> Key:  # noqa: ARG002 -- see Keys
        """The one key."""
        return self._key


def from_pem(pem: str, algorithms: Collection[str], variable: str) -> Key:
    """The public key in *pem*.

    Args:
        pem: the file's content.
        algorithms: those that may be used.
        variable: the setting to name when the key does not serve.

    Raises:
        ConfigError: no public key, or none that fits the algorithms.
    """
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(f"{variable} must be a PEM file with a public key") from None
    algorithm = _algorithm_for(key)
    if algorithm not in algorithms:
        raise ConfigError(
            f"{variable} must be a PEM file with a public key for {' or '.join(algorithms)}: RSA "
            f"of {RSA_BITS_MIN} bits or more for RS256, the curve P-256 for ES256"
        )
    return Key(algorithm, key)


def _algorithm_for(key: object) -> str:
    """The algorithm that fits the key's own type; "" when none does."""
    if isinstance(key, RSAPublicKey):
        return "RS256" if key.key_size >= RSA_BITS_MIN else ""
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return "ES256"
    return ""


class FetchedKeys:
    """A JWK set (RFC 7517) that is fetched when needed, in a thread, and kept.

    There is one fetch at a time, whoever asks. A set that has grown old goes on serving while it
    is fetched again, and for as long as that fails: nobody waits for a key that is known.

    Args:
        url: where the set is; checked by the settings.
        algorithms: those that may be used.
        fetch: gets the bytes at an address; raises OSError.
    """

    def __init__(
        self, url: str, algorithms: Collection[str], fetch: Callable[[str], bytes] | None = None
    ) -> None:
        """Nothing is fetched before the first token."""
        self._url = url
        self._algorithms = algorithms
        self._fetch = fetch or fetched
        self._keys: list[tuple[str | None, Key]] = []
        self._fetched_at = self._tried_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str | None, now: float) -> Key:
        """See Keys. Without an id the key is found if the set holds no other."""
        key = self._known(kid)
        if key is None or now - self._fetched_at > MAX_AGE:
            self._refresh(now)
        if key is None and self._fetching is not None:
            await asyncio.wait([self._fetching], timeout=FETCH_TIMEOUT)
            key = self._known(kid)
        if key is not None:
            return key
        if self._tried_at > self._fetched_at:
            raise KeysUnavailable("the keys that check tokens cannot be fetched now")
        raise Unauthenticated("the token is signed with a key that is not known here")

    def _known(self, kid: str | None) -> Key | None:
        if kid is None:
            return self._keys[0][1] if len(self._keys) == 1 else None
        return next((key for known, key in self._keys if known == kid), None)

    def _refresh(self, now: float) -> None:
        """Begin to fetch the set, unless that was done, or tried, a short while ago."""
        lately = now - self._fetched_at < REFETCH_AFTER or now - self._tried_at < RETRY_AFTER
        if self._fetching is None and not lately:
            self._tried_at = now
            self._fetching = asyncio.create_task(self._fetch_set(now), name="keys")

    async def _fetch_set(self, now: float) -> None:
        try:
            body = await asyncio.to_thread(self._fetch, self._url)
            keys = read_set(body, self._algorithms)
        except (OSError, HTTPException, ValueError) as error:
            log.warning("keys_not_fetched", url=self._url, why=str(error))
        else:
            if not keys:
                log.warning("keys_not_usable", url=self._url, algorithms=list(self._algorithms))
            self._keys = keys
            self._fetched_at = now
        finally:
            self._fetching = None


def read_set(body: bytes, algorithms: Collection[str]) -> list[tuple[str | None, Key]]:
    """The keys of a JWK set that may be used here; others are not ours to complain about.

    Raises:
        ValueError: it is no JWK set.
    """
    try:
        document = json.loads(body)
    except RecursionError:
        document = None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("not a JWK set")  # noqa: TRY004 -- wrong content, not a wrong argument
    keys: list[tuple[str | None, Key]] = []
    for entry in entries:
        # "d" is in private keys only; "oct" would be a shared secret for all the world to see.
        if not isinstance(entry, dict) or "d" in entry or entry.get("use", "sig") != "sig":
            continue
        algorithm = {"RSA": "RS256", "EC": "ES256"}.get(str(entry.get("kty")), "")
        if algorithm not in algorithms or entry.get("alg", algorithm) != algorithm:
            continue
        try:
            material = jwt.PyJWK(entry, algorithm).key
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        if _algorithm_for(material) == algorithm:
            kid = entry.get("kid")
            keys.append((kid if isinstance(kid, str) else None, Key(algorithm, material)))
    return keys


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The address in the settings is the one that was checked; another would not be."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


def fetched(url: str) -> bytes:
    """The bytes at *url*; blocks for FETCH_TIMEOUT at each step, and in all for little more.

    Raises:
        OSError: unreachable, refused, too slow, or too long.
    """
    end = time.monotonic() + FETCH_TIMEOUT
    opener = urllib.request.build_opener(_NoRedirect)
    body = bytearray()
    response: HTTPResponse
    try:
        with opener.open(url, timeout=FETCH_TIMEOUT) as response:
            while piece := response.read1(FETCH_BYTES_MAX):
                body += piece
                if len(body) > FETCH_BYTES_MAX:
                    raise OSError(f"the set of keys is over {FETCH_BYTES_MAX} bytes")
                if time.monotonic() > end:
                    raise TimeoutError(f"the set of keys takes over {FETCH_TIMEOUT:g} seconds")
    except HTTPError as error:
        # It is an answer too, with a socket that would stay open until the garbage is collected.
        error.close()
        raise
    return bytes(body)
