"""Pages in Debian's Chromium, seen as a person sees them, and everything they complain about.

A page that says something on its console, throws, or asks for anything outside its own origin has
failed, whatever it shows.
"""

from __future__ import annotations

import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from playwright.sync_api import expect, sync_playwright

from tests.servers.process import ServerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, ConsoleMessage, Page, Request, WebSocket

ROOT = Path(__file__).parents[2]
ARTEFACTS = ROOT / "artefacts" / "pages"
AXE = ROOT / "clients" / "js" / "node_modules" / "axe-core" / "axe.min.js"

WIDTHS = (390, 1280)
"""CSS pixels: a phone and a laptop."""

SCHEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")

FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
"""Until a frame has been drawn, and all that is told before it."""

PATIENCE = 60_000
"""Milliseconds in which something must be seen: a busy machine needs some."""

expect.set_options(timeout=PATIENCE)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running Chromium, which is gone afterwards."""
    program = shutil.which("chromium")
    if program is None:
        raise ServerError("Chromium is missing: run scripts/install-test-servers")
    with sync_playwright() as playwright:
        # Containers and root have no sandbox; the pages are our own.
        browser = playwright.chromium.launch(
            executable_path=program,
            args=[
                "--no-sandbox",
                "--disable-dev-shm-usage",
                # A window's address bar is two renderers more, and nobody types there.
                "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup",
                # A page that comes from another machine, as far as it can see.
                "--host-resolver-rules=MAP *.seenby.test 127.0.0.1",
            ],
        )
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """A page in a context of its own (storage, cookies), and what happened there.

    Attributes:
        page: Playwright's.
        complaints: what it said on the console as an error or a warning, and what it threw.
        foreign: what it asked for outside its own origin. The gateway's socket is its own.
    """

    def __init__(self, page: Page, own: set[str]) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        self._own = own
        page.set_default_timeout(PATIENCE)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._asked)
        page.on("websocket", self._asked)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning", "assert"}:
            where = message.location.get("url", "")
            self.complaints.append(f"{message.type}: {message.text} ({where})")

    def _asked(self, request: Request | WebSocket) -> None:
        address = urlsplit(request.url)
        if f"{address.scheme}://{address.netloc}" not in self._own and address.scheme != "data":
            self.foreign.append(request.url)

    def forgive(self, pattern: str) -> None:
        """Forget complaints of this form: Chromium's own, of a server that a test has killed."""
        self.complaints = [said for said in self.complaints if not re.search(pattern, said)]

    def shot(self, name: str, *, whole: bool = True) -> Path:
        """A picture of the page, kept as artefacts/pages/{name}.png."""
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        path = ARTEFACTS / f"{name}.png"
        self.page.screenshot(path=path, full_page=whole)
        return path

    def axe(self) -> list[str]:
        """What axe finds wrong with the page as it is now: rule, sentence and places."""
        # Not add_script_tag: the page's policy forbids that, as it should.
        tools = self.page.context.new_cdp_session(self.page)
        tools.send("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")})
        tools.detach()
        found: dict[str, Any] = self.page.evaluate("axe.run({resultTypes: ['violations']})")
        return [
            f"{finding['id']}: {finding['help']}: {node['html'][:160]} {node['failureSummary']}"
            for finding in found["violations"]
            for node in finding["nodes"]
        ]

    def looks(self, *widths: int) -> Iterator[tuple[str, int]]:
        """The page at these widths, in light and in dark: what each look is called, and its width.

        It is not loaded anew: what is shown, open or typed stays so.
        """
        for width in widths or WIDTHS:
            self.page.set_viewport_size({"width": width, "height": height_of(width)})
            for scheme in SCHEMES:
                self.page.emulate_media(color_scheme=scheme)
                # Scripts are told of both before the next frame.
                self.page.evaluate(FRAMES)
                yield f"{width}-{scheme}", width

    def width_needed(self) -> int:
        """CSS pixels that the page is wide; more than the window: one must scroll sideways."""
        width: int = self.page.evaluate("document.documentElement.scrollWidth")
        return width


def height_of(width: int) -> int:
    """How high a window of this width is."""
    return 844 if width < 600 else 800


@contextmanager
def visiting(
    browser: Browser,
    address: str,
    *sockets: str,
    width: int = 1280,
    scheme: Literal["light", "dark"] = "light",
    **context: Any,
) -> Iterator[Visit]:
    """The page at this address; afterwards it must have complained about nothing.

    Args:
        browser: where a new context is made.
        address: where to go.
        sockets: origins besides the page's that it may talk to, such as ws://127.0.0.1:8081.
        width: of the window, in CSS pixels.
        scheme: light or dark.
        context: more of what Playwright's new_context() takes.
    """
    room = browser.new_context(
        viewport={"width": width, "height": height_of(width)},
        color_scheme=scheme,
        reduced_motion=context.pop("reduced_motion", "reduce"),
        # What is shown of a time does not depend on who runs the tests, nor where.
        locale="en-US",
        timezone_id="UTC",
        **context,
    )
    try:
        parts = urlsplit(address)
        visit = Visit(room.new_page(), {f"{parts.scheme}://{parts.netloc}", *sockets})
        visit.page.goto(address)
        yield visit
        assert visit.complaints == []
        assert visit.foreign == []
    finally:
        room.close()
