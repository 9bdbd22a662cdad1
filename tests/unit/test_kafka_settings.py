"""Settings for Kafka's security that do not fit together are told at the start, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from seenby.bus.kafka_security import security_of
from seenby.config import load
from tests.servers.certificates import Authority, Certificate
from tests.unit.test_config import problems

if TYPE_CHECKING:
    from pathlib import Path

KAFKA = {"KAFKA_BROKERS": "a:9094"}
LOGIN = {
    **KAFKA,
    "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA_SASL_USERNAME": "seenby",
    "KAFKA_SASL_PASSWORD": " hunter2 ",
}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate and its key, which has a password."""
    return Authority(tmp_path_factory.mktemp("pem")).certificate("client", password="opens")


class TestTheClient:
    def test_by_default_in_the_clear(self) -> None:
        """As nobody, and without TLS."""
        assert security_of(load(KAFKA)) == {"security.protocol": "PLAINTEXT"}

    def test_a_login_by_tls(self) -> None:
        """The protocol in any letters, the password with its spaces; SCRAM by default."""
        assert security_of(load(LOGIN | {"KAFKA_SECURITY_PROTOCOL": "sasl_ssl"})) == {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": "seenby",
            "sasl.password": " hunter2 ",
        }

    def test_files(self, certificate: Certificate, tmp_path: Path) -> None:
        """The authority, a certificate of our own with its key, and a password from a file."""
        password = tmp_path / "password"
        password.write_text("hunter2\n", encoding="utf-8")
        environ = LOGIN | {
            "KAFKA_SASL_PASSWORD": "",
            "KAFKA_SASL_PASSWORD_FILE": str(password),
            "KAFKA_SSL_CA_FILE": str(certificate.cert),
            "KAFKA_SSL_CERT_FILE": str(certificate.cert),
            "KAFKA_SSL_KEY_FILE": str(certificate.key),
            "KAFKA_SSL_KEY_PASSWORD": "opens",
        }

        assert security_of(load(environ)) == {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": "seenby",
            "sasl.password": "hunter2",
            "ssl.ca.location": str(certificate.cert),
            "ssl.certificate.location": str(certificate.cert),
            "ssl.key.location": str(certificate.key),
            "ssl.key.password": "opens",
        }

    def test_secrets_are_hidden(self, certificate: Certificate) -> None:
        """Settings that are logged by a slip show neither of the two passwords."""
        environ = LOGIN | {
            "KAFKA_SSL_CERT_FILE": str(certificate.cert),
            "KAFKA_SSL_KEY_FILE": str(certificate.key),
            "KAFKA_SSL_KEY_PASSWORD": "opens",
        }
        shown = repr(load(environ))

        assert "hunter2" not in shown
        assert "opens" not in shown


class TestTogether:
    @pytest.mark.parametrize(
        ("without", "problem"),
        [
            ("KAFKA_SASL_USERNAME", "KAFKA_SECURITY_PROTOCOL=SASL_SSL needs KAFKA_SASL_USERNAME"),
            (
                "KAFKA_SASL_PASSWORD",
                (
                    "KAFKA_SECURITY_PROTOCOL=SASL_SSL needs KAFKA_SASL_PASSWORD or "
                    "KAFKA_SASL_PASSWORD_FILE"
                ),
            ),
        ],
    )
    def test_a_login_needs_a_name_and_a_password(self, without: str, problem: str) -> None:
        """Each is asked for by its name."""
        assert problems(**LOGIN | {without: ""}) == [problem]

    @pytest.mark.parametrize("protocol", ["", "SSL"])
    def test_a_login_needs_its_protocol(self, protocol: str) -> None:
        """Who forgets it would speak in the clear, or as nobody: refused, not warned of."""
        assert problems(**LOGIN | {"KAFKA_SECURITY_PROTOCOL": protocol}) == [
            f"KAFKA_SECURITY_PROTOCOL must be SASL_SSL or SASL_PLAINTEXT with {name}"
            for name in ("KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD")
        ]

    def test_certificates_need_tls(self, certificate: Certificate) -> None:
        """An authority that nobody would be asked for is a slip in the protocol."""
        clear = {"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"}
        found = problems(**LOGIN | clear | {"KAFKA_SSL_CA_FILE": str(certificate.cert)})

        assert found == ["KAFKA_SECURITY_PROTOCOL must be SSL or SASL_SSL with KAFKA_SSL_CA_FILE"]

    def test_two_passwords_are_one_too_many(self, tmp_path: Path) -> None:
        """It would be chance which one is used."""
        file = tmp_path / "password"
        file.write_text("hunter2", encoding="utf-8")

        assert problems(**LOGIN | {"KAFKA_SASL_PASSWORD_FILE": str(file)}) == [
            "only one of KAFKA_SASL_PASSWORD, KAFKA_SASL_PASSWORD_FILE must be set"
        ]

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (None, "must be a file that can be read (No such file or directory)"),
            ("\n", "must not be empty"),
        ],
    )
    def test_a_password_file_without_a_password(
        self, tmp_path: Path, content: str | None, why: str
    ) -> None:
        """A missing file is one problem, an empty one another."""
        file = tmp_path / "password"
        if content is not None:
            file.write_text(content, encoding="utf-8")
        environ = {"KAFKA_SASL_PASSWORD": "", "KAFKA_SASL_PASSWORD_FILE": str(file)}

        assert problems(**LOGIN | environ) == [f"KAFKA_SASL_PASSWORD_FILE {why}"]

    @pytest.mark.parametrize(
        ("name", "other"),
        [
            ("KAFKA_SSL_CERT_FILE", "KAFKA_SSL_KEY_FILE"),
            ("KAFKA_SSL_KEY_FILE", "KAFKA_SSL_CERT_FILE"),
            ("KAFKA_SSL_KEY_PASSWORD", "KAFKA_SSL_KEY_FILE"),
        ],
    )
    def test_a_certificate_and_its_key(
        self, certificate: Certificate, name: str, other: str
    ) -> None:
        """Neither serves without the other."""
        assert problems(**LOGIN | {name: str(certificate.cert)}) == [f"{name} needs {other}"]

    def test_files_that_are_something_else(self, certificate: Certificate, tmp_path: Path) -> None:
        """A file is looked into before anything needs it, and the words say what is wrong."""
        environ = {
            "KAFKA_SSL_CA_FILE": str(tmp_path),
            "KAFKA_SSL_CERT_FILE": str(certificate.cert),
            "KAFKA_SSL_KEY_FILE": str(certificate.key),
            "KAFKA_SSL_KEY_PASSWORD": "wrong",
        }

        assert problems(**LOGIN | environ) == [
            "KAFKA_SSL_CA_FILE must be a PEM file with certificates (Is a directory)",
            (
                "KAFKA_SSL_KEY_FILE must be a PEM file with the private key of KAFKA_SSL_CERT_FILE"
                " (it holds no key, or its password is missing or wrong)"
            ),
        ]

    @pytest.mark.parametrize("off", [{"KAFKA_BROKERS": ""}, {"READ_RECEIPT_KAFKA_ENABLED": "no"}])
    def test_without_kafka_nothing_is_looked_at(self, off: dict[str, str]) -> None:
        """The names are not ours alone: another program's may be around."""
        environ = LOGIN | {"KAFKA_SASL_PASSWORD": "", "KAFKA_SSL_CA_LOCATION": "x"} | off
        assert not any("KAFKA_S" in warning for warning in load(environ).warnings)


class TestWarnings:
    def test_a_password_in_the_clear(self) -> None:
        """PLAIN without TLS shows it to the network; SCRAM does not."""
        clear = LOGIN | {"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"}

        assert load(clear).warnings == ()
        assert load(clear | {"KAFKA_SASL_MECHANISM": "plain"}).warnings == (
            (
                "KAFKA_SECURITY_PROTOCOL is SASL_PLAINTEXT with PLAIN: the password crosses the "
                "network in the clear"
            ),
        )

    def test_a_name_that_is_nearly_ours(self) -> None:
        """Another program may want it, so it is no error; but it may be a slip."""
        slips = {"KAFKA_SSL_CA_LOCATION": "x", "KAFKA_SASL_MECHANISMS": "x", "KAFKA_HEAP": "x"}

        assert load(LOGIN | slips).warnings == (
            "KAFKA_SASL_MECHANISMS is not a setting of seenby; did you mean KAFKA_SASL_MECHANISM?",
            "KAFKA_SSL_CA_LOCATION is not a setting of seenby; did you mean KAFKA_SSL_CA_FILE?",
        )
