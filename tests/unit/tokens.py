"""Keys and tokens for the tests, made by hand where a library would refuse to."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

SECRET = "correct-horse-battery-staple-1234"
NOW = 1_704_067_200.0

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@functools.cache
def rsa_key(number: int = 0, bits: int = 2048) -> rsa.RSAPrivateKey:
    """An RSA key of that many bits; the same one for the same number."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@functools.cache
def ec_key(number: int = 0) -> ec.EllipticCurvePrivateKey:
    """A key on P-256; the same one for the same number."""
    return ec.generate_private_key(ec.SECP256R1())


def public_pem(key: PrivateKey) -> str:
    """The public half, as it is written into a file."""
    form = PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(Encoding.PEM, form).decode()


def jwk(key: PrivateKey, **more: Any) -> dict[str, Any]:
    """The public half, as an entry of a JWK set."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        return {**RSAAlgorithm.to_jwk(public, as_dict=True), **more}
    return {**ECAlgorithm.to_jwk(public, as_dict=True), **more}


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of user123 for an hour, with some changed; None takes one away."""
    changed = {"sub": "user123", "exp": int(NOW) + 3600} | changes
    return {name: value for name, value in changed.items() if value is not None}


def signed(
    key: PrivateKey | str = SECRET, algorithm: str = "", kid: str | None = None, **changes: Any
) -> str:
    """A token with claims(**changes), signed as fits the key."""
    fitting = "ES256"
    if isinstance(key, str):
        fitting = "HS256"
    elif isinstance(key, rsa.RSAPrivateKey):
        fitting = "RS256"
    header = None if kid is None else {"kid": kid}
    return jwt.encode(claims(**changes), key, algorithm=algorithm or fitting, headers=header)


def encoded(part: Any) -> str:
    """One part of a token: bytes as they are, anything else as JSON."""
    text = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def forged(header: Any, payload: Any, secret: str = SECRET) -> str:
    """A token signed with HMAC-SHA256, whatever it holds and whatever the secret is."""
    signed_part = f"{encoded(header)}.{encoded(payload)}"
    mac = hmac.new(secret.encode(), signed_part.encode(), hashlib.sha256).digest()
    return f"{signed_part}.{encoded(mac)}"
