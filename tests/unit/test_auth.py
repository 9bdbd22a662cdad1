"""Who is calling: which tokens hold, until when, and what they allow."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seenby import auth
from seenby.auth import AuthOff, JwtAuth, make_authenticator, make_token
from seenby.config import load
from seenby.errors import (
    BadInput,
    ConfigError,
    Forbidden,
    KeysUnavailable,
    TokenExpired,
    Unauthenticated,
)
from seenby.keys import FetchedKeys, Key, OneKey, from_pem
from seenby.model import ANYONE, Caller
from tests.unit.tokens import (
    NOW,
    SECRET,
    claims,
    ec_key,
    encoded,
    forged,
    jwk,
    public_pem,
    rsa_key,
    signed,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BOTH = ("RS256", "ES256")
HS256 = {"alg": "HS256", "typ": "JWT"}


def with_secret(**more: Any) -> JwtAuth:
    """Tokens are signed with SECRET."""
    return JwtAuth(OneKey(Key("HS256", SECRET.encode())), **more)


async def refused(token: str | None, by: JwtAuth | None = None, now: float = NOW) -> str:
    """The sentence with which a token is refused; it must hold no part of the token."""
    with pytest.raises(Unauthenticated) as no:
        await (by or with_secret()).authenticate(token, now)
    assert no.value.__cause__ is None
    if token:
        assert not any(part in str(no.value) for part in token.split(".") if len(part) > 8)
    return str(no.value)


class TestSignature:
    async def test_a_shared_secret(self) -> None:
        """HS256: sub is the user."""
        caller = await with_secret().authenticate(signed(), NOW)
        assert caller == Caller("user123", everyone=False, expires_at=NOW + 3600)

    @pytest.mark.parametrize("key", [rsa_key, ec_key])
    async def test_a_public_key_in_a_file(self, key: Callable[[int], Any]) -> None:
        """RS256 and ES256: the private half signs, the public half checks."""
        by = JwtAuth(OneKey(from_pem(public_pem(key(0)), BOTH, "V")))
        assert (await by.authenticate(signed(key(0)), NOW)).user_id == "user123"
        assert "signature" in await refused(signed(key(1)), by)

    @pytest.mark.parametrize("key", [rsa_key, ec_key])
    async def test_a_fetched_key(self, key: Callable[[int], Any]) -> None:
        """The header's kid selects the key in the set."""
        document = {"keys": [jwk(key(0), kid="k0"), jwk(key(1), kid="k1")]}
        by = JwtAuth(FetchedKeys("", BOTH, lambda _: json.dumps(document).encode()))
        assert (await by.authenticate(signed(key(1), kid="k1"), NOW)).user_id == "user123"
        assert "signature" in await refused(signed(key(0), kid="k1"), by)
        assert "not known here" in await refused(signed(key(0), kid="k2"), by)

    async def test_another_secret(self) -> None:
        """A token that somebody else signed."""
        assert "signature" in await refused(signed("another-secret-of-thirty-two-bytes"))

    @pytest.mark.parametrize("part", [0, 1, 2])
    async def test_a_changed_part(self, part: int) -> None:
        """The signature covers the header and the claims."""
        ours, other = signed().split("."), forged({**HS256, "x": 1}, claims(sub="eve")).split(".")
        ours[part] = other[part]
        assert "signature" in await refused(".".join(ours))

    @pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", ""])
    @pytest.mark.parametrize("signature", ["", "AAAA"])
    async def test_no_algorithm_is_no_signature(self, name: str, signature: str) -> None:
        """RFC 8725, section 2.1: `none`, in whatever letters."""
        token = f"{encoded({'alg': name})}.{encoded(claims())}.{signature}"
        assert await refused(token) == "the token must be signed with HS256"

    @pytest.mark.parametrize("key", [rsa_key, ec_key])
    async def test_the_public_key_is_no_shared_secret(self, key: Callable[[], Any]) -> None:
        """RFC 8725, section 2.1: HS256 with what everyone may know, taken for RS256's key."""
        by = JwtAuth(OneKey(from_pem(public_pem(key()), BOTH, "V")))
        for secret in (public_pem(key()), public_pem(key()).strip(), json.dumps(jwk(key()))):
            sentence = await refused(forged(HS256, claims(), secret), by)
            assert sentence.startswith("the token must be signed with ")

    @pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
    async def test_another_algorithm_with_the_right_key(self, algorithm: str) -> None:
        """One key, one algorithm (RFC 8725, section 3.1)."""
        assert "HS256" in await refused(jwt.encode(claims(), SECRET * 2, algorithm=algorithm))

    async def test_a_token_brings_no_key_along(self) -> None:
        """RFC 8725, section 3.10: jwk, jku and x5u in a header are not looked at."""
        by = JwtAuth(OneKey(from_pem(public_pem(ec_key(0)), BOTH, "V")))
        token = jwt.encode(
            claims(),
            ec_key(1),
            algorithm="ES256",
            headers={"jwk": jwk(ec_key(1)), "jku": "https://evil.example/keys"},
        )
        assert "signature" in await refused(token, by)

    async def test_an_extension_that_must_be_understood_is_not(self) -> None:
        """RFC 7515, section 4.1.11: crit names what a receiver must know, and we know none."""
        known_to_the_library = {**HS256, "crit": ["b64"], "b64": True}
        assert "extension" in await refused(forged(known_to_the_library, claims()))
        for crit in (["exp"], ["b64"], [], "exp", None):
            await refused(forged({**HS256, "crit": crit, "exp": 0}, claims()))


class TestForm:
    @pytest.mark.parametrize(
        "token", ["", ".", "..", "...", "a.b.c", "Bearer x", "é.é.é", "\ud800"]
    )
    async def test_what_is_no_jwt(self, token: str) -> None:
        """Whatever a client sends as its token ends in a sentence."""
        assert await refused(token) == "the token is not a JWT"

    async def test_no_token(self) -> None:
        """The sentence says how to show one."""
        assert "Authorization: Bearer" in await refused(None)

    @pytest.mark.parametrize(
        "header", [b"{", b"[]", b"null", b"\xff", {**HS256, "kid": 5}, {}, b"[" * 5000]
    )
    async def test_a_header_that_is_none(self, header: Any) -> None:
        """Its form is checked before anything in it is believed."""
        await refused(forged(header, claims()))

    @pytest.mark.parametrize(
        "payload", [b"{", b"[]", b"null", b"5", b"\xff", b"[" * 5000, b"1" * 5000, b""]
    )
    async def test_claims_that_are_none(self, payload: bytes) -> None:
        """A good signature does not make them claims."""
        await refused(forged(HS256, payload))

    async def test_an_oversized_token_is_not_taken_apart(self) -> None:
        """A header line of HTTP is no longer either; decoding costs more than a look at it."""
        token = signed(more="x" * auth.TOKEN_MAX)
        assert await refused(token) == "the token is too long"

    @given(st.text() | st.from_regex(r"[\w-]{0,40}\.[\w-]{0,40}\.[\w-]{0,40}", fullmatch=True))
    async def test_any_text_is_refused(self, token: str) -> None:
        """Nothing but Unauthenticated comes out."""
        with pytest.raises(Unauthenticated):
            await with_secret().authenticate(token, NOW)


class TestClaims:
    async def test_an_expired_token(self) -> None:
        """RFC 7519, section 4.1.4: exp is the first moment at which it does not hold."""
        token = signed(exp=NOW)
        assert (await with_secret().authenticate(token, NOW - 0.001)).user_id == "user123"
        with pytest.raises(TokenExpired):
            await with_secret().authenticate(token, NOW)

    async def test_an_expired_token_of_a_stranger_has_not_expired(self) -> None:
        """Only who held a good token is told to fetch another."""
        with pytest.raises(Unauthenticated) as no:
            await with_secret().authenticate(signed("x" * 32, exp=NOW - 1), NOW)
        assert not isinstance(no.value, TokenExpired)

    async def test_leeway_moves_both_ends(self) -> None:
        """The clocks of issuer and seenby may differ by so much."""
        by = with_secret(leeway=10)
        caller = await by.authenticate(signed(exp=NOW), NOW + 9.9)
        assert caller.expires_at == NOW + 10
        with pytest.raises(TokenExpired):
            await by.authenticate(signed(exp=NOW), NOW + 10)
        assert (await by.authenticate(signed(nbf=NOW + 10), NOW)).user_id == "user123"
        assert "nbf" in await refused(signed(nbf=NOW + 10.1), by)

    @pytest.mark.parametrize("exp", [None, "soon", True, [], -1, 2**53, b"1e999", b"NaN"])
    async def test_exp_must_be_there_and_be_a_time(self, exp: Any) -> None:
        """A token that never ends could not be taken back."""
        payload: Any = claims(exp=exp)
        if isinstance(exp, bytes):
            payload = b'{"sub":"user123","exp":' + exp + b"}"
        sentence = await refused(forged(HS256, payload))
        assert sentence in {
            "the token must say when it expires (exp)",
            "the token's exp must be a time in unix seconds",
        }

    async def test_nbf_is_optional_and_must_be_a_time(self) -> None:
        """What cannot be read is not taken for "valid already"."""
        assert (await with_secret().authenticate(signed(nbf=NOW), NOW)).user_id == "user123"
        assert "nbf" in await refused(forged(HS256, claims(nbf="today")))
        assert "nbf" in await refused(signed(nbf=NOW + 1))

    @pytest.mark.parametrize("iss", [None, "b", "", ["a"], {"a": 1}, "A"])
    async def test_another_issuer(self, iss: Any) -> None:
        """Where an issuer is asked for, it is compared to the letter."""
        by = with_secret(issuer="a")
        assert (await by.authenticate(signed(iss="a"), NOW)).user_id == "user123"
        assert "iss" in await refused(forged(HS256, claims(iss=iss)), by)

    @pytest.mark.parametrize("aud", [None, "b", "ab", [], ["b", 5], {"a": 1}, [["a"]]])
    async def test_another_audience(self, aud: Any) -> None:
        """A token for another service must not open this one."""
        by = with_secret(audience="a")
        assert (await by.authenticate(signed(aud="a"), NOW)).user_id == "user123"
        assert (await by.authenticate(signed(aud=["b", "a"]), NOW)).user_id == "user123"
        assert "aud" in await refused(forged(HS256, claims(aud=aud)), by)

    @pytest.mark.parametrize("sub", [None, "", "two words", "x" * 65, 5, ["user123"], "ü", "a\n"])
    async def test_sub_must_be_a_user(self, sub: Any) -> None:
        """Without a user there is nobody to act for."""
        sentence = await refused(forged(HS256, claims(sub=sub)))
        assert sentence.startswith("the token's sub must be 1 to 64 printable ASCII characters")

    @pytest.mark.parametrize("scope", ["service", "openid service", ["openid", "service"]])
    async def test_the_scope_service_may_act_for_anyone(self, scope: Any) -> None:
        """RFC 8693, section 4.2: a list separated by spaces; some issuers write a JSON list."""
        caller = await with_secret().authenticate(signed(scope=scope), NOW)
        assert caller.may_act_for("anyone")
        assert caller.user_id == "user123"

    @pytest.mark.parametrize(
        "scope", ["", "services", "Service", "service,openid", "no-service", 5, {"service": 1}]
    )
    async def test_no_other_scope_does(self, scope: Any) -> None:
        """Compared as whole words."""
        caller = await with_secret().authenticate(forged(HS256, claims(scope=scope)), NOW)
        assert not caller.everyone

    @pytest.mark.parametrize("sub", [None, "", "two words"])
    async def test_a_service_need_not_be_a_user(self, sub: str | None) -> None:
        """Service accounts are named by their issuers, not by us."""
        token = forged(HS256, claims(sub=sub, scope="service"))
        assert (await with_secret().authenticate(token, NOW)).user_id == ""


class TestRemembered:
    async def test_a_checked_token_is_not_checked_again(self) -> None:
        """A mark must not cost a signature."""
        asked = 0

        class Counting:
            async def find(self, kid: str | None, now: float) -> Key:
                nonlocal asked
                asked += 1
                return Key("HS256", SECRET.encode())

        by = JwtAuth(Counting())
        token = signed()
        first = await by.authenticate(token, NOW)
        assert await by.authenticate(token, NOW + auth.CACHED_SECONDS - 1) is first
        assert asked == 1
        assert await by.authenticate(token, NOW + auth.CACHED_SECONDS) == first
        assert asked == 2

    async def test_what_is_remembered_need_not_be_waited_for(self) -> None:
        """What known() says is what authenticate() would; else it says nothing."""
        by = with_secret()
        token = signed(exp=NOW + 60)
        assert by.known(token, NOW) is None
        caller = await by.authenticate(token, NOW)
        assert by.known(token, NOW + 59) is caller
        assert by.known(token, NOW + 60) is None
        assert by.known(token + "x", NOW) is None
        assert by.known(None, NOW) is None
        assert auth.AuthOff().known(None, NOW).everyone

    async def test_a_remembered_token_expires_on_time(self) -> None:
        """What is remembered never holds for longer than the token."""
        by = with_secret(leeway=5)
        token = signed(exp=NOW + 60)
        await by.authenticate(token, NOW)
        await by.authenticate(token, NOW + 64.9)
        with pytest.raises(TokenExpired):
            await by.authenticate(token, NOW + 65)

    async def test_a_refused_token_is_not_remembered(self) -> None:
        """Otherwise strangers could push out those who have a right to be there."""
        by = with_secret()
        for number in range(50):
            await refused(forged(HS256, claims(sub=f"u{number}"), "x"), by)
            await refused(signed(exp=NOW - 1, n=number), by)
            await refused("x" * (auth.TOKEN_MAX + 1 + number), by)
        assert not by._checked

    async def test_what_is_remembered_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The oldest goes first."""
        monkeypatch.setattr(auth, "CACHED_TOKENS", 3)
        by = with_secret()
        tokens = [signed(sub=f"u{number}") for number in range(5)]
        for token in tokens:
            await by.authenticate(token, NOW)
        assert list(by._checked) == tokens[2:]

    async def test_refused_tokens_cause_no_fetch_each(self) -> None:
        """Bad signatures under a known key, and unknown keys: one fetch, then one in 30 s."""
        asked = 0

        def fetch(_: str) -> bytes:
            nonlocal asked
            asked += 1
            return json.dumps({"keys": [jwk(ec_key(0), kid="k")]}).encode()

        by = JwtAuth(FetchedKeys("", BOTH, fetch))
        for number in range(20):
            await refused(signed(ec_key(1), kid="k", n=number), by)
            await refused(signed(ec_key(1), kid=f"unknown-{number}"), by)
        assert asked == 1

    async def test_keys_that_cannot_be_fetched_refuse_nobody(self) -> None:
        """503, try again: not a 401, which would sign the user off."""

        def fetch(_: str) -> bytes:
            raise OSError

        with pytest.raises(KeysUnavailable):
            await JwtAuth(FetchedKeys("", BOTH, fetch)).authenticate(signed(ec_key(), kid="k"), NOW)


class TestCaller:
    def test_a_user_acts_for_themselves_only(self) -> None:
        """The token's user, to the letter."""
        caller = Caller("user123", everyone=False, expires_at=None)
        caller.must_act_for("user123")
        for other in ("user12", "User123", "", "user1234"):
            assert not caller.may_act_for(other)
            with pytest.raises(Forbidden, match="token's user"):
                caller.must_act_for(other)

    async def test_with_authentication_off_anyone_acts_for_everyone(self) -> None:
        """Tokens are not even looked at."""
        assert await AuthOff().authenticate(None, NOW) is ANYONE
        assert await AuthOff().authenticate("nonsense", NOW) is ANYONE
        ANYONE.must_act_for("anyone")
        assert ANYONE.expires_at is None


class TestFromSettings:
    def test_off(self) -> None:
        """No key, no check."""
        assert isinstance(make_authenticator(load({})), AuthOff)

    async def test_a_secret_with_issuer_audience_and_leeway(self) -> None:
        """Every setting reaches the check."""
        environ = {
            "SEENBY_AUTH": "jwt",
            "SEENBY_JWT_SECRET": SECRET,
            "SEENBY_JWT_ISSUER": "a",
            "SEENBY_JWT_AUDIENCE": "b",
            "SEENBY_JWT_LEEWAY": "7",
        }
        by = make_authenticator(load(environ))
        caller = await by.authenticate(signed(iss="a", aud="b"), NOW)
        assert caller.expires_at == NOW + 3607
        for changes in ({"iss": "b", "aud": "b"}, {"iss": "a", "aud": "a"}):
            with pytest.raises(Unauthenticated):
                await by.authenticate(signed(**changes), NOW)

    async def test_a_key_file(self, tmp_path: Path) -> None:
        """The public key is read once, at the start."""
        path = tmp_path / "key.pem"
        path.write_text(public_pem(rsa_key()))
        by = make_authenticator(load({"SEENBY_AUTH": "jwt", "SEENBY_JWT_KEY_FILE": str(path)}))
        path.unlink()
        assert (await by.authenticate(signed(rsa_key()), NOW)).user_id == "user123"

    @pytest.mark.parametrize("content", ["", "no key\n", SECRET])
    def test_a_key_file_without_a_key_is_refused_at_the_start(
        self, content: str, tmp_path: Path
    ) -> None:
        """Not with the first token."""
        path = tmp_path / "key.pem"
        path.write_text(content)
        settings = load({"SEENBY_AUTH": "jwt", "SEENBY_JWT_KEY_FILE": str(path)})
        with pytest.raises(ConfigError, match="SEENBY_JWT_KEY_FILE must be a PEM file"):
            make_authenticator(settings)

    def test_a_key_set_is_not_fetched_at_the_start(self) -> None:
        """The issuer may be away."""
        environ = {"SEENBY_AUTH": "jwt", "SEENBY_JWT_JWKS_URL": "https://id.example.com/keys"}
        assert isinstance(make_authenticator(load(environ)), JwtAuth)


class TestMakeToken:
    ENVIRON = {  # noqa: RUF012 -- read only
        "SEENBY_AUTH": "jwt",
        "SEENBY_JWT_SECRET": SECRET,
        "SEENBY_JWT_ISSUER": "a",
        "SEENBY_JWT_AUDIENCE": "b",
    }

    async def test_a_token_for_trying_out_holds_here(self) -> None:
        """With the issuer and audience that are asked for, for as long as was asked."""
        settings = load(self.ENVIRON)
        token = make_token(settings, user_id="user123", ttl=60, now=NOW)
        caller = await make_authenticator(settings).authenticate(token, NOW)
        assert caller == Caller("user123", everyone=False, expires_at=NOW + 60 + 10)

    async def test_a_service_needs_no_user(self) -> None:
        """It is nobody in particular."""
        settings = load(self.ENVIRON)
        token = make_token(settings, user_id="", scope="service", ttl=60, now=NOW)
        assert (await make_authenticator(settings).authenticate(token, NOW)).everyone

    @pytest.mark.parametrize("user_id", ["", "two words", "x" * 65])
    def test_a_user_who_cannot_be_is_refused(self, user_id: str) -> None:
        """A token that would not hold is not made."""
        with pytest.raises(BadInput, match=r"^user_id must be"):
            make_token(load(self.ENVIRON), user_id=user_id, ttl=60, now=NOW)

    def test_without_the_secret_no_token_can_be_made(self) -> None:
        """The sentence says who can."""
        with pytest.raises(ConfigError, match="SEENBY_JWT_SECRET"):
            make_token(load({}), user_id="user123", ttl=60, now=NOW)
