"""A Kafka broker of the tests' own that lets nobody in without a certificate or a password.

Its plain listener stays open to the tests alone: whoever comes there may do everything. On the
others a login may do what access rules (ACLs) allow, which is nothing at first.
"""

from __future__ import annotations

import secrets
import shutil
from typing import TYPE_CHECKING

from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.admin._scram import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.servers.certificates import HERE
from tests.servers.kafka import Kafka

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.servers.certificates import Authority, Certificate

LOGIN, MUTUAL, CLEAR, STRANGE = "LOGIN", "MUTUAL", "CLEAR", "STRANGE"
"""TLS and a login; TLS with a certificate on both sides; a login without TLS; as the first, with a
certificate of another host."""

ELSEWHERE = "kafka.example.com"

STRANGE_KEYSTORE = f"listener.name.{STRANGE.lower()}.ssl.keystore.location"

USER = "seenby"
MODULES = "org.apache.kafka.common.security"


class Secured:
    """A broker with these listeners.

    Args:
        folder: where its certificate lies.
        authority: who signed that, and the certificates of clients.
        more: the broker's settings; its certificate is *folder*/keystore.pem.

    Attributes:
        kafka: the broker.
        password: of the user ``seenby``, by PLAIN and, once added, by SCRAM.
    """

    def __init__(self, folder: Path, authority: Authority, more: Mapping[str, str]) -> None:
        self.password = secrets.token_hex(8)
        self._authority = authority
        self._good = authority.certificate("broker")
        self._strange = authority.certificate("strange", (ELSEWHERE,))
        self._file = folder / "keystore.pem"
        shutil.copy(self._good.both, self._file)
        plain = f'{MODULES}.plain.PlainLoginModule required user_{USER}="{self.password}";'
        login = {
            f"listener.name.{name.lower()}.{mechanism}.sasl.jaas.config": module
            for name in (LOGIN, CLEAR, STRANGE)
            for mechanism, module in {
                "plain": plain,
                "scram-sha-256": f"{MODULES}.scram.ScramLoginModule required;",
                "scram-sha-512": f"{MODULES}.scram.ScramLoginModule required;",
            }.items()
        }
        self.kafka = Kafka.launch(
            listeners={
                LOGIN: "SASL_SSL",
                MUTUAL: "SSL",
                CLEAR: "SASL_PLAINTEXT",
                STRANGE: "SASL_SSL",
            },
            settings=login
            | {
                **more,
                "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
                f"listener.name.{MUTUAL.lower()}.ssl.client.auth": "required",
                STRANGE_KEYSTORE: str(self._strange.both),
            },
        )

    def set_password(self, password: str, user: str = USER) -> None:
        """Give a user this password, by SCRAM-SHA-512 and SCRAM-SHA-256."""
        admin = self.admin()
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            credential = ScramCredentialInfo(mechanism, 4096)
            change = UserScramCredentialUpsertion(user, credential, password.encode())
            admin.alter_user_scram_credentials([change])[user].result(60.0)

    def present(self, certificate: Certificate | None = None) -> None:
        """Start anew with another certificate; without one, with its own again."""
        shutil.copy((certificate or self._good).both, self._file)
        self.kafka.stop()
        self.kafka.start()

    def come_home(self) -> None:
        """Have the strange listener show a certificate that is of this host, too."""
        self._authority.certificate("strange", (ELSEWHERE, *HERE))
        broker = ConfigResource(ResourceType.BROKER, "1")
        # The same name again: then the file is read again.
        broker.add_incremental_config(
            ConfigEntry(
                STRANGE_KEYSTORE,
                str(self._strange.both),
                incremental_operation=AlterConfigOpType.SET,
            )
        )
        admin = self.admin()
        admin.incremental_alter_configs([broker])[broker].result(60.0)

    def allow(self, user: str, *topics: str) -> None:
        """Let a user (such as CN=seenby) do everything with topics."""
        rules = [
            AclBinding(
                ResourceType.TOPIC,
                topic,
                ResourcePatternType.LITERAL,
                f"User:{user}",
                "*",
                AclOperation.ALL,
                AclPermissionType.ALLOW,
            )
            for topic in topics
        ]
        admin = self.admin()
        for done in admin.create_acls(rules).values():
            done.result(60.0)

    def admin(self) -> AdminClient:
        """One that may do everything."""
        return AdminClient({"bootstrap.servers": self.kafka.brokers, "log_level": 0})

    def dispose(self) -> None:
        """End the broker."""
        self.kafka.dispose()
