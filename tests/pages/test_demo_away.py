"""The demo page where seenby is away, or does not let it in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from seenby import config
from tests.pages.browser import visiting
from tests.pages.demo import FIRST, PIZZA, demo
from tests.servers.seenby import Seenby

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

SECRET = "secret-for-the-tests-of-the-demo"
REFUSED = r"net::ERR_|WebSocket connection to"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Seenby]:
    """seenby, to be killed."""
    server = Seenby("serve", tmp_path, {}).start()
    yield server
    server.stop()


def test_a_server_that_is_killed(browser: Browser, server: Seenby) -> None:
    """The page says that seenby is away, and is right again by itself when it is back."""
    with demo(browser, server) as seen:
        ann, [phone, laptop] = seen.device("Ann's phone"), seen.both("Bob")
        seen.connected("Ann", "Bob", "Cleo")
        seen.device("Dan's phone").mark()
        seen.device("Cleo's phone").has_ticks(PIZZA, "Read by 1 of 4")

        server.kill()
        away = seen.page.get_by_role("status").filter(has_text="seenby does not answer")
        expect(away).to_be_visible()
        phone.mark()
        phone.has(FIRST, "read, waits for the network")
        ann.write("Bring cake")
        ann.has("Bring cake", "Sending …")
        # The page carries messages: seenby is not needed for that.
        laptop.has_unread(2)
        seen.visit.shot("demo-away", whole=False)

        server.start()
        ann.has_ticks(FIRST, "Read")
        ann.has_ticks("Bring cake", "Sent")
        laptop.has_unread(1)
        expect(away).to_be_hidden()
        laptop.mark()
        ann.has_ticks("Bring cake", "Read")
        for hers in seen.both("Cleo"):
            hers.has_ticks(PIZZA, "Read by 1 of 4")
        seen.visit.forgive(REFUSED)


def test_a_database_that_is_new(browser: Browser, server: Seenby, tmp_path: Path) -> None:
    """Where seenby has lost all it knew, the page tells it anew, and nothing is read any more."""
    with demo(browser, server) as seen:
        seen.connected("Ann", "Bob")
        ann, [bob, laptop] = seen.device("Ann's phone"), seen.both("Bob")
        bob.mark()
        ann.has_ticks(FIRST, "Read")
        # A mark that is not answered is made again, and the new database would have it.
        bob.has(FIRST, "read")
        laptop.has(FIRST, "read")
        server.kill()
        for file in tmp_path.glob("seenby.db*"):
            file.unlink()
        server.start()
        bob.has_unread(1)
        ann.has_ticks(FIRST, "Sent")
        bob.mark()
        ann.has_ticks(FIRST, "Read")
        seen.visit.forgive(REFUSED)


def test_a_gateway_that_cannot_be_reached(browser: Browser, tmp_path: Path) -> None:
    """The page says which gateway it cannot reach, and which settings that may be about."""
    nowhere = "ws://127.0.0.1:9"
    server = Seenby("serve", tmp_path, {"SEENBY_GATEWAY_URL": f"{nowhere}/ws"}).start()
    try:
        with visiting(browser, server.api, nowhere) as visit:
            said = visit.page.get_by_role("status").filter(has_text=nowhere)
            expect(said).to_contain_text("SEENBY_GATEWAY_URL")
            expect(said).to_contain_text(f"SEENBY_ALLOWED_ORIGINS must have {server.api}")
            assert visit.axe() == []
            visit.forgive(REFUSED)
    finally:
        server.stop()


ELSEWHERE = "chat.seenby.test"
"""A name of this machine that does not look like one (see ``chromium``)."""


OPENED = (
    "came from another one: start seenby with SEENBY_GATEWAY_HOST=0.0.0.0, "
    f"SEENBY_GATEWAY_URL=ws://{ELSEWHERE}:{{gateway_port}}/ws and "
    f"SEENBY_ALLOWED_ORIGINS=http://{ELSEWHERE}:{{api_port}}."
)


@pytest.mark.parametrize(
    ("settings", "gateway", "advised"),
    [
        (
            {},
            "ws://127.0.0.1:{gateway_port}",
            OPENED,
        ),
        (
            {"SEENBY_GATEWAY_PORT": "0"},
            "ws://127.0.0.1:0",
            "SEENBY_GATEWAY_PORT=0 took a free port, which no page is told",
        ),
    ],
    ids=["from another machine", "a free port"],
)
def test_what_would_make_it_work(
    browser: Browser, tmp_path: Path, settings: dict[str, str], gateway: str, advised: str
) -> None:
    """Where the addresses say what is wrong, the page says what to set, and to what."""
    server = Seenby("serve", tmp_path, settings)
    ports = {"api_port": server.api_port, "gateway_port": server.gateway_port}
    server.start()
    try:
        address = f"http://{ELSEWHERE}:{server.api_port}"
        with visiting(browser, address, gateway.format(**ports), width=390) as visit:
            said = visit.page.get_by_role("status").filter(has_text="does not answer this page")
            expect(said).to_contain_text(advised.format(**ports))
            assert visit.width_needed() == 390
            visit.shot(f"demo-advice-{len(settings)}", whole=False)
            visit.forgive(REFUSED)
    finally:
        server.stop()


def test_a_server_that_wants_tokens(browser: Browser, tmp_path: Path) -> None:
    """With authentication on the page says why nothing is shown, and what can be looked at."""
    settings = {"SEENBY_AUTH": "jwt", "SEENBY_JWT_SECRET": SECRET}
    server = Seenby("serve", tmp_path, settings).start()
    try:
        with visiting(browser, server.api) as visit:
            main = visit.page.get_by_role("main")
            expect(main).to_contain_text("The demo needs authentication off")
            for name, address in (
                ("The API", "/docs"),
                ("the operators\u2019 page", "/inspect"),
            ):
                link = main.get_by_role("link", name=name)
                expect(link).to_have_attribute("href", address)
            *words, program, role = main.locator("pre").inner_text().replace("\\\n", "").split()
            assert (program, role) == ("seenby", "serve")
            shown = config.load(dict(word.split("=", 1) for word in words))
            assert (shown.auth, shown.kafka, shown.pages) == ("off", False, True)
            there = main.get_by_role("link", name=f"localhost:{shown.api_port}")
            expect(there).to_have_attribute("href", f"http://localhost:{shown.api_port}")
            expect(main.get_by_role("textbox")).to_have_count(0)
            for look, width in visit.looks():
                assert visit.width_needed() == width
                assert visit.axe() == []
                visit.shot(f"demo-tokens-{look}")
    finally:
        server.stop()
