"""Makes docs/pictures/demo.png for the README, from a run: `python -m tests.pages.picture`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.pages.browser import ROOT, chromium
from tests.pages.demo import PIZZA, demo
from tests.servers.seenby import Seenby

PICTURE = ROOT / "docs" / "pictures" / "demo.png"


def main() -> None:
    """A group in which three of four have read a message, and one has no network."""
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        server = Seenby("serve", Path(folder), {}).start()
        try:
            with demo(browser, server) as seen:
                seen.connected("Cleo", "Dan", "Eve", "Finn", "Gina", "Hana")
                seen.device("Gina's phone").turn(on=False)
                for reader in ("Dan", "Eve", "Finn"):
                    seen.device(f"{reader}'s phone").mark()
                seen.device("Dan's phone").write("Me! I bring cake")
                seen.device("Cleo's phone").mark()
                seen.device("Eve's laptop").look()
                for hers in seen.both("Cleo"):
                    hers.has_ticks(PIZZA, "Read by 3 of 4")
                for his in seen.both("Dan"):
                    his.has_ticks("Me! I bring cake", "Read by 2 of 4")
                seen.page.set_viewport_size({"width": 1280, "height": 870})
                seen.page.locator("#group-title").evaluate("title => title.scrollIntoView()")
                seen.page.mouse.move(0, 0)
                PICTURE.parent.mkdir(exist_ok=True)
                seen.page.screenshot(path=PICTURE)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
