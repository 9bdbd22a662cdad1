"""Limits, web pages and tokens: what is found, and what to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

from seenby import config, keys
from seenby.doctor import limits, pages, tokens
from seenby.errors import SeenbyError

if TYPE_CHECKING:
    from pathlib import Path

    from seenby.doctor import Finding
    from seenby.settings import Settings

SECRET = "a secret of at least thirty-two bytes"
JWT = {"SEENBY_AUTH": "jwt", "SEENBY_JWT_AUDIENCE": "chat"}
JWKS = "https://id.example.com/keys"


def settings(**environ: str) -> Settings:
    """Settings as far as they are right."""
    return config.read(environ)[0]


def levels(found: list[Finding]) -> list[str]:
    """How bad each is."""
    return [item.level for item in found]


class TestLimits:
    @pytest.mark.parametrize(("most", "level"), [(None, "ok"), (10_000, "ok"), (1024, "warning")])
    def test_few_files_are_few_sockets(self, most: int | None, level: str) -> None:
        """A gateway is full long before its machine is."""
        assert limits.about(most).level == level

    def test_this_process_has_a_limit(self) -> None:
        """Or none; in any case it is told."""
        [found] = limits.look(settings())
        assert found.check == "open files"


class TestPages:
    def test_without_origins(self) -> None:
        """The API's own pages may call: nothing is to be done."""
        assert levels(list(pages.look(settings()))) == ["ok"]

    def test_a_page_by_https_needs_a_gateway_by_wss(self) -> None:
        """A browser refuses anything else, without telling the page why."""
        origins = {"SEENBY_ALLOWED_ORIGINS": "https://chat.example.com"}
        found = list(pages.look(settings(**origins, SEENBY_GATEWAY_URL="ws://chat.example.com/ws")))
        assert levels(found) == ["ok", "error"]
        assert "SEENBY_GATEWAY_URL" in found[1].todo
        good = settings(**origins, SEENBY_GATEWAY_URL="wss://chat.example.com/ws")
        assert levels(list(pages.look(good))) == ["ok"]
        assert levels(list(pages.look(settings(**origins)))) == ["ok"], "loopback counts as secure"

    def test_a_page_in_the_clear_is_warned_of(self) -> None:
        """But not one of this machine."""
        origins = "http://chat.example.com, http://localhost:3000, http://[::1]:3000"
        found = list(pages.look(settings(SEENBY_ALLOWED_ORIGINS=origins)))
        assert levels(found) == ["ok", "warning"]
        assert "http://chat.example.com is not encrypted" in found[1].found


class TestTokens:
    def test_off_on_this_machine_only(self) -> None:
        """Nobody else reaches the ports."""
        assert levels(list(tokens.look(settings()))) == ["ok"]

    @pytest.mark.parametrize(("insecure", "level"), [("", "error"), ("1", "warning")])
    def test_off_where_others_reach_it(self, insecure: str, level: str) -> None:
        """Refused by the start, unless somebody has said that it is meant."""
        open_to_all = settings(SEENBY_API_HOST="192.0.2.1", SEENBY_INSECURE=insecure)
        [found] = tokens.look(open_to_all)
        assert found.level == level
        assert "SEENBY_API_HOST (192.0.2.1)" in found.found
        assert "SEENBY_AUTH=jwt" in found.todo

    def test_a_secret(self, tmp_path: Path) -> None:
        """One that others may read is no secret."""
        assert levels(list(tokens.look(settings(**JWT, SEENBY_JWT_SECRET=SECRET)))) == ["ok"]
        file = tmp_path / "secret"
        file.write_text(SECRET, encoding="utf-8")
        for mode, wanted in ((0o600, ["ok"]), (0o644, ["ok", "warning"])):
            file.chmod(mode)
            found = list(tokens.look(settings(**JWT, SEENBY_JWT_SECRET_FILE=str(file))))
            assert levels(found) == wanted
            assert not any(SECRET in item.found + item.todo for item in found)

    @pytest.mark.parametrize(
        ("algorithms", "level"), [("", "ok"), ("ES256", "ok"), ("RS256", "error")]
    )
    def test_a_public_key(self, tmp_path: Path, algorithms: str, level: str) -> None:
        """It fits the algorithms, or no token is ever good."""
        key = ec.generate_private_key(ec.SECP256R1()).public_key()
        file = tmp_path / "key.pem"
        file.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        environ = {**JWT, "SEENBY_JWT_KEY_FILE": str(file), "SEENBY_JWT_ALGORITHMS": algorithms}
        [found] = tokens.look(settings(**environ))
        assert found.level == level

    def test_a_file_that_is_no_key(self, tmp_path: Path) -> None:
        """It is named by its setting."""
        file = tmp_path / "key.pem"
        file.write_text("not a key", encoding="utf-8")
        [found] = tokens.look(settings(**JWT, SEENBY_JWT_KEY_FILE=str(file)))
        assert found.level == "error"
        assert "SEENBY_JWT_KEY_FILE must be a PEM file" in found.found

    @pytest.mark.parametrize(
        ("answer", "level", "words"),
        [
            (OSError("no route"), "error", "cannot be fetched: no route"),
            (b"<html>", "error", "cannot be fetched"),
            (b'{"keys": []}', "error", "has none for RS256 or ES256"),
            (None, "ok", "(1: RS256)"),
        ],
    )
    def test_keys_that_are_fetched(
        self,
        monkeypatch: pytest.MonkeyPatch,
        answer: bytes | OSError | None,
        level: str,
        words: str,
    ) -> None:
        """The address answers, with keys of use."""
        key = rsa.generate_private_key(65537, 2048).public_key()
        good = json.dumps({"keys": [RSAAlgorithm.to_jwk(key, as_dict=True) | {"kid": "1"}]})

        def fetched(url: str) -> bytes:
            assert url == JWKS
            if isinstance(answer, OSError):
                raise answer
            return good.encode() if answer is None else answer

        monkeypatch.setattr(keys, "fetched", fetched)
        [found] = tokens.look(settings(**JWT, SEENBY_JWT_JWKS_URL=JWKS))
        assert found.level == level
        assert words in found.found

    def test_a_leeway_of_nothing_and_tokens_for_anything(self) -> None:
        """Both are allowed, and rarely meant."""
        environ = {"SEENBY_AUTH": "jwt", "SEENBY_JWT_SECRET": SECRET, "SEENBY_JWT_LEEWAY": "0"}
        found = list(tokens.look(settings(**environ)))
        assert levels(found) == ["ok", "warning", "warning"]
        assert "SEENBY_JWT_LEEWAY" in found[1].todo
        assert "SEENBY_JWT_AUDIENCE" in found[2].todo


def test_settings_for_these_tests_need_not_fit() -> None:
    """The doctor looks at them all the same."""
    with pytest.raises(SeenbyError):
        config.load({"SEENBY_API_HOST": "192.0.2.1"})
