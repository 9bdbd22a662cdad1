"""One Chromium for each module; what a test sees is in a context of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.pages.browser import chromium

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A running Chromium."""
    with chromium() as browser:
        yield browser
