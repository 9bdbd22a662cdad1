"""Several tabs of one browser, which share its localStorage and its Web Locks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.pages.browser import chromium
from tests.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import BrowserContext, Page

    from tests.acceptance.conftest import Launch

MARKS = 150

KEEP = """
(marks) => {
  localStorage.setItem("seenby bob device", "phone");
  for (const mark of marks)
    localStorage.setItem(`seenby bob phone mark ${mark.msg_id}`, JSON.stringify(mark));
}
"""

OPEN = """
async () => {
  const { Seenby } = await import("/page/seenby.js");
  const gate = new Promise((open) => (window.open = open));
  // Requests with marks stand at the gate, however long it is closed.
  const fetched = async (url, init) => {
    if (!String(url).endsWith("/batch")) return fetch(url, init);
    asked += 1;
    await gate;
    return fetch(url, { ...init, signal: null });
  };
  window.asked = window.told = 0;
  window.bob = new Seenby({ userId: "bob", via: "http", fetch: fetched });
  bob.on("marked", () => void (told += 1));
  return bob.pending.length;
}
"""

LOCKS = "navigator.locks.query().then(({ held, pending }) => [held.length, pending.length])"


@pytest.fixture
def browser() -> Iterator[BrowserContext]:
    """One person's browser; it ends with the test, whose loop would stand in the way of others'."""
    with chromium() as program:
        yield program.new_context()


def tab(browser: BrowserContext, api: str) -> Page:
    """A new tab of the chat's, with marks that nobody has sent yet."""
    page = browser.new_page()
    page.goto(f"{api}/health")
    marks = [
        {"msg_id": f"m{n}", "sender_id": "alice", "conversation_id": "c1"} for n in range(MARKS)
    ]
    page.evaluate(KEEP, marks)
    return page


def wait_for(what: str, page: Page, expression: str, value: object) -> None:
    """Until an expression has a value in a tab."""
    wait_until(what, lambda: json.dumps(page.evaluate(expression)) == json.dumps(value))


def test_one_sends_what_is_kept(browser: BrowserContext, launch: Launch) -> None:
    """Of tabs that are restored with the browser one sends what is kept, and the others wait."""
    server = launch("serve")
    tabs = [tab(browser, server.api) for _ in range(3)]
    assert [page.evaluate(OPEN) for page in tabs] == [MARKS] * 3
    for page in tabs:
        page.evaluate("bob.connect()")
    wait_for("one has its turn, and two wait", tabs[0], LOCKS, [1, 2])
    wait_until("it has asked", lambda: any(page.evaluate("asked") for page in tabs))
    assert sum(page.evaluate("asked") for page in tabs) == 1
    for page in tabs:
        page.evaluate("open()")
    for page in tabs:
        wait_for("no mark waits", page, "bob.pending.length", 0)
    # A browser that is slow to show a tab what another has stored makes it send that again.
    assert sum(page.evaluate("told") for page in tabs) >= MARKS
    kept = "Object.keys(localStorage).filter((key) => key.includes(' mark '))"
    wait_for("nothing is kept", tabs[0], kept, [])


def test_a_tab_that_dies_in_its_turn(browser: BrowserContext, launch: Launch) -> None:
    """What it has not got answered is sent by the next tab, as soon as it is gone."""
    server = launch("serve")
    first, second = tab(browser, server.api), tab(browser, server.api)
    assert [page.evaluate(OPEN) for page in (first, second)] == [MARKS] * 2
    first.evaluate("bob.connect()")
    wait_for("the first has asked", first, "asked", 1)
    second.evaluate("bob.connect()")
    wait_for("the second waits for its turn", second, LOCKS, [1, 1])
    second.evaluate("open()")
    assert second.evaluate("[asked, told]") == [0, 0]
    first.close()
    wait_for("all are answered", second, "[told, bob.pending.length]", [MARKS, 0])
