"""What an address asks of TLS is done, or refused: nothing that looks safe is passed over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url

from seenby.errors import ConfigError
from seenby.store.mysql import Mysql
from tests.servers.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path

URL = "mysql://user:hunter2@host/seenby"


def refusal(query: str) -> str:
    """Why an address is refused."""
    with pytest.raises(ConfigError) as refused:
        Mysql(make_url(f"{URL}?{query}"), "pymysql")
    return str(refused.value)


def test_files_that_serve(tmp_path: Path) -> None:
    """With an authority mysqlclient is told to check; PyMySQL does so by itself."""
    authority = Authority(tmp_path)
    ours = authority.certificate("client")
    url = make_url(f"{URL}?ssl_ca={authority.ca}&ssl_cert={ours.cert}&ssl_key={ours.key}")

    for arguments in ("arguments", "patient_arguments"):
        assert getattr(Mysql(url, "mysqldb"), arguments)["ssl_mode"] == "VERIFY_IDENTITY"
        assert "ssl_mode" not in getattr(Mysql(url, "pymysql"), arguments)
        assert "ssl_mode" not in getattr(Mysql(make_url(URL), "mysqldb"), arguments)


@pytest.mark.parametrize("word", ["ssl", "ssl_mode", "ssl_verify_cert", "ssl_capath"])
def test_other_words(word: str) -> None:
    """They may ask for a check that would not be made."""
    assert refusal(f"{word}=REQUIRED") == (
        f"SEENBY_DATABASE_URL has {word}: for TLS it takes ssl_ca, ssl_cert and ssl_key"
    )


def test_words_that_belong_together(tmp_path: Path) -> None:
    """A certificate of ours without an authority, and without its key."""
    authority = Authority(tmp_path)

    assert refusal("ssl_cert=a&ssl_key=b") == (
        "SEENBY_DATABASE_URL needs ssl_ca with ssl_cert and ssl_key"
    )
    assert refusal(f"ssl_ca={authority.ca}&ssl_key=b") == (
        "SEENBY_DATABASE_URL needs both ssl_cert and ssl_key, or neither"
    )


def test_files_that_do_not_serve(tmp_path: Path) -> None:
    """Each is named, with the reason, and nothing else of the address is."""
    authority = Authority(tmp_path)
    one, other = authority.certificate("one"), authority.certificate("other")

    assert refusal(f"ssl_ca={tmp_path}/none.pem") == (
        "SEENBY_DATABASE_URL: ssl_ca must be a PEM file with certificates "
        "(No such file or directory)"
    )
    assert refusal(f"ssl_ca={authority.ca}&ssl_cert={one.cert}&ssl_key={other.key}") == (
        "SEENBY_DATABASE_URL: ssl_key must be a PEM file with the key of ssl_cert "
        "(it is the key of another certificate)"
    )
