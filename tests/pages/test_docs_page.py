"""The page at /docs as a person sees it: both descriptions, to be read and tried out."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.pages.browser import ROOT, visiting
from tests.servers.seenby import Seenby, get

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Locator, Page

VENDORED = ROOT / "src" / "seenby" / "page" / "vendor" / "swagger-ui"
PACKAGE = ROOT / "vendor" / "node_modules" / "swagger-ui-dist"

SWAGGER_UI = (
    # Swagger UI 5.35: a button in the button that opens an operation, headings of its own choice, a
    # field for bodies without a label, a main inside of what surrounds it. They are in its bundle,
    # which is used as it is.
    "nested-interactive",
    "heading-order",
    "label",
    "landmark-main-is-top-level",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seenby]:
    """A process that serves the page."""
    server = Seenby("serve", tmp_path_factory.mktemp("docs"), {}).start()
    yield server
    server.stop()


def operation(page: Page, name: str) -> Locator:
    """An operation, as Swagger UI shows it."""
    return page.locator(f"[id$='-{name}'].opblock")


def test_every_operation_is_shown(browser: Browser, server: Seenby) -> None:
    """All of /openapi.json is there, in colours that can be read, and no wider than the window."""
    described = get(f"{server.api}/openapi.json")
    count = sum(len(methods) for methods in described["paths"].values())
    with visiting(browser, f"{server.api}/docs") as visit:
        expect(visit.page.locator(".opblock")).to_have_count(count)
        operation(visit.page, "mark").get_by_role("button").first.click()
        expect(visit.page.get_by_text("Answered after a durable commit.")).to_be_visible()
        for look, width in visit.looks():
            assert visit.width_needed() <= width
            visit.shot(f"docs-http-{look}", whole=False)
            found = visit.axe()
            assert [each for each in found if not each.startswith(SWAGGER_UI)] == []
            # What is excused is in Swagger UI's own part of the page.
            own = ("opblock", "body-param", 'id="operations"')
            assert all(any(mark in each for mark in own) for each in found)


def test_an_operation_can_be_tried_out(browser: Browser, server: Seenby) -> None:
    """What is sent from the page reaches this instance, and the answer is shown."""
    with visiting(browser, f"{server.api}/docs") as visit:
        mark = operation(visit.page, "mark")
        mark.get_by_role("button").first.click()
        body = {
            "msg_id": "tried",
            "reader_id": "bob",
            "sender_id": "ann",
            "conversation_id": "docs",
        }
        mark.get_by_role("textbox").last.fill(json.dumps(body))
        mark.get_by_role("button", name="Execute").click()
        expect(mark.locator(".live-responses-table")).to_contain_text('"msg_id": "tried"')
    receipts = get(f"{server.api}/api/v1/messages/receipts?msg_id=tried")
    assert receipts["count"] == 1


def test_every_message_is_shown(browser: Browser, server: Seenby) -> None:
    """All channels of /asyncapi.json are there with their messages, fields and examples."""
    described = get(f"{server.api}/asyncapi.json")
    with visiting(browser, f"{server.api}/docs#messages") as visit:
        page = visit.page
        for channel in described["channels"].values():
            shown = page.get_by_role("region", name=channel["title"], exact=True)
            expect(shown).to_contain_text(channel["address"])
            for name in channel["messages"]:
                message = described["components"]["messages"][name]
                expect(shown).to_contain_text(message["summary"].replace("`", ""))
        hello = page.locator("details").filter(has_text="Opens a session").first
        hello.get_by_text("hello", exact=True).click()
        expect(hello.get_by_role("rowheader", name=re.compile("^batch"))).to_be_visible()
        expect(hello).to_contain_text('"device_id": "laptop"')
        for look, width in visit.looks():
            assert visit.width_needed() <= width
            visit.shot(f"docs-messages-{look}", whole=False)
            assert visit.axe() == []


def test_each_part_has_an_address(browser: Browser, server: Seenby) -> None:
    """A link leads to a part or an operation, and the way back works; by keyboard too."""
    with visiting(browser, f"{server.api}/docs#messages") as visit:
        page = visit.page
        expect(page.get_by_role("heading", name="Silent clients")).to_be_visible()
        page.get_by_role("link", name="HTTP", exact=True).focus()
        page.keyboard.press("Enter")
        expect(operation(page, "health")).to_be_visible()
        page.go_back()
        expect(page.get_by_role("heading", name="Silent clients")).to_be_visible()
        page.goto(f"{server.api}/docs#/Operation/health")
        page.reload()
        expect(operation(page, "health")).to_have_class(re.compile("is-open"))


def test_a_description_that_does_not_come_is_said(browser: Browser, server: Seenby) -> None:
    """Without /asyncapi.json the page says what is missing, and shows it the next time."""
    with visiting(browser, f"{server.api}/docs") as visit:
        expect(visit.page.locator(".opblock").first).to_be_visible()
        visit.page.route("**/asyncapi.json", lambda route: route.fulfill(status=503))
        visit.page.get_by_role("link", name="WebSocket and Kafka").click()
        expect(visit.page.get_by_role("alert")).to_contain_text("503")
        visit.page.unroute("**/asyncapi.json")
        visit.page.get_by_role("link", name="HTTP", exact=True).click()
        visit.page.get_by_role("link", name="WebSocket and Kafka").click()
        expect(visit.page.get_by_role("heading", name="Silent clients")).to_be_visible()
        expect(visit.page.get_by_role("alert")).to_be_hidden()
        # Only here: Chromium's complaint may come after the page's own.
        visit.forgive("503")


@pytest.mark.parametrize("file", sorted(VENDORED.iterdir()), ids=lambda file: file.name)
def test_swagger_ui_is_as_it_was_published(file: Path) -> None:
    """The files that are served are those of the package that vendor/package-lock.json pins."""
    assert (PACKAGE / "package.json").exists(), "vendor/node_modules is missing: npm ci in vendor"
    names = {"LICENSE.txt": "LICENSE", "NOTICE.txt": "NOTICE"}
    assert file.read_bytes() == (PACKAGE / names.get(file.name, file.name)).read_bytes()
