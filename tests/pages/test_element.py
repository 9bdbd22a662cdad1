"""The element as people meet it: by eye, by keyboard, with a screen reader, in light and dark."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any, Literal

import pytest
from playwright.sync_api import expect

from tests.pages.browser import ROOT, WIDTHS, Visit, visiting
from tests.pages.bundles import JS, bundle, serving
from tests.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Locator

PAGE = JS / "tests" / "element" / "page"

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

STATES = {
    "sent": ("Sent", "Sent"),
    "some": ("5 of 10", "Read by 5 of 10"),
    "all": ("Read by all", "Read by all 10"),
    "many": ("Read by 3", "Read by 3"),
}
"""Of elements that have attributes only: what is seen, and what is said."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The test page, with the element as it is built, under the pages' policy."""
    folder = tmp_path_factory.mktemp("element")
    for name in ("index.html", "late.html", "page.css"):
        shutil.copy(PAGE / name, folder)
    bundle(JS / "src" / "element" / "index.ts", folder / "element.js", "--minify")
    bundle(PAGE / "page.ts", folder / "page.js")
    with serving(folder) as address:
        yield address


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    """The test page, open."""
    with visiting(browser, address) as visit:
        yield visit


def element(visit: Visit, name: str) -> Locator:
    """One of the page's elements."""
    return visit.page.locator(f"seen-by#{name}")


def button(visit: Visit, name: str) -> Locator:
    """What opens its names."""
    return element(visit, name).locator("button[part~=button]")


def popover(visit: Visit) -> Locator:
    """The names that are open."""
    return visit.page.get_by_role("dialog")


def client(visit: Visit, call: str) -> Any:
    """Something happens at the client behind the page, such as ``mark("live", "bob")``."""
    return visit.page.evaluate(f"client.{call}")


def run(visit: Visit, script: str) -> None:
    """The page does this. What the last statement gives is not looked at, nor called or awaited."""
    visit.page.evaluate(f"() => {{ {script} }}")


def read_live(visit: Visit, *readers: str) -> None:
    """These people read the message ``live``, and the client is told."""
    for reader in readers:
        client(visit, f'mark("live", "{reader}")')
    client(visit, "deliver()")


class TestWhatIsShown:
    @pytest.mark.parametrize("name", STATES)
    def test_attributes_are_enough(self, visit: Visit, name: str) -> None:
        """Without a client the attributes are shown, in short to the eye and in full to the ear."""
        text, label = STATES[name]
        expect(element(visit, name).get_by_role("img", name=label, exact=True)).to_be_visible()
        expect(element(visit, name).locator("[part=text]")).to_have_text(text)
        expect(element(visit, name).locator("button")).to_have_count(0)

    @pytest.mark.parametrize(
        ("today", "said"),
        [("2026-11-24", "Read 12:00 PM"), ("2026-11-25", "Read Nov 24, 2026, 12:00 PM")],
    )
    def test_a_private_message_says_when(self, visit: Visit, today: str, said: str) -> None:
        """What one person was sent is read at a time, on another day with its date."""
        visit.page.clock.set_fixed_time(f"{today}T18:00:00Z")
        visit.page.reload()
        expect(element(visit, "private").get_by_role("img")).to_have_accessible_name(said)
        expect(button(visit, "direct")).to_have_accessible_name(
            said.replace("12:00 PM", "12:46 PM")
        )

    def test_attributes_that_change_are_drawn_anew(self, visit: Visit) -> None:
        """A framework changes attributes or properties, and the element follows."""
        run(visit, "document.querySelector('#some').setAttribute('read', '6')")
        expect(element(visit, "some")).to_contain_text("6 of 10")
        run(visit, "document.querySelector('#some').read = 10")
        expect(element(visit, "some")).to_contain_text("Read by all")
        run(visit, "document.querySelector('#some').read = null")
        expect(element(visit, "some")).to_contain_text("Sent")
        run(visit, "document.querySelector('#some').setAttribute('read', 'five')")
        expect(element(visit, "some")).to_contain_text("Sent")

    def test_a_style_can_tell_the_states(self, visit: Visit) -> None:
        """CSS of the page finds each state, and can style the parts."""
        for state, name in (
            ("sent", "sent"),
            ("some", "some"),
            ("all", "all"),
            ("read", "private"),
        ):
            expect(visit.page.locator(f"seen-by#{name}:state({state})")).to_have_count(1)
        read_live(visit, "ann")
        expect(visit.page.locator("seen-by#live:state(some):not(:state(sent))")).to_have_count(1)

    def test_other_words(self, visit: Visit) -> None:
        """Words and numbers follow the page's language where it gives them."""
        run(
            visit,
            """
            const crowd = document.querySelector('#crowd');
            crowd.lang = 'de';
            crowd.texts = {
              some: (read, of) => `${read} von ${of}`,
              someLabel: (read, of) => `Gelesen von ${read} von ${of}`,
            };
        """,
        )
        expect(button(visit, "crowd")).to_have_text("1.234 von 4.000")
        expect(button(visit, "crowd")).to_have_accessible_name("Gelesen von 1.234 von 4.000")


class TestLive:
    def test_the_count_follows_the_client(self, visit: Visit) -> None:
        """Receipts, counts without names and withdrawals change what is shown, as they come."""
        expect(element(visit, "live").get_by_role("img", name="Sent")).to_be_visible()
        read_live(visit, "ann", "bob")
        expect(button(visit, "live")).to_have_text("2 of 10")
        client(visit, 'markHidden("live", 3)')
        client(visit, "deliver()")
        expect(button(visit, "live")).to_have_text("5 of 10")
        client(visit, 'withdraw("live", "bob")')
        client(visit, "deliver()")
        expect(button(visit, "live")).to_have_text("4 of 10")
        client(visit, 'markHidden("live", 6)')
        client(visit, "deliver()")
        expect(button(visit, "live")).to_have_accessible_name("Read by all 10")

    def test_one_load_for_all(self, visit: Visit) -> None:
        """What appears together is loaded by one call, and nothing is loaded again when moved."""
        expect(button(visit, "pages")).to_be_visible()
        visit.page.evaluate(
            "document.querySelector('main').prepend(document.querySelector('#pages'))"
        )
        expect(button(visit, "pages")).to_have_text("45 of 60")
        assert client(visit, "asked") == [["live", "pages", "crowd", "direct"]]

    def test_an_element_that_is_gone_listens_no_more(self, visit: Visit) -> None:
        """A page that takes its elements away leaves nothing behind at the client."""
        run(visit, "document.querySelector('main').replaceChildren()")
        wait_until("nothing listens", lambda: bool(client(visit, "listening") == 0))

    def test_another_message_in_the_same_element(self, visit: Visit) -> None:
        """A list that is drawn anew may give an element another message."""
        run(visit, "document.querySelector('#live').msgId = 'pages'")
        expect(button(visit, "live")).to_have_text("45 of 60")

    def test_without_its_client_the_attributes_are_shown(self, visit: Visit) -> None:
        """A client that is taken away takes what it knew with it."""
        expect(button(visit, "pages")).to_have_text("45 of 60")
        run(visit, "document.querySelector('#pages').client = undefined")
        expect(element(visit, "pages").get_by_role("img", name="Sent")).to_be_visible()


class TestNames:
    def test_by_keyboard(self, visit: Visit) -> None:
        """Enter opens the names and leads into them, Esc leads back to where one was."""
        keys = visit.page.keyboard
        button(visit, "pages").focus()
        expect(button(visit, "pages")).to_have_attribute("aria-expanded", "false")
        keys.press("Enter")
        expect(popover(visit)).to_be_focused()
        expect(popover(visit)).to_have_accessible_name("Read by 45 of 60")
        expect(button(visit, "pages")).to_have_attribute("aria-expanded", "true")
        expect(popover(visit).get_by_role("listitem")).to_have_count(20)
        keys.press("End")
        names = popover(visit)
        wait_until("the names scroll", lambda: bool(names.evaluate("names => names.scrollTop > 0")))
        keys.press("Tab")
        expect(popover(visit).get_by_role("button", name="Close")).to_be_focused()
        keys.press("Tab")
        expect(popover(visit).get_by_role("button", name="Show more")).to_be_focused()
        keys.press("Escape")
        expect(popover(visit)).to_have_count(0)
        expect(button(visit, "pages")).to_be_focused()

    def test_tab_leads_on(self, visit: Visit) -> None:
        """Whoever tabs past the last name is at the next message, and the names are closed."""
        button(visit, "pages").press("Enter")
        expect(popover(visit)).to_be_focused()
        popover(visit).get_by_role("button", name="Show more").focus()
        visit.page.keyboard.press("Tab")
        expect(popover(visit)).to_have_count(0)
        expect(button(visit, "crowd")).to_be_focused()

    def test_by_mouse(self, visit: Visit) -> None:
        """The button opens and closes, and so do its cross and a click on anything else."""
        ways: tuple[Callable[[], None], ...] = (
            lambda: button(visit, "pages").click(),
            lambda: popover(visit).get_by_role("button", name="Close").click(),
            lambda: visit.page.mouse.click(1200, 700),
        )
        for close in ways:
            button(visit, "pages").click()
            expect(popover(visit)).to_be_visible()
            close()
            expect(popover(visit)).to_have_count(0)
            expect(button(visit, "pages")).to_be_focused()

    def test_whoever_goes_elsewhere_stays_there(self, visit: Visit) -> None:
        """A click on another control closes the names and leaves the focus at that control."""
        button(visit, "pages").click()
        expect(popover(visit)).to_be_focused()
        button(visit, "crowd").evaluate("button => button.focus()")
        expect(popover(visit)).to_have_count(0)
        expect(button(visit, "crowd")).to_be_focused()

    def test_in_pages(self, visit: Visit) -> None:
        """Names come in pages; after more of them the focus is at the first new one."""
        button(visit, "pages").click()
        rows = popover(visit).get_by_role("listitem")
        more = popover(visit).get_by_role("button", name="Show more")
        expect(rows).to_have_count(20)
        expect(rows.first).to_contain_text("reader01")
        more.click()
        expect(rows).to_have_count(40)
        expect(rows.nth(20)).to_be_focused()
        more.click()
        expect(rows).to_have_count(45)
        expect(more).to_be_hidden()

    def test_names_come_live(self, visit: Visit) -> None:
        """Whoever reads while the names are open appears, and whoever takes it back goes."""
        read_live(visit, "ann")
        button(visit, "live").click()
        rows = popover(visit).get_by_role("listitem")
        expect(rows).to_have_count(1)
        read_live(visit, "bob")
        expect(rows).to_have_count(2)
        expect(popover(visit)).to_have_accessible_name("Read by 2 of 10")
        client(visit, 'withdraw("live", "ann")')
        client(visit, "deliver()")
        expect(rows).to_have_count(1)
        expect(rows).to_contain_text("bob")
        client(visit, 'markHidden("live", 2)')
        client(visit, "deliver()")
        expect(popover(visit)).to_contain_text("and 2 more")

    def test_a_crowd_has_no_names(self, visit: Visit) -> None:
        """Where only the number is known, that is said in words, and no list is shown."""
        button(visit, "crowd").click()
        expect(popover(visit)).to_contain_text("only the number is known")
        expect(popover(visit).get_by_role("listitem")).to_have_count(0)

    def test_what_people_are_called(self, visit: Visit) -> None:
        """Names are the application's, at once or later; where it has none the id is shown."""
        run(
            visit,
            """
            document.querySelector('#live').nameOf = (id) => ({
              ann: () => 'Ann Archer',
              bob: async () => 'Bob ben Ari',
              cas: async () => { throw new Error('away'); },
            })[id]?.();
        """,
        )
        read_live(visit, "ann", "bob", "cas", "dan")
        button(visit, "live").click()
        names = popover(visit).locator("[part=name]")
        expect(names).to_have_text(["Ann Archer", "Bob ben Ari", "cas", "dan"])

    def test_names_that_cannot_be_loaded(self, visit: Visit) -> None:
        """A failure is said, and can be tried again from where it was."""
        client(visit, "failure = new Error('away')")
        button(visit, "pages").click()
        expect(popover(visit)).to_contain_text("The names could not be loaded.")
        client(visit, "failure = undefined")
        popover(visit).get_by_role("button", name="Try again").click()
        expect(popover(visit).get_by_role("listitem")).to_have_count(20)
        expect(popover(visit).get_by_role("button", name="Show more")).to_be_visible()

    def test_without_a_client(self, visit: Visit) -> None:
        """A function that loads pages is enough for names."""
        run(
            visit,
            """
            document.querySelector('#some').load = async (id, {limit}) => ({
              msg_id: id,
              count: 5,
              receipts: [{reader_id: `${id}-${limit}`, read_at: 1795519724}],
            });
        """,
        )
        button(visit, "some").click()
        expect(popover(visit).get_by_role("listitem")).to_contain_text("some-20")
        expect(popover(visit)).to_contain_text("and 4 more")

    def test_an_answer_for_what_was_closed_is_dropped(self, visit: Visit) -> None:
        """Names opened twice in a row are shown once."""
        run(
            visit,
            """
            window.answers = [];
            const held = (resolve) => answers.push(resolve);
            document.querySelector('#some').load = () => new Promise(held);
        """,
        )
        for _ in range(2):
            button(visit, "some").click()
            expect(popover(visit)).to_contain_text("Loading names")
            visit.page.keyboard.press("Escape")
        button(visit, "some").click()
        run(
            visit,
            """
            for (const [at, answer] of answers.entries()) {
              answer({msg_id: 'some', count: 1, receipts: [{reader_id: `r${at}`, read_at: 0}]});
            }
        """,
        )
        expect(popover(visit).locator("[part=name]")).to_have_text(["r2"])

    def test_who_reads_while_the_names_load(self, visit: Visit) -> None:
        """Names that come by an event are not lost to an answer that is older."""
        run(
            visit,
            """
            const held = (resolve) => { window.answer = resolve; };
            document.querySelector('#live').load = () => new Promise(held);
        """,
        )
        read_live(visit, "ann", "bob")
        button(visit, "live").click()
        expect(popover(visit)).to_contain_text("Loading names")
        read_live(visit, "cas")
        client(visit, 'withdraw("live", "ann")')
        client(visit, "deliver()")
        run(
            visit,
            """
            const receipts = ['ann', 'bob'].map((reader_id) => ({reader_id, read_at: 0}));
            answer({msg_id: 'live', count: 2, receipts});
        """,
        )
        expect(popover(visit).locator("[part=name]")).to_have_text(["bob", "cas"])

    def test_an_element_that_is_moved_while_open(self, visit: Visit) -> None:
        """A list that is sorted anew closes the names, and they can be opened again."""
        button(visit, "pages").click()
        expect(popover(visit)).to_be_visible()
        run(visit, "document.querySelector('main').prepend(document.querySelector('#pages'))")
        expect(popover(visit)).to_have_count(0)
        expect(button(visit, "pages")).to_have_attribute("aria-expanded", "false")
        button(visit, "pages").click()
        expect(popover(visit).get_by_role("listitem")).to_have_count(20)

    def test_the_page_is_told(self, visit: Visit) -> None:
        """Opening and closing are events that bubble, with the message's id."""
        run(
            visit,
            """
            window.told = [];
            for (const type of ['seen-by-open', 'seen-by-close']) {
              document.addEventListener(type, (event) => told.push([type, event.detail.msg_id]));
            }
        """,
        )
        button(visit, "pages").click()
        wait_until("opening is told", lambda: len(visit.page.evaluate("told")) == 1)
        visit.page.keyboard.press("Escape")
        wait_until("closing is told", lambda: len(visit.page.evaluate("told")) == 2)
        assert visit.page.evaluate("told") == [
            ["seen-by-open", "pages"],
            ["seen-by-close", "pages"],
        ]


class TestAnnouncements:
    def test_one_change_in_some_seconds(self, visit: Visit) -> None:
        """The first change is said at once, and of those that follow soon only the newest."""
        region = element(visit, "live").get_by_role("status")
        visit.page.clock.install()
        expect(region).to_have_text("")
        read_live(visit, "ann")
        expect(region).to_have_text("Read by 1 of 10")
        read_live(visit, "bob")
        read_live(visit, "cas")
        expect(button(visit, "live")).to_have_text("3 of 10")
        expect(region).to_have_text("Read by 1 of 10")
        visit.page.clock.run_for(5_000)
        expect(region).to_have_text("Read by 3 of 10")
        visit.page.clock.run_for(5_000)
        expect(region).to_have_text("")

    def test_only_where_it_is_asked_for(self, visit: Visit) -> None:
        """An element without `announce` says nothing by itself, and loading is no news."""
        expect(button(visit, "pages")).to_have_text("45 of 60")
        expect(element(visit, "pages").get_by_role("status")).to_have_count(0)
        run(visit, "document.querySelector('#pages').announce = true")
        region = element(visit, "pages").get_by_role("status")
        expect(region).to_have_count(1)
        client(visit, 'emit("reset", {})')
        client(visit, 'mark("pages", "reader50")')
        client(visit, "deliver()")
        expect(region).to_have_text("Read by 46 of 60")


class TestLooks:
    @pytest.mark.parametrize(("width", "scheme"), list(zip(WIDTHS, SCHEMES, strict=True)))
    def test_axe_finds_nothing(
        self, browser: Browser, address: str, width: int, scheme: Literal["light", "dark"]
    ) -> None:
        """In all states, closed and open, axe has nothing to say, contrast included."""
        with visiting(browser, address, width=width, scheme=scheme) as visit:
            expect(button(visit, "pages")).to_be_visible()
            read_live(visit, "ann")
            assert visit.axe() == []
            visit.shot(f"element-{scheme}-{width}")
            for name in ("live", "pages", "crowd", "direct"):
                button(visit, name).click()
                expect(popover(visit).locator("[part=name], [part=note]").first).to_be_visible()
                box = popover(visit).bounding_box()
                assert box is not None
                assert box["x"] >= 0
                assert box["x"] + box["width"] <= width
                assert visit.axe() == []
                visit.shot(f"element-{scheme}-{width}-{name}", whole=False)
                visit.page.keyboard.press("Escape")
                expect(popover(visit)).to_have_count(0)

    @pytest.mark.parametrize("scheme", SCHEMES)
    def test_the_ticks_can_be_seen(
        self, browser: Browser, address: str, scheme: Literal["light", "dark"]
    ) -> None:
        """Ticks have the colour of their text, whose contrast axe has measured."""
        with visiting(browser, address, scheme=scheme) as visit:
            for name in ("sent", "some", "all", "private"):
                colours = element(visit, name).evaluate("""(host) => {
                    const of = (part) => getComputedStyle(host.shadowRoot.querySelector(part));
                    return [of('[part=ticks]').stroke, of('[part=text]').color];
                }""")
                assert colours[0] == colours[1]
                assert colours[0] not in {"none", "rgba(0, 0, 0, 0)"}

    def test_from_right_to_left(self, browser: Browser, address: str) -> None:
        """Where the page runs from right to left so does the element, names and all."""
        with visiting(browser, address, width=390) as visit:
            run(visit, "document.documentElement.dir = 'rtl'")
            ticks = element(visit, "pages").locator("[part=ticks]").bounding_box()
            text = element(visit, "pages").locator("[part=text]").bounding_box()
            assert ticks is not None
            assert text is not None
            assert ticks["x"] > text["x"]
            # Words of a language that runs the other way stay in their own order.
            first, last = element(visit, "pages").evaluate("""(host) => {
                const words = host.shadowRoot.querySelector('[part=text]').firstChild;
                return [0, words.length - 1].map((at) => {
                    const range = document.createRange();
                    range.setStart(words, at);
                    range.setEnd(words, at + 1);
                    return range.getBoundingClientRect().x;
                });
            }""")
            assert first < last
            button(visit, "pages").click()
            row = popover(visit).get_by_role("listitem").first
            expect(row).to_be_visible()
            name, time = (row.locator(f"[part={part}]").bounding_box() for part in ("name", "time"))
            assert name is not None
            assert time is not None
            assert name["x"] > time["x"]
            assert visit.axe() == []
            visit.shot("element-rtl", whole=False)

    @pytest.mark.parametrize(("motion", "seconds"), [("reduce", "0s"), ("no-preference", "0.3s")])
    def test_motion(self, browser: Browser, address: str, motion: str, seconds: str) -> None:
        """Nothing moves for those who asked for stillness."""
        with visiting(browser, address, reduced_motion=motion) as visit:
            duration = button(visit, "pages").evaluate(
                "button => getComputedStyle(button).transitionDuration"
            )
            assert duration == seconds

    def test_forced_colours(self, browser: Browser, address: str) -> None:
        """With forced colours text, ticks and names are drawn in the system's."""
        with visiting(browser, address, forced_colors="active") as visit:
            system = visit.page.evaluate("getComputedStyle(document.querySelector('h1')).color")
            ticks = element(visit, "all").locator("[part=ticks]")
            assert ticks.evaluate("ticks => getComputedStyle(ticks).stroke") == system
            button(visit, "pages").click()
            expect(popover(visit).get_by_role("listitem")).to_have_count(20)
            assert visit.axe() == []
            visit.shot("element-forced-colours", whole=False)

    def test_colours_of_the_page(self, visit: Visit) -> None:
        """Custom properties and parts change the looks from outside."""
        run(
            visit,
            """
            const sheet = new CSSStyleSheet();
            sheet.replaceSync(`
              seen-by { --seen-by-color: rgb(1, 2, 3); --seen-by-read-color: rgb(4, 5, 6); }
              seen-by::part(text) { font-style: italic; }
            `);
            document.adoptedStyleSheets = [sheet];
        """,
        )
        for name, colour in (("some", "rgb(1, 2, 3)"), ("all", "rgb(4, 5, 6)")):
            expect(element(visit, name).locator("[part=text]")).to_have_css("color", colour)
            expect(element(visit, name).locator("[part=text]")).to_have_css("font-style", "italic")


class TestDefinition:
    def test_before_the_element_is_defined(self, browser: Browser, address: str) -> None:
        """What is inside is shown until the script comes; properties that wait are taken over."""
        with visiting(browser, f"{address}/late.html") as visit:
            expect(element(visit, "late")).to_have_text("5 of 10")
            run(
                visit,
                """
                document.querySelector('#late').load = async () => ({count: 0, receipts: []});
                document.querySelector('#late').read = 6;
            """,
            )
            visit.page.evaluate("import('/element.js')")
            expect(button(visit, "late")).to_have_text("6 of 10")

    def test_twice(self, visit: Visit) -> None:
        """A page may have two copies of the module: the first one defines the element."""
        same = visit.page.evaluate("""(async () => {
            const before = customElements.get('seen-by');
            const other = await import('/element.js?again');
            return customElements.get('seen-by') === before && other.SeenByElement !== before;
        })()""")
        assert same


def test_the_guide_names_everything(visit: Visit) -> None:
    """The guide has each attribute, property, part and custom property that there is, and no other.

    Parts are looked for where all of them are: an open popover with a note and more to come.
    """
    guide = (ROOT / "docs" / "howto" / "element.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:-1] for line in guide.splitlines() if line.startswith("|")]
    style = (JS / "src" / "element" / "style.ts").read_text(encoding="utf-8")
    button(visit, "pages").click()
    expect(popover(visit).get_by_role("listitem")).to_have_count(20)
    found = visit.page.evaluate("""(() => {
        const { prototype, observedAttributes } = customElements.get('seen-by');
        const properties = Object.entries(Object.getOwnPropertyDescriptors(prototype));
        const shadow = document.querySelector('#pages').shadowRoot;
        return {
          attributes: observedAttributes,
          properties: properties.filter(([, { set }]) => set).map(([name]) => name),
          parts: [...shadow.querySelectorAll('[part]')].flatMap((node) => [...node.part]),
        };
    })()""")
    taken = [row for row in rows if len(row) == 3]
    assert {word for row in taken for word in quoted(row[0])} == set(found["attributes"])
    assert {word for row in taken for word in quoted(row[1])} == set(found["properties"])
    rest = {word for row in rows if len(row) == 2 for word in quoted(row[0])}
    named = {word for row in rows if len(row) == 2 for cell in row for word in quoted(cell)}
    assert {word for word in rest if word.startswith("--")} == set(
        re.findall(r"--seen-by-[a-z-]+", style)
    )
    assert {word for word in named if not word.startswith("--")} == set(found["parts"])


def quoted(cell: str) -> list[str]:
    """The words in backticks."""
    return re.findall(r"`([^`]+)`", cell)
