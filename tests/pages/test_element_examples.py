"""The examples in React and Vue, unchanged, against a real seenby."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import expect

from tests.pages.browser import visiting
from tests.pages.bundles import JS, serving
from tests.servers.ports import free_port
from tests.servers.seenby import Seenby, get
from tests.servers.wait import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NODE = Path(sys.executable).with_name("node")

MEMBERS = ["alice", "bob", *(f"reader{n}" for n in range(9))]


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples as they are bundled."""
    folder = tmp_path_factory.mktemp("examples")
    command = [NODE, JS / "examples" / "bundle.js", folder]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def say(server: Seenby, method: str, path: str, **fields: object) -> None:
    """One request to the API, which must succeed."""
    request = Request(  # noqa: S310 -- loopback, and our own
        f"{server.api}/api/v1/{path}",
        data=json.dumps(fields).encode(),
        headers={"Content-Type": "application/json"},
        method=method,
    )
    with urlopen(request, timeout=10) as answer:  # noqa: S310 -- the same
        assert json.loads(answer.read())["success"]


def marked(server: Seenby, reader: str) -> None:
    """A reader has read alice's message."""
    say(server, "POST", "messages/read", msg_id="hello", reader_id=reader)


@pytest.mark.parametrize("name", ["react", "vue"])
def test_a_chat_with_the_element(
    browser: Browser, examples: Path, tmp_path: Path, name: str
) -> None:
    """One's own message says "5 of 10" as people read it; what one sees of others is marked."""
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    server = Seenby("serve", tmp_path, {"SEENBY_ALLOWED_ORIGINS": origin})
    try:
        server.start()
        say(server, "PUT", "conversations/friday", type="group", members=MEMBERS)
        for msg_id, sender in (("hello", "alice"), ("answer", "bob")):
            message = {"msg_id": msg_id, "conversation_id": "friday", "sender_id": sender}
            say(server, "POST", "messages", **message)
        marked(server, "bob")
        gateway = server.gateway.removesuffix("/ws")
        with (
            serving(examples, api=server.api, gateway=server.gateway, port=port),
            visiting(
                browser,
                f"{origin}/{name}/index.html?user=alice&api={server.api}",
                server.api,
                gateway,
            ) as visit,
        ):
            page = visit.page
            expect(page.get_by_role("button", name="Read by 1 of 10")).to_be_visible()
            for n in range(4):
                marked(server, f"reader{n}")
            shown = page.get_by_role("button", name="Read by 5 of 10")
            expect(shown).to_have_text("5 of 10")
            shown.click()
            names = page.get_by_role("dialog").locator("[part=name]")
            expect(names).to_have_text(["Bob", "reader0", "reader1", "reader2", "reader3"])
            answer = f"{server.api}/api/v1/messages/receipts?msg_id=answer"
            wait_until("alice has read the answer", lambda: bool(get(answer)["count"] == 1))
            expect(page.locator("#answer seen-by")).to_have_count(0)
    finally:
        server.stop()
