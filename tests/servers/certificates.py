"""An authority of the tests' own and the certificates it gives, as PEM files.

Keys are made anew for each run and are worth nothing outside it.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

HERE = ("localhost", "127.0.0.1")
"""The names of a server that the tests start."""

DAY = dt.timedelta(days=1)


class Certificate(NamedTuple):
    """A certificate and its key, each in a file, and both in one (as Kafka wants them)."""

    cert: Path
    key: Path
    both: Path


class Authority:
    """Signs certificates.

    Args:
        folder: where its files go.
        name: tells several authorities apart.

    Attributes:
        ca: the file with its own certificate: what a client trusts.
    """

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._sign(name, self._key.public_key(), (), DAY, None)
        self.ca = folder / f"{name}.pem"
        self.ca.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def certificate(
        self,
        name: str,
        hosts: tuple[str, ...] = HERE,
        *,
        valid: dt.timedelta = DAY,
        password: str = "",
    ) -> Certificate:
        """A certificate for *hosts*, whose subject is *name*.

        Args:
            name: also the files' name.
            hosts: host names and addresses.
            valid: how long from now; less than nothing: it has expired.
            password: the key is encrypted with it.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        signed = self._sign(name, key.public_key(), hosts, valid, self._certificate.subject)
        cert_pem = signed.public_bytes(serialization.Encoding.PEM)
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password:
            encryption = serialization.BestAvailableEncryption(password.encode())
        key_pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )
        files = Certificate(
            self._folder / f"{name}-cert.pem",
            self._folder / f"{name}-key.pem",
            self._folder / f"{name}.pem",
        )
        for file, content in zip(files, (cert_pem, key_pem, key_pem + cert_pem), strict=True):
            file.write_bytes(content)
        return files

    def _sign(
        self,
        name: str,
        key: ec.EllipticCurvePublicKey,
        hosts: tuple[str, ...],
        valid: dt.timedelta,
        issuer: x509.Name | None,
    ) -> x509.Certificate:
        """A certificate; without an issuer it is the authority's own."""
        now = dt.datetime.now(dt.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        is_ca = issuer is None
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer or subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * DAY)
            .not_valid_after(now + valid)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if is_ca:
            usage = x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=True,
                crl_sign=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            )
            builder = builder.add_extension(usage, critical=True)
        if hosts:
            names = x509.SubjectAlternativeName([_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
