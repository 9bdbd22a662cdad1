"""The token that is shown, and when another one is fetched."""

from __future__ import annotations

from seenby.client.token import Credentials


async def test_a_given_token_is_shown_and_cannot_be_renewed() -> None:
    """There is nowhere to get another."""
    credentials = Credentials("a.b.c")
    assert await credentials.current() == "a.b.c"
    assert not credentials.renew()
    assert await credentials.current() == "a.b.c"


async def test_no_token_is_none() -> None:
    """Authentication is off."""
    credentials = Credentials(None)
    assert await credentials.current() is None
    assert not credentials.renew()


async def test_a_source_is_asked_once_until_its_token_has_expired() -> None:
    """Fetching a token may be a login."""
    tokens = iter(["first", "second"])

    async def source() -> str:
        return next(tokens)

    credentials = Credentials(source)
    assert [await credentials.current(), await credentials.current()] == ["first", "first"]
    assert credentials.renew()
    assert await credentials.current() == "second"
