"""The token that is shown, and when another one is fetched."""

from __future__ import annotations

import asyncio

import pytest

from seenby.client.token import Credentials
from tests.unit.eventually import all_waiting


async def test_a_given_token_is_shown_and_cannot_be_renewed() -> None:
    """There is nowhere to get another."""
    credentials = Credentials("a.b.c")
    assert await credentials.current() == "a.b.c"
    assert not credentials.renew("a.b.c")
    assert await credentials.current() == "a.b.c"


async def test_no_token_is_none() -> None:
    """Authentication is off."""
    credentials = Credentials(None)
    assert await credentials.current() is None
    assert not credentials.renew(None)


async def test_a_source_is_asked_once_until_its_token_has_expired() -> None:
    """Fetching a token may be a login."""
    tokens = iter(["first", "second"])

    async def source() -> str:
        return next(tokens)

    credentials = Credentials(source)
    assert [await credentials.current(), await credentials.current()] == ["first", "first"]
    assert credentials.renew("first")
    assert await credentials.current() == "second"


class Login:
    """A source that answers when the test says so."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __call__(self) -> str:
        """One more login."""
        self.asked += 1
        return await asyncio.shield(self.answer)


async def test_whoever_asks_meanwhile_shares_the_answer() -> None:
    """A hundred calls that begin together are one login."""
    login = Login()
    credentials = Credentials(login)
    asking = [asyncio.create_task(credentials.current()) for _ in range(100)]
    await all_waiting()
    login.answer.set_result("a.b.c")
    assert set(await asyncio.gather(*asking)) == {"a.b.c"}
    assert login.asked == 1


async def test_they_share_a_failure_too_and_the_next_one_asks_anew() -> None:
    """A login that fails slowly is not waited for once for each call."""
    login = Login()
    credentials = Credentials(login)
    asking = [asyncio.create_task(credentials.current()) for _ in range(3)]
    await all_waiting()
    login.answer.set_exception(ZeroDivisionError())
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(each) for each in found] == [ZeroDivisionError] * 3
    assert login.asked == 1
    login.answer = asyncio.get_running_loop().create_future()
    login.answer.set_result("a.b.c")
    assert await credentials.current() == "a.b.c"


async def test_who_is_interrupted_leaves_the_fetching_to_the_next() -> None:
    """Those who wait for the same token get one all the same."""
    login = Login()
    credentials = Credentials(login)
    asking = [asyncio.create_task(credentials.current()) for _ in range(3)]
    await all_waiting()
    asking[0].cancel()
    await all_waiting()
    login.answer.set_result("a.b.c")
    assert await asyncio.gather(*asking[1:]) == ["a.b.c"] * 2
    assert login.asked == 2


async def test_a_token_that_somebody_has_renewed_meanwhile_will_do() -> None:
    """Only the one that was shown in vain is given up."""
    tokens = iter(["first", "second"])

    async def source() -> str:
        return next(tokens)

    credentials = Credentials(source)
    assert await credentials.current() == "first"
    for _ in range(2):
        assert credentials.renew("first")
        assert await credentials.current() == "second"


async def test_a_source_that_asks_for_what_it_fetches_is_told() -> None:
    """It would wait for itself, by whatever way it asks; another client's token is another's."""
    other = Credentials(lambda: asyncio.sleep(0, "of another"))

    async def source() -> str:
        assert await other.current() == "of another"
        return str(await asyncio.create_task(credentials.current()))

    credentials = Credentials(source)
    with pytest.raises(RuntimeError, match="must not call that client"):
        await credentials.current()
    assert await other.current() == "of another"
