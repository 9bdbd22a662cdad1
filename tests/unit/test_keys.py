"""Where the keys come from: which serve, which never do, and how often a set is fetched."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from seenby import keys
from seenby.errors import ConfigError, KeysUnavailable, Unauthenticated
from seenby.keys import FetchedKeys, Key, OneKey, fetched, from_pem
from tests.unit.listening import listening
from tests.unit.tokens import NOW, ec_key, jwk, public_pem, rsa_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

BOTH = ("RS256", "ES256")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fetch on a busy machine is not given up, but where a test wants it to be."""
    monkeypatch.setattr(keys, "FETCH_TIMEOUT", 60.0)


def jwk_set(*entries: Any) -> bytes:
    """The document of a JWK set."""
    return json.dumps({"keys": entries}).encode()


class Issuer:
    """Stands for the address of the keys: answers what it is told to, and counts.

    Attributes:
        body: the document to answer; an exception is raised instead.
        asked: how often it was asked.
        answering: cleared, the answer waits until it is set again.
    """

    def __init__(self, *entries: Any) -> None:
        self.body: bytes | Exception = jwk_set(*entries)
        self.asked = 0
        self.answering = threading.Event()
        self.answering.set()

    def __call__(self, url: str) -> bytes:
        """One fetch; runs in a thread."""
        assert url == "https://id.example.com/keys"
        self.asked += 1
        assert self.answering.wait(60)
        if isinstance(self.body, Exception):
            raise self.body
        return self.body

    def keys(self, algorithms: tuple[str, ...] = BOTH) -> FetchedKeys:
        """Keys that are fetched from here."""
        return FetchedKeys("https://id.example.com/keys", algorithms, self)


async def settled() -> None:
    """Let a fetch that was begun, and answers at once, come to its end."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)


class TestPem:
    @pytest.mark.parametrize(
        ("key", "algorithm"), [(rsa_key, "RS256"), (ec_key, "ES256")], ids=["rsa", "ec"]
    )
    def test_a_key_is_bound_to_the_algorithm_of_its_type(
        self, key: Callable[[], Any], algorithm: str
    ) -> None:
        """RFC 8725, section 3.1: each key is used with exactly one algorithm."""
        assert from_pem(public_pem(key()), BOTH, "V").algorithm == algorithm

    def test_a_key_for_an_algorithm_that_is_not_allowed_is_refused(self) -> None:
        """Otherwise every token would be refused, one by one."""
        with pytest.raises(ConfigError, match=r"^V must be .* for ES256: RSA of 2048 bits"):
            from_pem(public_pem(rsa_key()), ["ES256"], "V")

    def test_a_short_rsa_key_is_refused(self) -> None:
        """RFC 7518, section 3.3: 2048 bits at least."""
        with pytest.raises(ConfigError, match="RSA of 2048 bits or more"):
            from_pem(public_pem(rsa_key(bits=1024)), BOTH, "V")

    def test_another_curve_is_refused(self) -> None:
        """ES256 is P-256 (RFC 7518, section 3.4)."""
        with pytest.raises(ConfigError, match="P-256"):
            from_pem(public_pem(ec.generate_private_key(ec.SECP384R1())), BOTH, "V")

    def test_what_is_no_public_key_is_refused_without_showing_it(self) -> None:
        """A private key in the wrong place must not end up in a log."""
        pem = ec_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        other = (
            ed25519.Ed25519PrivateKey.generate()
            .public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )
        for content in (pem, other, "", "secret", pem[: len(pem) // 2]):
            with pytest.raises(ConfigError, match=r"^V must be a PEM file with a public key") as no:
                from_pem(content, BOTH, "V")
            assert no.value.__cause__ is None
            assert not set(content.splitlines()) & set(str(no.value).splitlines())

    async def test_one_key_serves_whatever_id_a_token_names(self) -> None:
        """A file holds no ids, so there is nothing to compare."""
        key = Key("HS256", b"k")
        assert await OneKey(key).find("any", NOW) is key
        assert await OneKey(key).find(None, NOW) is key


class TestSet:
    async def test_a_key_is_found_by_its_id(self) -> None:
        """The header selects a key; the key's own type says the algorithm."""
        found = Issuer(jwk(rsa_key(), kid="r"), jwk(ec_key(), kid="e")).keys()
        assert (await found.find("r", NOW)).algorithm == "RS256"
        assert (await found.find("e", NOW)).algorithm == "ES256"

    async def test_without_an_id_the_only_key_is_meant(self) -> None:
        """A set of one needs no ids; one of two is not guessed."""
        assert (await Issuer(jwk(rsa_key(), kid="r")).keys().find(None, NOW)).algorithm == "RS256"
        assert (await Issuer(jwk(rsa_key())).keys().find(None, NOW)).algorithm == "RS256"
        two = Issuer(jwk(rsa_key(), kid="r"), jwk(ec_key())).keys()
        with pytest.raises(Unauthenticated):
            await two.find(None, NOW)

    @pytest.mark.parametrize(
        "entry",
        [
            {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "kid": "x"},
            {"kty": "oct", "k": "c2VjcmV0", "kid": "x", "alg": "RS256"},
            jwk(ec_key(), kid="x", d="AAAA"),
            jwk(ec_key(), kid="x", use="enc"),
            jwk(ec_key(), kid="x", alg="ES384"),
            jwk(ec_key(), kid="x", alg="HS256"),
            jwk(ec_key(), kid="x", alg=None),
            jwk(ec_key(), kid="x", crv="P-384"),
            jwk(ec_key(), kid="x", crv=None),
            jwk(ec_key(), kid="x", y="AAAA"),
            jwk(ec_key(), kid="x", x=5),
            jwk(ec_key(), kid="x", x="not base64!"),
            jwk(ec_key(), kid="x", x=["a"]),
            jwk(rsa_key(), kid="x", n=""),
            jwk(rsa_key(), kid="x", n=5),
            jwk(rsa_key(), kid="x", e="AA"),
            jwk(rsa_key(bits=1024), kid="x"),
            {"kty": "RSA", "kid": "x"},
            {"kty": "EC", "kid": "x"},
            {"kty": ["EC"], "kid": "x"},
            {"kid": "x"},
            jwk(ec_key(), kid=["x"]),
            "x",
            None,
        ],
        ids=range(24),
    )
    async def test_an_entry_that_does_not_serve_is_passed_over(self, entry: Any) -> None:
        """Sets hold keys for others too; none of them spoils those that serve."""
        found = Issuer(entry, jwk(rsa_key(), kid="good")).keys()
        assert (await found.find("good", NOW)).algorithm == "RS256"
        with pytest.raises(Unauthenticated):
            await found.find("x", NOW)

    async def test_a_key_for_an_algorithm_that_is_not_allowed_is_passed_over(self) -> None:
        """The settings have the last word, not the set."""
        with pytest.raises(Unauthenticated):
            await Issuer(jwk(rsa_key(), kid="r")).keys(("ES256",)).find("r", NOW)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>",
            b"[]",
            b"{}",
            b"null",
            b'{"keys": {}}',
            b"\xff",
            b"[" * 100_000,
            b'{"keys": [' + b"1" * 5000 + b"]}",
        ],
    )
    async def test_what_is_no_set_counts_as_a_failed_fetch(self, body: bytes) -> None:
        """A maintenance page says nothing about a token: nobody is let in or turned away by it."""
        issuer = Issuer()
        issuer.body = body
        with pytest.raises(KeysUnavailable):
            await issuer.keys().find("x", NOW)

    async def test_no_fetch_before_the_first_token(self) -> None:
        """An issuer that is away does not keep seenby from starting."""
        issuer = Issuer()
        issuer.keys()
        await settled()
        assert issuer.asked == 0


class TestHowOften:
    async def test_a_set_is_fetched_once_for_many_tokens(self) -> None:
        """Those that come while it is fetched wait for the same fetch."""
        issuer = Issuer(jwk(rsa_key(), kid="r"))
        found = issuer.keys()
        await asyncio.gather(*(found.find("r", NOW) for _ in range(50)))
        assert issuer.asked == 1

    async def test_unknown_keys_cause_one_fetch_in_thirty_seconds(self) -> None:
        """Anyone can name a key in a token: that must not make seenby ask for each."""
        issuer = Issuer(jwk(rsa_key(), kid="r"))
        found = issuer.keys()
        await found.find("r", NOW)
        for second in range(59):
            with pytest.raises(Unauthenticated):
                await found.find(f"unknown-{second}", NOW + second)
        assert issuer.asked == 2

    async def test_a_new_key_is_found_within_thirty_seconds(self) -> None:
        """Rotation: a token signed with a key that is not known yet makes seenby look."""
        issuer = Issuer(jwk(rsa_key(), kid="old"))
        found = issuer.keys()
        await found.find("old", NOW)
        issuer.body = jwk_set(jwk(rsa_key(), kid="old"), jwk(ec_key(), kid="new"))
        assert (await found.find("new", NOW + keys.REFETCH_AFTER)).algorithm == "ES256"
        assert (await found.find("old", NOW + keys.REFETCH_AFTER)).algorithm == "RS256"

    async def test_a_key_taken_out_of_the_set_ends(self) -> None:
        """After ten minutes the set is fetched again, asked for or not."""
        issuer = Issuer(jwk(rsa_key(), kid="old"))
        found = issuer.keys()
        await found.find("old", NOW)
        issuer.body = jwk_set(jwk(ec_key(), kid="new"))
        await found.find("old", NOW + keys.MAX_AGE + 1)
        await settled()
        with pytest.raises(Unauthenticated):
            await found.find("old", NOW + keys.MAX_AGE + 1)

    async def test_nobody_waits_for_a_key_that_is_known(self) -> None:
        """A set that is old goes on serving while the issuer is slow, or away."""
        issuer = Issuer(jwk(rsa_key(), kid="r"))
        found = issuer.keys()
        await found.find("r", NOW)
        issuer.answering.clear()
        later = NOW + keys.MAX_AGE + 1
        # Less than the issuer takes in this test.
        async with asyncio.timeout(30):
            assert (await found.find("r", later)).algorithm == "RS256"
        issuer.body = OSError("away")
        issuer.answering.set()
        await settled()
        assert (await found.find("r", later)).algorithm == "RS256"
        assert issuer.asked == 2

    async def test_a_failing_issuer_is_asked_every_five_seconds(self) -> None:
        """While it is away nobody is turned away for good: 503, not 401."""
        issuer = Issuer()
        issuer.body = OSError("away")
        found = issuer.keys()
        for second in range(10):
            with pytest.raises(KeysUnavailable):
                await found.find("r", NOW + second)
        assert issuer.asked == 2
        issuer.body = jwk_set(jwk(rsa_key(), kid="r"))
        assert (await found.find("r", NOW + 10)).algorithm == "RS256"

    async def test_a_slow_issuer_is_waited_for_a_bounded_time(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And its answer counts when it comes after all; meanwhile there is no second fetch."""
        monkeypatch.setattr(keys, "FETCH_TIMEOUT", 0.005)
        issuer = Issuer(jwk(rsa_key(), kid="r"))
        issuer.answering.clear()
        found = issuer.keys()
        for second in (0, 10, 20):
            with pytest.raises(KeysUnavailable):
                await found.find("r", NOW + second)
        issuer.answering.set()
        await settled()
        assert (await found.find("r", NOW + 20)).algorithm == "RS256"
        assert issuer.asked == 1

    async def test_a_caller_who_leaves_does_not_end_the_fetch(self) -> None:
        """Others wait for it too: one closed connection must not turn them away."""
        issuer = Issuer(jwk(rsa_key(), kid="r"))
        issuer.answering.clear()
        found = issuer.keys()
        leaves = asyncio.create_task(found.find("r", NOW))
        stays = asyncio.create_task(found.find("r", NOW))
        await asyncio.sleep(0)
        leaves.cancel()
        await asyncio.wait([leaves])
        issuer.answering.set()
        assert (await stays).algorithm == "RS256"
        assert issuer.asked == 1


@asynccontextmanager
async def serving(
    answer: Callable[[asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """An HTTP server on loopback: its address, and the requests it has got."""
    requests: list[bytes] = []

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        await answer(writer)
        await writer.drain()

    async with listening(respond) as port:
        yield f"http://127.0.0.1:{port}/keys", requests


def response(status: str, body: bytes = b"", *headers: str) -> bytes:
    """The bytes of one HTTP answer."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


class TestFetched:
    async def test_the_bytes_at_the_address_come_back(self) -> None:
        """Over a real connection, and into a key that serves."""

        async def answer(writer: asyncio.StreamWriter) -> None:
            writer.write(response("200 OK", jwk_set(jwk(rsa_key(), kid="r"))))

        async with serving(answer) as (url, requests):
            found = await FetchedKeys(url, BOTH).find("r", NOW)
        assert found.algorithm == "RS256"
        assert requests[0].startswith(b"GET /keys HTTP/1.1\r\n")

    @pytest.mark.parametrize("status", ["404 Not Found", "500 Oops", "503 Away"])
    async def test_a_refusal_is_an_error(self, status: str) -> None:
        """Its body is no set, whatever it looks like."""

        async def answer(writer: asyncio.StreamWriter) -> None:
            writer.write(response(status, jwk_set(jwk(rsa_key(), kid="r"))))

        async with serving(answer) as (url, _):
            with pytest.raises(HTTPError, match=status[:3]) as refused:
                await asyncio.to_thread(fetched, url)
        # Its connection ends with it, and not whenever the garbage is collected.
        assert refused.value.fp.closed

    @pytest.mark.parametrize("status", ["301", "302", "303", "307", "308"])
    async def test_no_redirect_is_followed(self, status: str) -> None:
        """The address in the settings was checked; another one would not be."""

        async def answer(writer: asyncio.StreamWriter) -> None:
            writer.write(response(f"{status} Elsewhere", b"", "Location: /elsewhere"))

        async with serving(answer) as (url, requests):
            with pytest.raises(HTTPError, match=status) as refused:
                await asyncio.to_thread(fetched, url)
        assert len(requests) == 1
        assert refused.value.fp.closed

    async def test_a_huge_answer_is_not_read_to_its_end(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Memory is bounded by the limit, not by the other side, declared length or not."""
        monkeypatch.setattr(keys, "FETCH_BYTES_MAX", 1000)

        async def answer(writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            while True:
                writer.write(b"x" * 1000)
                await writer.drain()

        async with serving(answer) as (url, _):
            with pytest.raises(OSError, match="over 1000 bytes"):
                await asyncio.to_thread(fetched, url)

    async def test_an_answer_in_drops_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A time limit for each read alone would let one byte at a time go on for ever."""
        monkeypatch.setattr(keys, "FETCH_TIMEOUT", 0.05)

        async def answer(writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.001)

        async with serving(answer) as (url, _):
            with pytest.raises(TimeoutError):
                await asyncio.to_thread(fetched, url)

    async def test_an_answer_that_never_comes_is_given_up(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The connection stands, and nothing follows."""
        monkeypatch.setattr(keys, "FETCH_TIMEOUT", 0.02)
        given_up = asyncio.Event()

        async def answer(_: asyncio.StreamWriter) -> None:
            await given_up.wait()

        async with serving(answer) as (url, _):
            with pytest.raises(TimeoutError):
                await asyncio.to_thread(fetched, url)
            given_up.set()

    @pytest.mark.parametrize(
        "answer",
        [
            b"",
            b"garbage\r\n\r\n",
            response("200 OK", b"{}", "Transfer-Encoding: chunked"),
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        ],
    )
    async def test_a_broken_answer_is_a_failed_fetch(self, answer: bytes) -> None:
        """Whatever the library makes of it, nothing but KeysUnavailable comes out."""

        async def write(writer: asyncio.StreamWriter) -> None:
            writer.write(answer)

        async with serving(write) as (url, _):
            with pytest.raises(KeysUnavailable):
                await FetchedKeys(url, BOTH).find("r", NOW)

    async def test_nobody_listening_is_a_failed_fetch(self) -> None:
        """The issuer is down."""
        async with serving(lambda _: asyncio.sleep(0)) as (url, _):
            pass
        with pytest.raises(KeysUnavailable):
            await FetchedKeys(url, BOTH).find("r", NOW)
