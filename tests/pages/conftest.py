"""One Chromium for all tests of a worker; what a test sees is in a context of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.pages.browser import chromium

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser


SECONDS = 600
"""For one test: a busy machine has needed a hundred for a page that takes it five alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of pages may take longer than others."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(SECONDS))


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A running Chromium.

    It ends with the package, not the session: Playwright's loop would stand in the way of tests
    elsewhere that run a loop of their own.
    """
    with chromium() as browser:
        yield browser
