"""Every setting: its variable, its form, its default, and what it is for.

Forms (``forms``) are checked one by one here; whether settings fit together, and where they come
from, is ``config``'s. ``accepted`` completes "<variable> must be ..." and is all that is said
about a wrong value: a value may hold a secret, if only by a slip.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from seenby.forms import (
    Algorithms,
    Brokers,
    DatabaseUrl,
    Days,
    Host,
    HttpUrl,
    Mechanism,
    Name,
    Origins,
    Protocol,
    Secret,
    SocketUrl,
    Topic,
)

SECRET_BYTES_MIN = 32
"""A shared secret is at least as long as the hash's output (RFC 7518, section 3.2)."""

_BOOLEAN = "true or false (also 1, 0, yes, no, on, off)"
_HOST = "a host name or an address, without a port"
_TOPIC = "a name of up to 200 letters, digits, dots, underscores and hyphens"
_NAME = "up to 64 letters, digits, dots, underscores and hyphens"
_TEXT = "a text"
_FILE = "a file that can be read"


def _setting(variable: str, description: str, accepted: str, **more: Any) -> Any:
    """A field that comes from *variable*; *accepted* completes "<variable> must be ..."."""
    return Field(
        validation_alias=variable,
        description=description,
        json_schema_extra={"accepted": accepted},
        **more,
    )


def _whole(variable: str, default: int, low: int, high: int, description: str) -> Any:
    accepted = f"a whole number from {low} to {high}"
    return _setting(variable, description, accepted, default=default, ge=low, le=high)


def _seconds(variable: str, default: float, high: int, description: str) -> Any:
    accepted = f"a number of seconds from 0 to {high}"
    return _setting(variable, description, accepted, default=default, ge=0, le=high)


class Settings(BaseModel):
    """Settings that fit together: ``config.load`` sees to that, and makes them.

    No BaseSettings: that reads the environment by itself, and its import costs 50 ms and 5 MB.
    """

    model_config = ConfigDict(
        frozen=True, str_strip_whitespace=True, hide_input_in_errors=True, allow_inf_nan=False
    )

    # The seed's names

    kafka_brokers: Brokers = _setting(
        "KAFKA_BROKERS",
        "Kafka's addresses. Empty: no Kafka, the bus is inside the process.",
        "a list of host:port, separated by commas",
        default="",
    )
    kafka_enabled: bool = _setting(
        "READ_RECEIPT_KAFKA_ENABLED",
        "Whether receipts are published to Kafka.",
        _BOOLEAN,
        default=True,
    )
    topic: Topic = _setting(
        "READ_RECEIPT_TOPIC",
        "The topic that receipts are published to.",
        _TOPIC,
        default="read_receipt_events",
    )
    gateway_topic: Topic = _setting(
        "KAFKA_READ_RECEIPT_TOPIC",
        "The topic that the gateway reads. Default: READ_RECEIPT_TOPIC.",
        _TOPIC,
        default="",
    )
    updates_topic: Topic = _setting(
        "READ_RECEIPT_UPDATES_TOPIC",
        "The topic for everything that is not a plain receipt.",
        _TOPIC,
        default="read_receipt_updates",
    )
    receipts_group: Topic = _setting(
        "KAFKA_READ_RECEIPT_GROUP_ID",
        "The gateways' group for receipts; each commits its offsets under <group>.<node>.",
        _TOPIC,
        default="gateway-read-receipts",
    )
    push_receipts: bool = _setting(
        "ENABLE_READ_RECEIPTS",
        "Whether the gateway pushes receipts at all.",
        _BOOLEAN,
        default=True,
    )
    messages_topic: Topic = _setting(
        "KAFKA_GROUP_MSG_TOPIC",
        "The chat's topic of messages: those of registered conversations are registered from it.",
        _TOPIC,
        default="group_msg",
    )
    messages_group: Topic = _setting(
        "KAFKA_GROUP_ID",
        "The consumer group under which that topic is read.",
        _TOPIC,
        default="gateway-nodes",
    )
    kafka_protocol: Protocol = _setting(
        "KAFKA_SECURITY_PROTOCOL",
        "How Kafka is spoken to: in the clear or by TLS (SSL), without or with a login (SASL).",
        "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL",
        default="PLAINTEXT",
    )
    sasl_mechanism: Mechanism = _setting(
        "KAFKA_SASL_MECHANISM",
        "How the login is proved. Only PLAIN shows the password to the broker.",
        "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
        default="SCRAM-SHA-512",
    )
    sasl_username: str = _setting(
        "KAFKA_SASL_USERNAME", "The login's name at Kafka.", _TEXT, default=""
    )
    sasl_password: Secret = _setting(
        "KAFKA_SASL_PASSWORD", "The login's password.", _TEXT, default="", repr=False
    )
    sasl_password_file: Path | None = _setting(
        "KAFKA_SASL_PASSWORD_FILE",
        "A file with that password, instead of KAFKA_SASL_PASSWORD.",
        _FILE,
        default=None,
    )
    kafka_ca_file: Path | None = _setting(
        "KAFKA_SSL_CA_FILE",
        "The authorities whose certificates the brokers may have. Default: the system's.",
        "a PEM file with certificates",
        default=None,
    )
    kafka_cert_file: Path | None = _setting(
        "KAFKA_SSL_CERT_FILE",
        "The certificate that seenby shows to brokers that ask for one.",
        "a PEM file with certificates",
        default=None,
    )
    kafka_key_file: Path | None = _setting(
        "KAFKA_SSL_KEY_FILE",
        "The private key of KAFKA_SSL_CERT_FILE.",
        "a PEM file with the private key of KAFKA_SSL_CERT_FILE",
        default=None,
    )
    kafka_key_password: Secret = _setting(
        "KAFKA_SSL_KEY_PASSWORD",
        "What opens KAFKA_SSL_KEY_FILE, if it is encrypted.",
        _TEXT,
        default="",
        repr=False,
    )

    # Where things are

    database_url: DatabaseUrl = _setting(
        "SEENBY_DATABASE_URL",
        "The database, which is the truth.",
        "sqlite:///FILE or mysql://USER:PASSWORD@HOST:PORT/DATABASE (with ?ssl_ca=FILE: by TLS)",
        default="sqlite:///seenby.db",
        repr=False,
    )
    api_host: Host = _setting(
        "SEENBY_API_HOST", "The address the API listens on.", _HOST, default="127.0.0.1"
    )
    api_port: int = _whole("SEENBY_API_PORT", 8080, 0, 65535, "The API's port; 0 takes a free one.")
    gateway_host: Host = _setting(
        "SEENBY_GATEWAY_HOST", "The address the gateway listens on.", _HOST, default="127.0.0.1"
    )
    gateway_port: int = _whole(
        "SEENBY_GATEWAY_PORT", 8081, 0, 65535, "The gateway's port; 0 takes a free one."
    )
    gateway_url: SocketUrl = _setting(
        "SEENBY_GATEWAY_URL",
        "The gateway's address as clients see it. Default: from its host and port.",
        "an address such as wss://chat.example.com/ws",
        default="",
    )
    inspect_url: HttpUrl = _setting(
        "SEENBY_INSPECT_URL",
        "Where other processes of seenby ask this one for the operators' page. Default: from the "
        "host and port of its gateway, or else of its API.",
        "an address such as http://10.0.0.5:8081",
        default="",
    )
    pages: bool = _setting(
        "SEENBY_PAGES",
        "Whether the API serves web pages for people: the demo at /, and those it links to.",
        _BOOLEAN,
        default=True,
    )
    node: Name = _setting(
        "SEENBY_NODE",
        "This process's name in logs, the outbox and Kafka. Default: host name and process id.",
        _NAME,
        default="",
    )

    # Who may

    auth: Literal["off", "jwt"] = _setting(
        "SEENBY_AUTH", "Who may call: anyone, or whoever has a token.", "off or jwt", default="off"
    )
    insecure: bool = _setting(
        "SEENBY_INSECURE",
        "Allows SEENBY_AUTH=off on an address that others can reach, and keys fetched by http://.",
        _BOOLEAN,
        default=False,
    )
    jwt_secret: Secret = _setting(
        "SEENBY_JWT_SECRET",
        "The secret shared with whoever makes the tokens (HS256).",
        f"at least {SECRET_BYTES_MIN} bytes long",
        default="",
        repr=False,
    )
    jwt_secret_file: Path | None = _setting(
        "SEENBY_JWT_SECRET_FILE",
        "A file with that secret, instead of SEENBY_JWT_SECRET.",
        _FILE,
        default=None,
    )
    jwt_key_file: Path | None = _setting(
        "SEENBY_JWT_KEY_FILE",
        "A PEM file with the public key that checks the tokens (RS256, ES256).",
        "a PEM file with a public key",
        default=None,
    )
    jwt_jwks_url: str = _setting(
        "SEENBY_JWT_JWKS_URL",
        "The address of the public keys that check the tokens (RS256, ES256).",
        "an https:// address (http:// on a loopback host, or with SEENBY_INSECURE=1)",
        default="",
    )
    jwt_algorithms: Algorithms = _setting(
        "SEENBY_JWT_ALGORITHMS",
        "The algorithms that are accepted. Default: those that fit the key.",
        "HS256 with a secret; RS256, ES256 or both, separated by a comma, with a public key",
        default=(),
    )
    jwt_issuer: str = _setting(
        "SEENBY_JWT_ISSUER", "Tokens must come from this issuer (iss).", _TEXT, default=""
    )
    jwt_audience: str = _setting(
        "SEENBY_JWT_AUDIENCE", "Tokens must be meant for this audience (aud).", _TEXT, default=""
    )
    jwt_leeway: float = _seconds(
        "SEENBY_JWT_LEEWAY", 10, 60, "By how much the clocks of issuer and seenby may differ."
    )
    allowed_origins: Origins = _setting(
        "SEENBY_ALLOWED_ORIGINS",
        "Web pages of these origins may call API and gateway. Default: the API's own origin.",
        "a list of scheme://host[:port], separated by commas, without paths or wildcards",
        default=(),
    )

    # Who is told what

    unregistered: Literal["accept", "reject"] = _setting(
        "SEENBY_UNREGISTERED",
        "Whether marks of messages that were not registered are believed, or refused.",
        "accept or reject",
        default="accept",
    )
    visible_to: Literal["sender", "members"] = _setting(
        "SEENBY_RECEIPTS_VISIBLE_TO",
        "Who may see who has read a message: its sender, or everyone it was sent to.",
        "sender or members",
        default="sender",
    )
    sync_reader: bool = _setting(
        "SEENBY_SYNC_READER",
        "Whether a reader's own devices are told what was read, so that badges clear everywhere.",
        _BOOLEAN,
        default=True,
    )
    receipts_forced: Literal["on", "off"] | None = _setting(
        "SEENBY_RECEIPTS_FORCED",
        "Receipts are sent by name by everyone (on) or by nobody (off). Default: as users wish.",
        "on or off",
        default=None,
    )
    count_hidden: bool = _setting(
        "SEENBY_COUNT_HIDDEN",
        "Whether groups of 5 and more count readers who hide their names.",
        _BOOLEAN,
        default=False,
    )
    reciprocal: bool = _setting(
        "SEENBY_RECIPROCAL",
        "Whether users who hide their names see no names either.",
        _BOOLEAN,
        default=False,
    )
    aggregate_over: int = _whole(
        "SEENBY_AGGREGATE_OVER",
        1000,
        0,
        1_000_000_000,
        "Senders of messages to more people than this are told counts, not names.",
    )
    unread_window: int = _whole(
        "SEENBY_UNREAD_WINDOW", 24, 0, 87_600, "Hours for which a receipt may be taken back."
    )

    # How much, how long

    event_retention: int = _whole(
        "SEENBY_EVENT_RETENTION", 30, 1, 3650, "Days for which events are kept for resuming."
    )
    receipt_retention: Days = _setting(
        "SEENBY_RECEIPT_RETENTION",
        "Days for which receipts, and the messages they are for, are kept.",
        "off, or a whole number of days from 1 to 3650",
        default=None,
    )
    device_retention: int = _whole(
        "SEENBY_DEVICE_RETENTION", 90, 1, 3650, "Days after which a device not seen is forgotten."
    )
    store_retry: float = _seconds(
        "SEENBY_STORE_RETRY", 5, 60, "For how long a transaction is tried again before a 503."
    )
    session_bytes: int = _whole(
        "SEENBY_SESSION_BYTES",
        1024 * 1024,
        64 * 1024,
        1024**3,
        "Bytes that may wait for one slow socket before it is closed with 4008.",
    )
    drain_seconds: float = _seconds(
        "SEENBY_DRAIN_SECONDS", 10, 600, "The window over which a stopping gateway closes sockets."
    )
    replay_limit: int = _whole(
        "SEENBY_REPLAY_LIMIT", 10_000, 1, 1_000_000, "Events a device may have missed and resume."
    )
    gateway_partitions: Literal["demand", "all"] = _setting(
        "SEENBY_GATEWAY_PARTITIONS",
        "The partitions a gateway reads: those its users need, or all (for producers that "
        "partition otherwise).",
        "demand or all",
        default="demand",
    )
    topic_partitions: int = _whole(
        "SEENBY_TOPIC_PARTITIONS", 16, 1, 10_000, "Partitions of a topic that seenby creates."
    )
    topic_replication: int = _whole(
        "SEENBY_TOPIC_REPLICATION", 3, 1, 100, "Replicas of a topic that seenby creates."
    )

    # What it says

    log_format: Literal["console", "json"] | None = _setting(
        "SEENBY_LOG_FORMAT",
        "Log lines for people or for machines. Default: json, unless a terminal reads them.",
        "console or json",
        default=None,
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "SEENBY_LOG_LEVEL", "How much is logged.", "debug, info, warning or error", default="info"
    )

    # Not from the environment

    jwt_key: str = Field(default="", repr=False)
    """What SEENBY_JWT_KEY_FILE holds."""
    warnings: tuple[str, ...] = ()
    """Sentences that the start should log."""

    @property
    def kafka(self) -> bool:
        """Whether there is a Kafka to publish to and to read from."""
        return self.kafka_enabled and bool(self.kafka_brokers)

    @property
    def kafka_tls(self) -> bool:
        """Whether Kafka is spoken to by TLS."""
        return self.kafka_protocol.endswith("SSL")

    @property
    def kafka_login(self) -> bool:
        """Whether seenby logs in at Kafka."""
        return self.kafka_protocol.startswith("SASL")


def in_url(host: str) -> str:
    """A host as addresses have it: IPv6 in brackets (RFC 3986, section 3.2.2)."""
    return f"[{host}]" if ":" in host else host


class Variable(NamedTuple):
    """One setting as the documentation shows it."""

    name: str
    default: object
    accepted: str
    description: str


def variables() -> list[Variable]:
    """Every setting, in the order in which they are explained."""
    return [
        Variable(
            str(field.validation_alias),
            field.default,
            str(field.json_schema_extra["accepted"]),
            field.description or "",
        )
        for field in Settings.model_fields.values()
        if isinstance(field.json_schema_extra, dict)
    ]
