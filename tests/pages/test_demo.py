"""The demo page, as whoever opens it for the first time sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.pages.browser import WIDTHS, visiting
from tests.servers.seenby import Seenby

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seenby]:
    """seenby, as `make run` starts it."""
    server = Seenby("serve", tmp_path_factory.mktemp("demo"), {}).start()
    yield server
    server.stop()


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_is_there(browser: Browser, server: Seenby, width: int) -> None:
    """The page fits its window, and has nothing to complain about."""
    with visiting(browser, server.api, width=width) as visit:
        expect(visit.page.get_by_role("heading", level=1)).to_be_visible()
        assert visit.width_needed() == width
        visit.shot(f"demo-{width}")
