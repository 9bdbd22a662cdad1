"""Whether PEM files are what a setting says they are, found out before anything needs them.

Every function returns why a file cannot be used, in words that complete "... must be ... (why)",
or "" when it can. Nothing of a file's content is repeated.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MISMATCH = "KEY_VALUES_MISMATCH"
"""OpenSSL's name for a private key that is another certificate's."""


def unreadable(path: Path) -> str:
    """Why *path* cannot be read."""
    try:
        path.read_bytes()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def no_certificates(path: Path) -> str:
    """Why *path* holds no certificates."""
    if why := unreadable(path):
        return why
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        return "it holds no certificate"
    return ""


def no_key(path: Path, certificate: Path, password: str = "") -> str:
    """Why *path* does not hold the private key of *certificate*, which is one.

    Args:
        path: the key.
        certificate: a file that ``no_certificates`` has nothing against.
        password: opens the key, if it is encrypted.
    """
    if why := unreadable(path):
        return why
    try:
        # As a function: without any password OpenSSL would ask for one on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(
            certificate, path, password=lambda: password
        )
    except ssl.SSLError as error:
        if error.reason == MISMATCH:
            return "it is the key of another certificate"
        return "it holds no key, or its password is missing or wrong"
    return ""
