"""The operators' page: what runs, how far each device is, and where a receipt is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.acceptance.devices import Api, Device
from tests.pages.browser import WIDTHS, visiting
from tests.servers.seenby import Seenby

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seenby]:
    """seenby, as `make run` starts it."""
    server = Seenby("serve", tmp_path_factory.mktemp("inspect"), {}).start()
    yield server
    server.stop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_a_receipts_way_is_shown(browser: Browser, server: Seenby, width: int, scheme: str) -> None:
    """Recorded, published, pushed to the device and acknowledged: each with its time."""
    api = Api(server.api)
    name = f"{width}-{scheme}"
    with (
        Device(server.gateway, f"ann-{name}", "laptop", hello={}) as laptop,
        Device(server.gateway, f"ann-{name}", "phone", hello={}) as phone,
    ):
        with Device(server.gateway, f"ann-{name}", "tablet", hello={}) as tablet:
            tablet.wait("welcome", lambda d: bool(d.of("welcome")))
            api.mark(f"first-{name}", "bob", f"ann-{name}")
            tablet.wait_receipts(1)
            tablet.send({"type": "ack", "seq": 1})
        api.mark(f"m-{name}", "bob", f"ann-{name}")
        for device in (laptop, phone):
            device.wait_receipts(2)
        phone.send({"type": "ack", "seq": 2})
        with visiting(
            browser, f"{server.api}/inspect?message=m-{name}", width=width, scheme=scheme
        ) as visit:
            page = visit.page
            expect(page.get_by_role("status")).to_have_text(
                "1 receipt, acknowledged by 1 of 3 devices."
            )
            visit.shot(f"inspect-message-{name}")
            assert visit.axe() == []
            assert visit.width_needed() == width
            page.get_by_role("link", name=f"ann-{name}").click()
            expect(page.get_by_role("status")).to_have_text("3 devices: 2 connected, 2 behind.")
            visit.shot(f"inspect-user-{name}")
            assert visit.axe() == []
            assert visit.width_needed() == width
    api.close()
