"""Whether the settings for Kafka's security fit together, and whether their files serve.

Like ``config``, which asks here: every problem with its variable and the accepted form, never with
a value. The names KAFKA_... are not ours alone, so without KAFKA_BROKERS nothing is looked at, and
a name that is nearly one of ours is warned of, not refused.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from seenby import pem
from seenby.settings import variables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from seenby.settings import Settings

PROTOCOL = "KAFKA_SECURITY_PROTOCOL"
LOGIN = ("KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD")
PASSWORD_FILE = "KAFKA_SASL_PASSWORD_FILE"  # noqa: S105 -- a variable's name
CA_FILE, CERT_FILE, KEY_FILE = "KAFKA_SSL_CA_FILE", "KAFKA_SSL_CERT_FILE", "KAFKA_SSL_KEY_FILE"
KEY_PASSWORD = "KAFKA_SSL_KEY_PASSWORD"  # noqa: S105 -- as above

_ACCEPTED = {variable.name: variable.accepted for variable in variables()}
_NEAR = ("KAFKA_SASL_", "KAFKA_SECURITY_", "KAFKA_SSL_")

Problem = tuple[set[str], str]
"""The variables involved, and the sentence."""


def contradictions(settings: Settings, values: Mapping[str, str]) -> Iterator[Problem]:
    """What is wrong although each setting alone is right; *values* are those that are set."""
    if not settings.kafka:
        return
    login, tls = settings.kafka_login, settings.kafka_tls
    for name in (*LOGIN, PASSWORD_FILE):
        if name in values and not login:
            # Not a warning: who forgets the protocol would speak in the clear.
            yield {name, PROTOCOL}, f"{PROTOCOL} must be SASL_SSL or SASL_PLAINTEXT with {name}"
    for name in (CA_FILE, CERT_FILE, KEY_FILE, KEY_PASSWORD):
        if name in values and not tls:
            yield {name, PROTOCOL}, f"{PROTOCOL} must be SSL or SASL_SSL with {name}"
    if login:
        yield from _wrong_login(settings, values)
    if tls:
        yield from _wrong_files(settings, values)


def _wrong_login(settings: Settings, values: Mapping[str, str]) -> Iterator[Problem]:
    protocol = settings.kafka_protocol
    password = LOGIN[2]
    if not settings.sasl_username:
        yield {PROTOCOL, LOGIN[1]}, f"{PROTOCOL}={protocol} needs {LOGIN[1]}"
    if password in values and PASSWORD_FILE in values:
        yield {password, PASSWORD_FILE}, f"only one of {password}, {PASSWORD_FILE} must be set"
    elif PASSWORD_FILE in values:
        if not settings.sasl_password:
            yield {PASSWORD_FILE}, f"{PASSWORD_FILE} must not be empty"
    elif not settings.sasl_password:
        yield {PROTOCOL, password}, f"{PROTOCOL}={protocol} needs {password} or {PASSWORD_FILE}"


def _wrong_files(settings: Settings, values: Mapping[str, str]) -> Iterator[Problem]:
    for name, path in ((CA_FILE, settings.kafka_ca_file), (CERT_FILE, settings.kafka_cert_file)):
        if path is not None and (why := pem.no_certificates(path)):
            yield {name}, f"{name} must be {_ACCEPTED[name]} ({why})"
            if name == CERT_FILE:
                return
    certificate, key = settings.kafka_cert_file, settings.kafka_key_file
    if certificate is None or key is None:
        for name, other in ((CERT_FILE, KEY_FILE), (KEY_FILE, CERT_FILE), (KEY_PASSWORD, KEY_FILE)):
            if name in values and other not in values:
                yield {name, other}, f"{name} needs {other}"
    elif why := pem.no_key(key, certificate, settings.kafka_key_password):
        yield {KEY_FILE, KEY_PASSWORD}, f"{KEY_FILE} must be {_ACCEPTED[KEY_FILE]} ({why})"


def warnings(settings: Settings, given: Mapping[str, str]) -> Iterator[str]:
    """Sentences that the start should log; *given* is the whole environment."""
    if not settings.kafka:
        return
    if settings.kafka_protocol == "SASL_PLAINTEXT" and settings.sasl_mechanism == "PLAIN":
        yield (
            f"{PROTOCOL} is SASL_PLAINTEXT with PLAIN: the password crosses the network in the "
            "clear"
        )
    for name in sorted(given):
        if name.startswith(_NEAR) and name not in _ACCEPTED:
            near = difflib.get_close_matches(name, _ACCEPTED, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            yield f"{name} is not a setting of seenby{hint}"
