"""docs/tutorial.md: its commands, files and pages, word for word, in a real browser.

What is the reader's own is the ports and where the packages are. ``follow()`` does it with any
packages; here they are those of the checkout, which need no installing.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.docs.pages import DOCS, Block, blocks_of
from tests.docs.reader import Reader
from tests.pages.browser import Visit, chromium
from tests.pages.bundles import JS, bundle
from tests.servers.ports import free_port

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, WebSocket

PAGE = DOCS / "tutorial.md"
SERVE, PAGES = "seenby serve", "http.server"

# What Chromium itself says of a server that has no icon, and of one that is away.
FAVICON = r"favicon\.ico"
AWAY = "ERR_CONNECTION_REFUSED|WebSocket connection to .* failed"


def test_the_tutorial(tmp_path: Path) -> None:
    """Whoever follows the tutorial sees what it says, with what this checkout is."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    package = tmp_path / "node_modules/seenby/dist"
    package.mkdir(parents=True)
    bundle(JS / "src/index.ts", package / "index.js")
    bundle(JS / "src/element/index.ts", package / "element.js")
    follow(tmp_path)


def follow(folder: Path, packages: Path | None = None) -> None:
    """Do what the tutorial says, in an empty folder.

    Args:
        folder: where.
        packages: the folder with the wheel and the npm tarball, which are installed as the
            tutorial says; None: they are in *folder* already.
    """
    blocks: dict[str, list[Block]] = {}
    for block in blocks_of(PAGE):
        blocks.setdefault(block.heading, []).append(block)
    api, gateway, pages = free_port(), free_port(), free_port()
    reader = Reader(
        folder,
        {
            "localhost:8080": f"localhost:{api}",
            "localhost:8000": f"localhost:{pages}",
            "http.server 8000": f"http.server {pages}",
            "~/seenby/dist": str(packages),
        },
        {SERVE: (api, gateway), PAGES: (pages,)},
        # The first Python on the PATH and its Node, as at home; but no seenby.
        path=[str(programs(folder))],
        settings={"SEENBY_API_PORT": str(api), "SEENBY_GATEWAY_PORT": str(gateway)},
    )
    install = blocks.pop("Install")
    site = f"http://localhost:{pages}"
    own = {site, f"http://localhost:{api}", f"ws://127.0.0.1:{gateway}"}
    with ExitStack() as stack:
        stack.callback(reader.close)
        if packages is not None:
            reader.follow(install)
        reader.follow(start := blocks.pop("Start seenby"))
        reader.follow(blocks.pop("Register a group and a message"))
        context = stack.enter_context(chromium()).new_context()

        reader.follow(blocks.pop("Alice's page"))
        alice = Visit(context.new_page(), own)
        alice.page.goto(f"{site}/alice.html")
        ticks = alice.page.locator("seen-by")
        expect(ticks.get_by_label("Sent")).to_be_visible()

        reader.follow(blocks.pop("Five have read it"))
        expect(ticks).to_contain_text("5 of 10")
        ticks.get_by_role("button").click()
        for name in ("bob", "carol", "dan", "eve", "frank"):
            expect(ticks.get_by_text(name)).to_be_visible()
        alice.page.keyboard.press("Escape")

        alice.page.get_by_label("online").uncheck()
        reader.follow(blocks.pop("Offline, and back"))
        expect(ticks).to_contain_text("5 of 10")
        alice.page.get_by_label("online").check()
        expect(ticks).to_contain_text("6 of 10")
        reader.stop(SERVE)
        reader.follow(start)

        reader.follow(blocks.pop("Read when it is seen"))
        heidi_reads(context, f"{site}/heidi.html", own)
        expect(ticks).to_contain_text("7 of 10")

        alice.forgive(f"{FAVICON}|{AWAY}")
        assert alice.complaints == []
        assert alice.foreign == []
    # No block was passed over.
    assert blocks == {}


def heidi_reads(context: BrowserContext, address: str, own: set[str]) -> None:
    """Open Heidi's page, wait for long, and scroll down to the message."""
    heidi = Visit(context.new_page(), own)
    sent: list[str] = []
    heard: list[str] = []

    def listen(socket: WebSocket) -> None:
        socket.on("framesent", lambda frame: sent.append(str(frame)))
        socket.on("framereceived", lambda frame: heard.append(str(frame)))

    heidi.page.on("websocket", listen)
    heidi.page.clock.install()
    with heidi.page.expect_websocket() as opened:
        heidi.page.goto(address)
    # A client whose clock leaps before the welcome gives up on it.
    while not any('"welcome"' in frame for frame in heard):
        heidi.page.wait_for_timeout(20)
    heidi.page.clock.fast_forward(60_000)
    assert not any('"read"' in frame for frame in sent)

    with opened.value.expect_event("framesent", lambda frame: '"read"' in str(frame)):
        heidi.page.get_by_text("Alice: Lunch at noon?").scroll_into_view_if_needed()
    heidi.forgive(FAVICON)
    assert heidi.complaints == []
    assert heidi.foreign == []


def programs(folder: Path) -> Path:
    """A folder with python3, node and npm, as a newcomer has them."""
    found = folder / "programs"
    found.mkdir()
    own = Path(sys.executable).parent
    (found / "python3").symlink_to(Path(sys.executable).resolve())
    for name in ("node", "npm"):
        (found / name).symlink_to(own / name)
    return found
