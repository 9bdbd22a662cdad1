"""From the environment to settings that fit together; the only reader of the environment.

``load`` either returns settings or says everything that is wrong with them at once, each problem
with its variable and the accepted form, and never with the value.

A variable that is empty counts as not set. Names that begin with SEENBY_ are ours alone, so one
that is not known is a slip and refused; SEENBY_TEST_ is left to the tests, SEENBY_BENCH_TOKEN to
``seenby bench``. Kubernetes adds variables for each of its Services, under names that may look like
ours (SEENBY_API_PORT=tcp://... for a Service called seenby-api): those are skipped, with a warning.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import socket
from typing import TYPE_CHECKING

from pydantic import ValidationError

from seenby import kafka_settings
from seenby.errors import ConfigError
from seenby.settings import SECRET_BYTES_MIN, Settings, in_url, variables

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Settings", "load"]

WITH_SECRET = ("HS256",)
"""Algorithms for a shared secret: whoever checks a token can also make one."""

WITH_PUBLIC_KEY = ("RS256", "ES256")
"""Algorithms for a public key. No list holds both kinds (RFC 8725, section 3.1)."""

_LOCALHOST = "localhost"

_KNOWN = {variable.name: variable for variable in variables()}


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings in *environ*; default: the process's environment.

    Raises:
        ConfigError: with every problem on a line of its own.
    """
    settings, problems = read(environ)
    if problems:
        raise ConfigError("\n".join(problems))
    return settings


def read(environ: Mapping[str, str] | None = None) -> tuple[Settings, list[str]]:
    """The settings in *environ* as far as they are right, and everything that is wrong.

    What has not the right form is at its default here: for telling what else is right, not for
    running with it.
    """
    given = dict(os.environ if environ is None else environ)
    from_kubernetes = sorted(name for name, value in given.items() if _of_kubernetes(name, value))
    for name in from_kubernetes:
        del given[name]
    problems = _unknown(given)
    values = {name: given[name] for name in _KNOWN if given.get(name, "").strip()}

    settings, wrong = _built(values)
    problems += [f"{name} must be {_KNOWN[name].accepted}" for name in wrong]
    settings = _completed(settings)
    settings, unread = _with_files(settings)
    problems += unread.values()
    for involved, problem in _contradictions(settings, values):
        if not involved & {*wrong, *unread}:
            problems.append(problem)
    warnings = (
        *_warnings(settings, values, from_kubernetes),
        *kafka_settings.warnings(settings, given),
    )
    return settings.model_copy(update={"warnings": warnings}), problems


_KUBERNETES = re.compile(
    r"SEENBY_(?:\w+_)?(?:"
    r"SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)


def _of_kubernetes(name: str, value: str) -> bool:
    """Whether Kubernetes made this variable for a Service whose name begins with seenby."""
    if _KUBERNETES.fullmatch(name) is not None:
        return True
    is_address = re.match(r"(?:tcp|udp|sctp)://", value) is not None
    return is_address and re.fullmatch(r"SEENBY_(?:\w+_)?PORT", name) is not None


def _unknown(given: Mapping[str, str]) -> list[str]:
    problems = []
    for name in sorted(given):
        if not name.upper().startswith("SEENBY_") or name in _KNOWN:
            continue
        if name.startswith("SEENBY_TEST_") or name == "SEENBY_BENCH_TOKEN":
            continue
        near = difflib.get_close_matches(name.upper(), _KNOWN, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        problems.append(f"{name} is not a setting of seenby{hint}")
    return problems


def _built(values: dict[str, str]) -> tuple[Settings, dict[str, None]]:
    """Settings from the values that have the right form, and the names of the others in order."""
    try:
        return Settings.model_validate(values), {}
    except ValidationError as error:
        wrong = dict.fromkeys(str(problem["loc"][0]) for problem in error.errors())
        right = {name: value for name, value in values.items() if name not in wrong}
        return Settings.model_validate(right), wrong


def _completed(settings: Settings) -> Settings:
    """With the defaults that depend on other settings or on where this process runs."""
    host = settings.gateway_host
    if host in {"0.0.0.0", "::"}:  # noqa: S104 -- an address to leave out, not to listen on
        host = _LOCALHOST
    here = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:48]
    algorithms = (
        WITH_SECRET
        if settings.jwt_key_file is None and not settings.jwt_jwks_url
        else WITH_PUBLIC_KEY
    )
    return settings.model_copy(
        update={
            "gateway_topic": settings.gateway_topic or settings.topic,
            "gateway_url": settings.gateway_url
            or f"ws://{in_url(host)}:{settings.gateway_port}/ws",
            "node": settings.node or f"{here}-{os.getpid()}",
            "jwt_algorithms": settings.jwt_algorithms or algorithms,
        }
    )


def _with_files(settings: Settings) -> tuple[Settings, dict[str, str]]:
    """The settings with the contents of the files they name; by variable, what is wrong there."""
    problems: dict[str, str] = {}
    contents: dict[str, str] = {}
    for field, variable, path in (
        ("jwt_secret", "SEENBY_JWT_SECRET_FILE", settings.jwt_secret_file),
        ("jwt_key", "SEENBY_JWT_KEY_FILE", settings.jwt_key_file),
        ("sasl_password", "KAFKA_SASL_PASSWORD_FILE", settings.sasl_password_file),
    ):
        if path is None:
            continue
        try:
            contents[field] = path.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not a text"
            accepted = _KNOWN[variable].accepted
            problems[variable] = f"{variable} must be {accepted} ({why})"
    return settings.model_copy(update=contents), problems


Problem = tuple[set[str], str]
"""The variables involved, and the sentence. Nothing is said about what a wrong one leads to."""


def _contradictions(settings: Settings, values: Mapping[str, str]) -> list[Problem]:
    """What is wrong although each setting alone is right."""
    problems: list[Problem] = []
    if settings.auth == "off" and not settings.insecure:
        for variable, host in (
            ("SEENBY_API_HOST", settings.api_host),
            ("SEENBY_GATEWAY_HOST", settings.gateway_host),
        ):
            if not is_loopback(host):
                sentence = (
                    f"{variable} must be a loopback address while SEENBY_AUTH is off: set "
                    "SEENBY_AUTH=jwt, or SEENBY_INSECURE=1 if anyone may act for everyone"
                )
                problems.append(({variable, "SEENBY_AUTH", "SEENBY_INSECURE"}, sentence))
    topics = {
        "READ_RECEIPT_TOPIC": settings.topic,
        "READ_RECEIPT_UPDATES_TOPIC": settings.updates_topic,
        "KAFKA_GROUP_MSG_TOPIC": settings.messages_topic,
    }
    if len(set(topics.values())) < len(topics):
        problems.append(({*topics}, f"{', '.join(topics)} must be three different topics"))
    problems += kafka_settings.contradictions(settings, values)
    return problems + _wrong_keys(settings, values)


_KEYS = (
    "SEENBY_JWT_SECRET",
    "SEENBY_JWT_SECRET_FILE",
    "SEENBY_JWT_KEY_FILE",
    "SEENBY_JWT_JWKS_URL",
)


def _wrong_keys(settings: Settings, values: Mapping[str, str]) -> list[Problem]:
    keys = {name for name in _KEYS if name in values}
    if len(keys) > 1:
        return [(keys, f"only one of {', '.join(_KEYS)} must be set, not {len(keys)}")]
    if not keys:
        if settings.auth == "off":
            return []
        return [({"SEENBY_AUTH", *_KEYS}, f"SEENBY_AUTH=jwt needs one of {', '.join(_KEYS)}")]
    problems: list[Problem] = []
    [key] = keys
    if settings.jwt_secret and len(settings.jwt_secret.encode()) < SECRET_BYTES_MIN:
        accepted = _KNOWN["SEENBY_JWT_SECRET"].accepted
        problems.append((keys, f"the secret in {key} must be {accepted}"))
    if key == "SEENBY_JWT_SECRET_FILE" and not settings.jwt_secret:
        problems.append((keys, f"{key} must not be empty"))
    if key == "SEENBY_JWT_JWKS_URL" and not _may_fetch(settings.jwt_jwks_url, settings.insecure):
        problems.append((keys, f"{key} must be {_KNOWN[key].accepted}"))
    fitting = WITH_SECRET if "SECRET" in key else WITH_PUBLIC_KEY
    if not set(settings.jwt_algorithms) <= set(fitting):
        name = "SEENBY_JWT_ALGORITHMS"
        problems.append(({name}, f"{name} must be {_KNOWN[name].accepted}"))
    return problems


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that host, so far as its name tells."""
    if host == _LOCALHOST:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _may_fetch(url: str, insecure: bool) -> bool:  # noqa: FBT001 -- a setting's value
    """Whether keys may come from *url*: whoever can change them on the way makes any token."""
    found = re.fullmatch(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::\d{1,5})?(?:/\S*)?", url)
    if found is None:
        return False
    return found[1] == "https" or insecure or is_loopback(found[2].strip("[]"))


def _warnings(
    settings: Settings, values: Mapping[str, str], from_kubernetes: list[str]
) -> tuple[str, ...]:
    sentences = []
    if from_kubernetes:
        names = ", ".join(from_kubernetes)
        sentences.append(f"skipped, as Kubernetes makes them for a Service: {names}")
    unused = sorted(name for name in values if name.startswith("SEENBY_JWT_"))
    if unused and settings.auth == "off":
        sentences.append(f"not used while SEENBY_AUTH is off: {', '.join(unused)}")
    if settings.kafka_brokers and not settings.kafka_enabled:
        sentences.append("not used while READ_RECEIPT_KAFKA_ENABLED is false: KAFKA_BROKERS")
    if not settings.push_receipts:
        sentences.append("ENABLE_READ_RECEIPTS is false: gateways push nothing")
    if settings.insecure and settings.auth == "off":
        sentences.append("SEENBY_INSECURE is set: anyone who reaches a port may act for everyone")
    return tuple(sentences)
