"""How Kafka is spoken to, in its client library's words: by TLS or not, with a login or without.

Every client of Kafka is given this beside the addresses. A broker's certificate is checked, and
its name against the address, whenever there is TLS: no setting takes that away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError

if TYPE_CHECKING:
    from seenby.settings import Settings

Security = Mapping[str, str]
"""librdkafka's settings for a connection; empty: in the clear, as nobody."""

IN_THE_CLEAR: Security = {}

ALL_BROKERS_DOWN = KafkaError._ALL_BROKERS_DOWN  # noqa: SLF001 -- librdkafka's own names
REFUSALS = frozenset(
    {
        KafkaError._AUTHENTICATION,  # noqa: SLF001 -- as above
        KafkaError._SSL,  # noqa: SLF001 -- as above
    }
)

NOT_TRUSTED = "certificate verify failed"
"""OpenSSL's words. Depending on where the library meets it, it is called a broken connection."""


def security_of(settings: Settings) -> Security:
    """What *settings* say of it. Whether they fit together is known already."""
    said: dict[str, str] = {"security.protocol": settings.kafka_protocol}
    if settings.kafka_login:
        said["sasl.mechanism"] = settings.sasl_mechanism
        said["sasl.username"] = settings.sasl_username
        said["sasl.password"] = settings.sasl_password
    if settings.kafka_tls:
        files = {
            "ssl.ca.location": settings.kafka_ca_file,
            "ssl.certificate.location": settings.kafka_cert_file,
            "ssl.key.location": settings.kafka_key_file,
        }
        said |= {name: str(path) for name, path in files.items() if path is not None}
        if settings.kafka_key_password:
            said["ssl.key.password"] = settings.kafka_key_password
    return said


def todo(error: KafkaError) -> str:
    """What to do about a topic that Kafka does not show."""
    if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        return "allow it to KAFKA_SASL_USERNAME, or whoever seenby is to Kafka"
    return "create it with: seenby topic create"


class Trouble:
    """Why a client reaches no broker: "all are down" says that, the error before it says why.

    Attributes:
        why: in the client library's words; "" before the first error.
        refused: whether it is a matter of certificates or passwords, which somebody must mend.
    """

    def __init__(self) -> None:
        self.why = ""
        self.refused = False

    def heard(self, error: KafkaError) -> str:
        """Take in an error of the client; returns why."""
        if error.code() != ALL_BROKERS_DOWN or not self.why:
            self.why = error.str()
            self.refused = error.code() in REFUSALS or NOT_TRUSTED in self.why
        return self.why
