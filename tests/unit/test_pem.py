"""Files that are not what their settings say are found out before anything needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from seenby.pem import no_certificates, no_key, unreadable
from tests.servers.certificates import Authority, Certificate

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Authority, Certificate, Certificate]:
    """An authority, a certificate with an open key, and one whose key has a password."""
    authority = Authority(tmp_path_factory.mktemp("pem"))
    locked = authority.certificate("locked", password="opens")
    return authority, authority.certificate("open"), locked


def test_files_that_serve(made: tuple[Authority, Certificate, Certificate]) -> None:
    """An authority, a certificate, a key; an encrypted one with its password."""
    authority, plain, locked = made

    assert no_certificates(authority.ca) == ""
    assert no_certificates(plain.cert) == ""
    assert no_key(plain.key, plain.cert) == ""
    assert no_key(plain.both, plain.both) == ""
    assert no_key(locked.key, locked.cert, "opens") == ""


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file and a folder, in the system's words."""
    missing = tmp_path / "missing.pem"
    for found in (unreadable(missing), no_certificates(missing), no_key(missing, missing)):
        assert found == "No such file or directory"
    assert no_certificates(tmp_path) == "Is a directory"


def test_a_file_without_certificates(
    tmp_path: Path, made: tuple[Authority, Certificate, Certificate]
) -> None:
    """A key, an empty file and any other text hold none."""
    _, plain, _ = made
    text = tmp_path / "text"
    for content in ("", "nothing", "-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n"):
        text.write_text(content, encoding="utf-8")
        assert no_certificates(text) == "it holds no certificate"
    assert no_certificates(plain.key) == "it holds no certificate"


def test_a_key_that_does_not_serve(made: tuple[Authority, Certificate, Certificate]) -> None:
    """Another certificate's, none at all, or one that its password does not open."""
    _, plain, locked = made

    assert no_key(plain.key, locked.cert) == "it is the key of another certificate"
    for found in (
        no_key(plain.cert, plain.cert),
        no_key(locked.key, locked.cert),
        no_key(locked.key, locked.cert, "wrong"),
    ):
        assert found == "it holds no key, or its password is missing or wrong"
