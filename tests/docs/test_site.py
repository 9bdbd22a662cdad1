"""The site that `make docs` builds: whole, and with nothing in it that comes from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.docs.pages import ROOT
from tests.pages.browser import chromium

if TYPE_CHECKING:
    from pathlib import Path

ELSEWHERE = re.compile(
    # What a browser loads by itself; a link is for a person to follow.
    r"<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\bsrc=[\"']?(?:https?:)?//[^>]*>"
    r"|<link\b[^>]*\bhref=[\"']?(?:https?:)?//[^>]*>"
)
STYLE_ELSEWHERE = re.compile(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)\s]*")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        # Not --quiet: with it mkdocs counts no warnings, and strict finds nothing.
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return folder


def test_the_site_is_whole(site: Path) -> None:
    """The builder has no complaint: no page is left out, no link misses its heading."""
    assert (site / "index.html").exists()


def test_no_page_loads_from_elsewhere(site: Path) -> None:
    """No tag and no style sheet names another host."""
    found = {
        (path.name, address)
        for suffix, pattern in (("html", ELSEWHERE), ("css", STYLE_ELSEWHERE))
        for path in site.rglob(f"*.{suffix}")
        for address in pattern.findall(path.read_text(encoding="utf-8"))
    }
    assert found == set()


def test_code_is_coloured_by_the_builder(site: Path) -> None:
    """Keywords are marked in the page itself, without a script."""
    assert '<span class="p">{</span><span class="nt">' in (site / "http.html").read_text("utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_search_needs_no_network(site: Path, scheme: str) -> None:
    """A browser that reads the site from its files searches it, and asks nobody for anything."""
    asked: list[str] = []
    said: list[str] = []
    with chromium() as browser:
        page = browser.new_page(color_scheme="dark" if scheme == "dark" else "light")
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto((site / "index.html").as_uri())
        page.keyboard.press("/")
        page.keyboard.type("restored from a backup")
        page.get_by_text("matching documents").wait_for()
        page.locator(".md-search-result__item", has_text="Deploy").first.wait_for()
        palette = page.locator("body").get_attribute("data-md-color-scheme")

    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert said == []
    assert palette == {"light": "default", "dark": "slate"}[scheme]
