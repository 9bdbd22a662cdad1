"""The demo page at /: what whoever opens it sees and does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.pages.browser import WIDTHS
from tests.pages.demo import FIRST, PIZZA, demo
from tests.servers.seenby import Seenby

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Locator

# Too long for any line, and no markup though it looks like some.
LONG = "<b>cake</b>" + "x" * 150

OTHERS = ("Dan", "Eve", "Finn", "Gina")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seenby]:
    """seenby, as `make run` starts it."""
    server = Seenby("serve", tmp_path_factory.mktemp("demo"), {}).start()
    yield server
    server.stop()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_first_visit(browser: Browser, server: Seenby, width: int) -> None:
    """A message written, looked at and read turns the ticks on both of the sender's devices."""
    with demo(browser, server, width=width) as seen:
        page, [phone, laptop], [his_phone, his_laptop] = (
            seen.page,
            seen.both("Ann"),
            seen.both("Bob"),
        )
        expect(page.get_by_role("heading", level=1)).to_have_text(
            "Who has read it? Every device knows."
        )
        for his in (his_phone, his_laptop):
            his.has(FIRST, "unread")
            his.has_unread(1)
        for hers in (phone, laptop):
            hers.has_ticks(FIRST, "Sent")

        phone.write(LONG)
        for his in (his_phone, his_laptop):
            his.has(LONG, "unread")
            his.has_unread(2)
        his_phone.look()
        # It begins with what is unread, and the rest is not seen before one gets there.
        his_phone.has(FIRST, "read")
        his_phone.has(LONG, "unread")
        his_phone.message(LONG).hover()
        page.mouse.wheel(0, 500)

        for his in (his_phone, his_laptop):
            his.has_unread(0)
            his.has(LONG, "read")
            his.has(FIRST, "read")
        for hers in (phone, laptop):
            hers.has_ticks(LONG, "Read")
            hers.has_ticks(FIRST, "Read")
        assert seen.visit.width_needed() == width
        seen.visit.shot(f"demo-{width}")


def test_what_to_try_is_offered_one_after_the_other(browser: Browser, server: Seenby) -> None:
    """Ticks that turn, a device that catches up, a group that counts: the next one stands out."""
    with demo(browser, server, reduced_motion="no-preference") as seen:
        page, [phone, laptop] = seen.page, seen.both("Ann")
        seen.connected("Ann", "Bob", "Cleo")

        def offered(name: str) -> Locator:
            """The one button that stands out."""
            expect(page.locator("button.primary")).to_have_text(name)
            return page.get_by_role("button", name=name)

        story = page.locator("#private-story")
        expect(story).to_have_text("Ann has written to Bob, who has not read it yet.")
        offered("Let Bob read").click()
        for hers in (phone, laptop):
            hers.has_ticks(FIRST, "Read")
        expect(story).to_have_text("Bob has read it, and both of Ann\u2019s devices were told.")

        offered("Take Ann\u2019s phone offline").click()
        phone.says("Network off")
        laptop.has_ticks("My phone has no network here.", "Read")
        expect(phone.message("My phone has no network here.")).to_have_count(0)
        expect(story).to_contain_text("Ann\u2019s phone is offline.")
        page.reload()
        expect(story).to_contain_text("Ann\u2019s phone is offline.")
        offered("Bring Ann\u2019s phone back").click()
        phone.has_ticks("My phone has no network here.", "Read")
        expect(story).to_contain_text("Ann\u2019s phone is back and has caught up")

        offered("Let the others read").click()
        for hers in seen.both("Cleo"):
            hers.has_ticks(PIZZA, "Read by 4 of 4")
        offered("Let 2,000 people read")

        # All of it can be done again: something new is written where all is read.
        page.get_by_role("button", name="Let Bob read").click()
        phone.has_ticks("And will you bring cake?", "Read")
        page.get_by_role("button", name="Let the others read").click()
        seen.device("Cleo's laptop").has_ticks("And at what time?", "Read by 4 of 4")


def test_what_is_done_by_hand_need_not_be_tried(browser: Browser, server: Seenby) -> None:
    """Whoever marks, switches and reads on the devices is offered what comes next."""
    with demo(browser, server) as seen:
        phone = seen.device("Ann's phone")
        seen.connected("Ann", "Bob")
        phone.turn(on=False)
        seen.device("Bob's laptop").mark()
        seen.device("Ann's laptop").has_ticks(FIRST, "Read")
        phone.has_ticks(FIRST, "Sent")
        expect(seen.page.get_by_role("button", name="Bring Ann\u2019s phone back")).to_be_visible()
        phone.turn(on=True)
        phone.has_ticks(FIRST, "Read")
        seen.device("Dan's phone").mark()
        expect(seen.page.get_by_text("to see who it was, and when")).to_be_visible()
        expect(seen.page.locator("button.primary")).to_have_text("Let Bob read")


@pytest.mark.parametrize("width", WIDTHS)
def test_a_group(browser: Browser, server: Seenby, width: int) -> None:
    """The sender is told how many of how many have read it, and who, with each reader."""
    with demo(browser, server, width=width) as seen:
        for number, reader in enumerate(OTHERS, 1):
            phone, laptop = seen.both(reader)
            # Messages of devices that nobody looks at stay unread.
            laptop.has_unread(1)
            phone.mark()
            phone.has_unread(0)
            laptop.has_unread(0)
            for hers in seen.both("Cleo"):
                hers.has_ticks(PIZZA, f"Read by {number} of 4")
        seen.device("Cleo's phone").card.get_by_role("button", name="Read by 4 of 4").click()
        names = seen.page.get_by_role("dialog")
        for reader in OTHERS:
            expect(names.get_by_text(reader, exact=True)).to_be_visible()
        seen.visit.shot(f"demo-group-{width}")


def test_nothing_stands_in_anybodys_way(browser: Browser, server: Seenby) -> None:
    """Axe has nothing to say, whatever is open, on, off, read or unread."""
    with demo(browser, server) as seen:
        seen.device("Dan's phone").mark()
        hers = seen.device("Cleo's laptop")
        hers.has_ticks(PIZZA, "Read by 1 of 4")
        seen.device("Eve's phone").turn(on=False)
        seen.device("Eve's phone").mark()
        seen.device("Bob's phone").look()
        seen.device("Bob's phone").has_unread(0)
        seen.open_frames()
        hers.card.get_by_role("button", name="Read by 1 of 4").click()
        expect(seen.page.get_by_role("dialog").get_by_text("Dan")).to_be_visible()
        for look, _ in seen.visit.looks(1280):
            assert seen.visit.axe() == []
            seen.visit.shot(f"demo-{look}")


def test_by_keyboard(browser: Browser, server: Seenby) -> None:
    """Whoever has no mouse writes, looks, looks away and switches networks all the same."""
    with demo(browser, server) as seen:
        page, bob = seen.page, seen.device("Bob's laptop")
        bob.has_unread(1)
        look = bob.card.get_by_role("button", name="Look", exact=True)
        for _ in range(60):
            page.keyboard.press("Tab")
            if look.evaluate("button => button === document.activeElement"):
                break
        page.keyboard.press("Space")
        expect(bob.card.get_by_role("button", name="Looking")).to_have_attribute(
            "aria-pressed", "true"
        )
        bob.has_unread(0)
        page.keyboard.press("Escape")
        expect(look).to_have_attribute("aria-pressed", "false")
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Space")
        expect(bob.switch).to_have_attribute("aria-checked", "false")


def test_a_device_that_was_away(browser: Browser, server: Seenby) -> None:
    """What was read while a sender's device had no network is told when it has one again."""
    with demo(browser, server) as seen:
        phone, laptop = seen.both("Ann")
        seen.connected("Ann", "Bob")
        phone.turn(on=False)
        phone.says("Network off")
        seen.device("Bob's phone").mark()
        laptop.has_ticks(FIRST, "Read")
        phone.has_ticks(FIRST, "Sent")
        phone.turn(on=True)
        phone.has_ticks(FIRST, "Read")


def test_a_reader_who_was_away(browser: Browser, server: Seenby) -> None:
    """Marks made without a network wait, also over a reload, and go out when there is one."""
    with demo(browser, server) as seen:
        ann, (phone, laptop) = seen.device("Ann's phone"), seen.both("Bob")
        seen.connected("Ann", "Bob")
        phone.has_unread(1)
        phone.turn(on=False)
        ann.write("Bring cake")
        laptop.has_unread(2)
        # What is sent now does not get there.
        phone.has_unread(1)
        phone.mark()
        phone.has(FIRST, "read, waits for the network")
        phone.says("Network off, 1 mark waits")
        laptop.has_unread(2)

        seen.page.reload()
        phone.says("Network off, 1 mark waits")
        expect(phone.message("Bring cake")).to_have_count(0)
        seen.connected("Ann")
        ann.has_ticks(FIRST, "Sent")

        phone.turn(on=True)
        phone.has(FIRST, "read")
        phone.has("Bring cake", "unread")
        laptop.has_unread(1)
        ann.has_ticks(FIRST, "Read")
        ann.has_ticks("Bring cake", "Sent")


def test_a_reload(browser: Browser, server: Seenby) -> None:
    """A page that is loaded anew shows the same as before, on every device."""
    with demo(browser, server) as seen:
        for reader in OTHERS[:3]:
            seen.device(f"{reader}'s laptop").mark()
        seen.device("Cleo's phone").has_ticks(PIZZA, "Read by 3 of 4")
        seen.device("Ann's phone").write("Bring cake")
        seen.device("Bob's phone").has_unread(2)

        seen.page.reload()
        seen.connected("Ann", "Bob", "Cleo", *OTHERS)
        for hers in seen.both("Cleo"):
            hers.has_ticks(PIZZA, "Read by 3 of 4")
        for his in seen.both("Bob"):
            his.has_unread(2)
        for his in seen.both("Dan"):
            his.has_unread(0)
            his.has(PIZZA, "read")
        for hers in seen.both("Gina"):
            hers.has_unread(1)
        seen.visit.shot("demo-reload")


def test_a_new_beginning(browser: Browser, server: Seenby) -> None:
    """Whoever starts anew is a new visitor, to whom nothing has happened yet."""
    with demo(browser, server) as seen:
        seen.device("Bob's phone").mark()
        seen.device("Ann's phone").has_ticks(FIRST, "Read")
        seen.device("Ann's phone").turn(on=False)
        seen.page.get_by_role("button", name="Start anew").click()
        seen.device("Bob's phone").has_unread(1)
        seen.device("Ann's phone").has_ticks(FIRST, "Sent")
        seen.connected("Ann", "Bob")


def test_two_visitors(browser: Browser, server: Seenby) -> None:
    """Nobody reads another visitor's messages, though their names are the same."""
    with demo(browser, server) as one, demo(browser, server) as other:
        other.device("Bob's phone").has_unread(1)
        one.device("Bob's phone").mark()
        one.device("Ann's phone").has_ticks(FIRST, "Read")
        other.connected("Ann", "Bob")
        other.device("Ann's phone").has_ticks(FIRST, "Sent")
        other.device("Bob's phone").has_unread(1)


def test_a_crowd(browser: Browser, server: Seenby) -> None:
    """The count of two thousand climbs live on both of the sender's devices, once a second."""
    with demo(browser, server, reduced_motion="no-preference") as seen:
        hana = seen.both("Hana")
        for hers in hana:
            hers.has_ticks("Good morning all!", "Sent")
        seen.open_frames()
        seen.page.get_by_role("button", name="Let 2,000 people read").click()
        bar = hana[0].card.get_by_role("progressbar")
        expect(bar).to_have_attribute("value", "2000")
        for hers in hana:
            hers.has_ticks("Good morning all!", "Read by 2,000 of 2,000")
        told_to_phone = seen.frames.filter(has_text="Hana's phone")
        # Frames are listed with the next picture, after what they bring.
        expect(told_to_phone.filter(has_text='"read":2000')).to_be_visible()
        counts = [
            json.loads(row)
            for row in told_to_phone.locator(".frame-text").all_inner_texts()
            if "read_count" in row
        ]
        read, told = (
            [count[field] for count in reversed(counts)] for field in ("read", "timestamp")
        )
        assert len(read) > 2
        assert read == sorted(set(read))
        assert read[-1] == 2000
        # One a second, and the last one always.
        assert len(told) <= told[-1] - told[0] + 2
        seen.visit.shot("demo-crowd")


def test_the_frames(browser: Browser, server: Seenby) -> None:
    """The frames of all devices are shown as they pass, until they are paused."""
    with demo(browser, server) as seen:
        page = seen.page
        seen.connected("Ann", "Bob")
        seen.open_frames()
        seen.device("Bob's phone").mark()
        frames = seen.frames
        told = frames.filter(has_text="read_receipt").filter(has_text="Ann's laptop")
        expect(told).to_contain_text('"type":"read_receipt"')
        expect(told).to_contain_text("received by")
        sent = frames.filter(has_text='"type":"read"').filter(has_text="sent by")
        expect(sent).to_contain_text("Bob's phone")

        page.get_by_role("button", name="Pause").click()
        seen.device("Dan's phone").mark()
        seen.device("Cleo's phone").has_ticks(PIZZA, "Read by 1 of 4")
        expect(
            frames.filter(has_text="Cleo's phone").filter(has_text="read_receipt")
        ).to_have_count(0)
        page.get_by_role("button", name="Pause").click()
        expect(
            frames.filter(has_text="Cleo's phone").filter(has_text="read_receipt")
        ).to_have_count(1)
        seen.visit.shot("demo-frames", whole=False)


def test_under_another_name(browser: Browser, server: Seenby) -> None:
    """The page works as http://localhost too: its policy and the gateway let it."""
    with demo(browser, server, f"http://localhost:{server.api_port}") as seen:
        seen.connected("Ann", "Bob")
        seen.device("Bob's phone").mark()
        seen.device("Ann's phone").has_ticks(FIRST, "Read")
