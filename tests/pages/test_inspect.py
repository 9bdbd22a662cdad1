"""The operators' page: what runs, how far each device is, and where a receipt is."""

from __future__ import annotations

import re
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from seenby.store.schema import migrate
from seenby.store.sql import open_store
from tests.acceptance.devices import Api, Device
from tests.acceptance.test_auth import SECRET, token
from tests.pages.browser import visiting
from tests.servers.ports import free_port
from tests.servers.seenby import Seenby

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

    from seenby.store.connections import Connection

REFUSED = r"status of 40[13]|ERR_CONNECTION_REFUSED"
"""What Chromium itself says of answers that this page expects and explains."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seenby]:
    """seenby, as `make run` starts it."""
    server = Seenby("serve", tmp_path_factory.mktemp("inspect"), {}).start()
    yield server
    server.stop()


def test_a_receipts_way_is_shown(browser: Browser, server: Seenby) -> None:
    """Where it is for each device, and from there to the sender and back; at both widths."""
    sender, msg = "ann", "m1"
    with (
        closing(Api(server.api)) as api,
        Device(server.gateway, sender, "laptop", hello={}) as laptop,
        Device(server.gateway, sender, "phone", hello={}) as phone,
    ):
        with Device(server.gateway, sender, "tablet", hello={}) as tablet:
            tablet.wait("welcome", lambda d: bool(d.of("welcome")))
            api.mark(f"first-{msg}", "bob", sender)
            tablet.wait_receipts(1)
            tablet.send({"type": "ack", "seq": 1})
        api.mark(msg, "bob", sender)
        for device in (laptop, phone):
            device.wait_receipts(2)
        phone.send({"type": "ack", "seq": 2})
        address = f"{server.api}/inspect?message={msg}"
        with visiting(browser, address) as visit:
            page = visit.page
            status = page.get_by_role("status")
            expect(status).to_have_text("1 receipt, acknowledged by 1 of 3 devices.")
            expect(page.get_by_role("list", name="Its way")).to_contain_text(
                re.compile(r"Recorded\s*[\d:/ ]+\.\d{3}\s*Published\s*\+[\d.]+ m?s")
            )
            for name, said in (
                ("laptop", r"pushed\s*\+[\d.]+ m?s\s*\u2013"),
                ("phone", r"acknowledged\s*\+[\d.]+ m?s\s*\+[\d.]+ m?s"),
                ("tablet", r"offline, 1 behind\s*\u2013\s*\u2013\s*seen .* ago"),
            ):
                row = page.get_by_role("row", name=re.compile(f"^{name}"))
                expect(row).to_have_text(re.compile(said))
            expect(page.get_by_role("img", name=re.compile("^Marks: "))).to_be_visible()
            expect(page.get_by_role("row", name=re.compile("^serve serve"))).to_contain_text("well")
            for look, width in visit.looks():
                visit.shot(f"inspect-message-{look}")
                assert visit.axe() == []
                assert visit.width_needed() == width

            page.get_by_role("link", name=sender).click()
            expect(status).to_have_text("3 devices: 2 connected, 2 behind.")
            expect(page).to_have_url(f"{server.api}/inspect?user={sender}")
            expect(page.get_by_role("row", name=re.compile("^tablet"))).to_contain_text("offline")
            for look, width in visit.looks():
                visit.shot(f"inspect-user-{look}")
                assert visit.axe() == []
                assert visit.width_needed() == width
            page.go_back()
            expect(status).to_have_text("1 receipt, acknowledged by 1 of 3 devices.")
            expect(page.get_by_role("textbox", name="Its id")).to_have_value(msg)


def test_it_is_looked_for_by_keyboard_and_stays_up_to_date(
    browser: Browser, server: Seenby
) -> None:
    """Typed and entered; what happens afterwards is shown by itself, and the focus stays."""
    with visiting(browser, f"{server.api}/inspect") as visit, closing(Api(server.api)) as api:
        page = visit.page
        page.get_by_role("textbox", name="Its id").fill("late")
        page.keyboard.press("Enter")
        status = page.get_by_role("status")
        expect(status).to_contain_text("Nothing is known of this message")
        expect(page).to_have_url(f"{server.api}/inspect?message=late")
        api.mark("late", "bob", "eve")
        expect(status).to_have_text("1 receipt, acknowledged by 0 of 0 devices.")
        expect(page.get_by_text("The sender has no device that is known.")).to_be_visible()
        page.get_by_role("link", name="eve").focus()
        api.mark("late", "cid", "eve")
        expect(status).to_have_text("2 receipts, acknowledged by 0 of 0 devices.")
        expect(page.get_by_role("link", name="eve").first).to_be_focused()
        page.get_by_role("combobox").select_option("User")
        page.get_by_role("textbox", name="Its id").fill("nobody at all")
        page.get_by_role("button", name="Look").click()
        expect(page.get_by_role("alert")).to_contain_text("user_id must be")
        visit.forgive("status of 400")


def test_an_id_of_the_other_kind(browser: Browser, server: Seenby) -> None:
    """Where nothing is known of an id, the other kind is a link away."""
    with closing(Api(server.api)) as api:
        api.mark("known-message", "bob", "known-user")
        asked = {"msg_id": "unread", "conversation_id": "dinner", "sender_id": "known-user"}
        members = {"type": "private", "members": ["known-user", "bob"]}
        for method, path, body in (
            ("PUT", "/api/v1/conversations/dinner", members),
            ("POST", "/api/v1/messages", asked),
        ):
            answered, document = api.request(method, path, body)
            assert answered == 200, document
    with visiting(browser, f"{server.api}/inspect?message=known-user") as visit:
        page, status = visit.page, visit.page.get_by_role("status")
        expect(status).to_contain_text("Nothing is known of this message")
        page.get_by_role("link", name="Is it a user\u2019s id?").click()
        expect(status).to_have_text("0 devices: 0 connected, 0 behind.")
        expect(page.get_by_role("link", name="known-message")).to_be_visible()
        page.goto(f"{server.api}/inspect?user=known-message")
        expect(status).to_have_text("Nothing is known of this user.")
        page.get_by_role("link", name="Is it a message\u2019s id?").click()
        expect(page.get_by_role("list", name="Its way")).to_be_visible()
        page.goto(f"{server.api}/inspect?message=unread")
        expect(status).to_have_text("Nobody has read it yet.")
        expect(page.get_by_text("0 of 1", exact=True)).to_be_visible()


def test_going_back_to_the_beginning_leaves_nothing_of_what_was_looked_for(
    browser: Browser, server: Seenby
) -> None:
    """Neither in the field nor in the title."""
    with visiting(browser, f"{server.api}/inspect") as visit:
        page = visit.page
        title = page.title()
        field = page.get_by_role("textbox", name="Its id")
        field.fill("sought")
        page.keyboard.press("Enter")
        expect(page).to_have_title("seenby: message sought")
        page.go_back()
        expect(page).to_have_title(title)
        expect(field).to_have_value("")


def test_whatever_an_id_holds_it_is_text(browser: Browser, server: Seenby) -> None:
    """Ids come from anywhere."""
    msg, user = "<img/src=x/onerror=alert(1)>", "<svg/onload=alert(1)>&amp;"
    with closing(Api(server.api)) as api:
        api.mark(msg, user, "fay")
    address = f"{server.api}/inspect?message={quote(msg, safe='')}"
    with visiting(browser, address) as visit:
        expect(visit.page.get_by_role("link", name=user)).to_have_text(user)
        visit.page.get_by_role("link", name=user).click()
        expect(visit.page.get_by_role("status")).to_have_text("Nothing is known of this user.")
        expect(visit.page.locator("img, svg[onload]")).to_have_count(0)


def test_many_receipts_come_in_pages(browser: Browser, server: Seenby) -> None:
    """The next ones are a link away, and have an address of their own."""
    with closing(Api(server.api)) as api:
        for number in range(21):
            api.mark("popular", f"reader{number}", "gil")
    with visiting(browser, f"{server.api}/inspect?message=popular") as visit:
        expect(visit.page.get_by_role("article")).to_have_count(20)
        visit.page.get_by_role("link", name="The next receipts").click()
        expect(visit.page.get_by_role("article")).to_have_count(1)
        expect(visit.page).to_have_url(re.compile(r"\?message=popular&cursor=\d+$"))
        visit.page.reload()
        expect(visit.page.get_by_role("article")).to_contain_text("reader20")


def moved(node: str, by: int, connection: Connection) -> None:
    """A node was seen so many milliseconds later."""
    statement = "UPDATE nodes SET seen = seen + :by WHERE node = :node"
    assert connection.change(statement, by=by, node=node) == 1


def test_what_is_lost_and_what_waits(browser: Browser, tmp_path: Path) -> None:
    """Kafka away and gateways gone: said at once, with since when, and what may be missing."""
    url = f"sqlite:///{tmp_path}/seenby.db"
    migrate(url)
    with closing(open_store(url)) as store:
        for name in ("gone", "cut-off"):
            store.inspecting.report(
                name, "gateway", url="http://127.0.0.1:1", ticket="t", uptime_ms=1, numbers="{}"
            )
        # Hours, so that neither changes its state while a busy machine gets there.
        for name, hours in (("gone", -2), ("cut-off", 2)):
            store.connections.run(partial(moved, name, hours * 3_600_000))
    server = Seenby("api", tmp_path, {"KAFKA_BROKERS": f"127.0.0.1:{free_port()}"}).start()
    try:
        with closing(Api(server.api)) as api:
            api.mark("m1", "bob", "ann")
        address = f"{server.api}/inspect?message=m1"
        with visiting(browser, address) as visit:
            page = visit.page
            expect(page.get_by_role("status")).to_have_text(
                "1 receipt, acknowledged by 0 of 0 devices; 1 waiting to be published."
            )
            expect(page.get_by_role("list", name="Its way")).to_contain_text(
                re.compile(r"waiting in the outbox\s*since [\d:.]+, for \d")
            )
            expect(page.get_by_text("Something may be missing.")).to_contain_text(
                "cut-off (gateway): it cannot be reached; gone (gateway): it was not seen"
            )
            expect(page.get_by_role("row", name=re.compile("^gone"))).to_contain_text(
                re.compile(r"lost seen 2 h ago")
            )
            expect(page.get_by_text("1 batch", exact=True)).to_be_visible()
            # What does not change grows older all the same.
            way = page.get_by_role("list", name="Its way")
            expect(way).not_to_have_text(way.inner_text())
            for look, width in visit.looks():
                visit.shot(f"inspect-trouble-{look}")
                assert visit.axe() == []
                assert visit.width_needed() == width
            server.kill()
            expect(page.get_by_role("alert")).to_have_text("The API does not answer.")
            expect(page.get_by_role("status")).to_contain_text("1 receipt")
            server.start()
            expect(page.get_by_role("alert")).to_be_hidden()
            visit.forgive(REFUSED)
    finally:
        server.kill()


def test_with_tokens(browser: Browser, tmp_path: Path) -> None:
    """A service's token is asked for, kept in this tab only, and never in an address."""
    server = Seenby("serve", tmp_path, {"SEENBY_AUTH": "jwt", "SEENBY_JWT_SECRET": SECRET}).start()
    service = token("backend", scope="service")
    try:
        with visiting(browser, f"{server.api}/inspect?user=ann") as visit:
            page, asked = visit.page, list[str]()
            page.on("request", lambda request: asked.append(request.url))
            field = page.get_by_label("Service token")
            expect(field).to_be_visible()
            expect(page.get_by_role("heading", name="Now", exact=True)).to_be_hidden()
            assert visit.axe() == []
            field.fill(token("ann"))
            page.get_by_role("button", name="Use it").click()
            expect(page.get_by_role("alert")).to_contain_text("the token's scope must be service")
            field.fill(service)
            field.press("Enter")
            expect(page.get_by_role("heading", name="Now", exact=True)).to_be_visible()
            expect(page.get_by_role("alert")).to_be_hidden()
            expect(page.get_by_role("status")).to_have_text("Nothing is known of this user.")
            expect(field).to_have_value("")
            visit.shot("inspect-token")
            page.reload()
            expect(page.get_by_role("heading", name="Now", exact=True)).to_be_visible()
            assert page.evaluate("localStorage.length + document.cookie.length") == 0
            assert all(service not in url for url in asked)
            page.get_by_role("button", name="Forget it").click()
            expect(page.get_by_role("heading", name="Now", exact=True)).to_be_hidden()
            expect(page.get_by_role("status")).to_be_hidden()
            assert page.evaluate("sessionStorage.length") == 0
            assert "?user=ann" in page.url
            visit.forgive(REFUSED)
    finally:
        server.stop()
