"""The demo page in the words of a person who uses it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from playwright.sync_api import expect

from tests.pages.browser import visiting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator, Page

    from tests.pages.browser import Visit
    from tests.servers.seenby import Seenby

FIRST = "Hi Bob, are you coming on Friday?"
PIZZA = "Pizza on Friday, who is in?"


class Device:
    """One device on the page, such as Ann's phone."""

    def __init__(self, page: Page, name: str) -> None:
        self.name = name
        self.card = page.get_by_role("group", name=name, exact=True)
        self.switch = self.card.get_by_role("switch", name=f"Network of {name}")

    def write(self, text: str) -> None:
        """Write a message, and send it with the return key."""
        self.card.get_by_role("textbox").fill(text)
        self.card.get_by_role("textbox").press("Enter")

    def look(self) -> None:
        """Look at it from now on."""
        self.card.get_by_role("button", name="Look", exact=True).click()

    def mark(self) -> None:
        """Mark all that is there as read."""
        self.card.get_by_role("button", name="Mark as read").click()

    def turn(self, *, on: bool) -> None:
        """Switch its network."""
        expect(self.switch).to_have_attribute("aria-checked", str(not on).lower())
        self.switch.click()
        expect(self.switch).to_have_attribute("aria-checked", str(on).lower())

    def message(self, text: str) -> Locator:
        """One message as it is shown here."""
        return self.card.get_by_role("listitem").filter(has_text=text)

    def has(self, text: str, fate: str) -> None:
        """The message is here, and this stands below it."""
        expect(self.message(text).get_by_text(fate, exact=True)).to_be_visible()

    def has_unread(self, count: int) -> None:
        """The badge says so many; none is shown for 0."""
        badge = self.card.locator(".badge")
        if count:
            expect(badge).to_have_text(f"{count} unread")
        else:
            expect(badge).to_be_hidden()

    def has_ticks(self, text: str, words: str) -> None:
        """The ticks of an own message say so: "Sent", "Read by 1 of 4"."""
        expect(self.message(text).locator("seen-by")).to_contain_text(words)

    def says(self, state: str) -> None:
        """Its network is in this state."""
        expect(self.card.get_by_text(state, exact=True)).to_be_visible()


class Demo:
    """The demo page.

    Attributes:
        visit: what happens there.
        page: Playwright's.
    """

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self.page = visit.page

    def device(self, name: str) -> Device:
        """Such as "Ann's phone"."""
        return Device(self.page, name)

    def both(self, person: str) -> list[Device]:
        """A person's phone and laptop."""
        return [self.device(f"{person}'s {kind}") for kind in ("phone", "laptop")]

    def open_frames(self) -> None:
        """Show the list of frames."""
        self.page.locator("summary").click()
        expect(self.page.get_by_role("log", name="Frames")).to_be_visible()

    @property
    def frames(self) -> Locator:
        """Those that are listed."""
        return self.page.get_by_role("log", name="Frames").get_by_role("listitem")

    def connected(self, *people: str) -> None:
        """The devices of these people are connected."""
        for person in people:
            for device in self.both(person):
                device.says("Network on")


@contextmanager
def demo(browser: Browser, server: Seenby, address: str = "", **more: Any) -> Iterator[Demo]:
    """A visit to the demo of this server; address: under another name."""
    socket = server.gateway.removesuffix("/ws")
    with visiting(browser, address or server.api, socket, **more) as visit:
        yield Demo(visit)
