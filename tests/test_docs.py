"""The documentation says what the code does: nothing is missing in it, stale or broken."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest
import typer

from seenby import cli, errors
from seenby.api.app import make_app
from seenby.api.chat import ChatRoutes
from seenby.api.inspect import InspectRoutes
from seenby.api.pages import Pages
from seenby.api.routes import Routes
from seenby.auth import AuthOff
from seenby.chat import Chat
from seenby.gateway import disconnect
from seenby.gateway.disconnect import Disconnect
from seenby.metrics import Metrics
from seenby.recorder import Recorder
from seenby.relay import Relay
from seenby.rules import Rules
from seenby.service import Service
from seenby.settings import variables
from seenby.store.sql import open_store
from seenby.store.tables import metadata
from seenby.store.threads import StoreThreads
from tests.docs.pages import ALL_PAGES, DOCS, PAGES, ROOT, blocks_of, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aiohttp import web

LINK = re.compile(r"\]\(([^)\s]+)\)")


def text_of(name: str) -> str:
    """A page of the documentation."""
    return (DOCS / name).read_text(encoding="utf-8")


def rows_of(name: str) -> dict[str, list[str]]:
    """The rows of all tables of a page: the other cells, by each word of the first cell."""
    rows: dict[str, list[str]] = {}
    for line in text_of(name).splitlines():
        if line.startswith("|"):
            first, *others = (cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("| ")))
            rows |= dict.fromkeys(first.replace("`", "").replace(",", " ").split(), others)
    return rows


def all_errors(
    of: type[errors.SeenbyError] = errors.SeenbyError,
) -> Iterator[type[errors.SeenbyError]]:
    """An error and all its kinds."""
    yield of
    for kind in of.__subclasses__():
        yield from all_errors(kind)


# Settings


def test_the_page_of_settings_is_what_the_settings_say() -> None:
    """docs/settings.md is written from the settings, and as new as they are (`make docs`)."""
    made = subprocess.run(
        [sys.executable, ROOT / "scripts" / "settings_page.py"],
        check=True,
        capture_output=True,
        encoding="utf-8",
    )
    assert made.stdout == text_of("settings.md")


def test_every_setting_is_explained() -> None:
    """Each setting has a row of its own, with a sentence and the accepted form."""
    rows = rows_of("settings.md")
    assert [v.name for v in variables() if not all(rows.get(v.name, ["", ""])[1:])] == []


def test_no_setting_is_invented() -> None:
    """A name that looks like a setting is one, wherever the documentation says it."""
    known = {variable.name for variable in variables()}
    found = {
        name
        for page in ALL_PAGES
        for name in re.findall(r"\bSEENBY_[A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8"))
        if not name.startswith("SEENBY_TEST_") and name != "SEENBY_BENCH_TOKEN"
    }
    assert found - known == set()


# Metrics


def families() -> set[str]:
    """The names of all metrics, as they are scraped."""
    scraped, _ = Metrics().render()
    return set(re.findall(r"^# TYPE (\S+)", scraped.decode(), re.MULTILINE))


def test_every_metric_is_explained() -> None:
    """Each metric has a row in docs/metrics.md; those of the process have one for all."""
    rows = {name.partition("{")[0] for name in rows_of("metrics.md")}
    ours = {name for name in families() if not name.startswith(("process_", "python_gc_"))}
    assert ours - rows == set()
    assert {"process_*", "python_gc_*"} <= rows


def test_no_metric_is_invented() -> None:
    """A name that looks like a metric is one, wherever the documentation says it."""
    found = {
        name.removesuffix("_bucket")
        for page in PAGES
        for name in re.findall(
            r"\b(?:seenby_[a-z_]+|read_receipt_\w+_total)\b", page.read_text(encoding="utf-8")
        )
    }
    assert found - families() == set()


def logged() -> set[str]:
    """The event of every log line above debug."""
    calls = (
        node
        for path in sorted((ROOT / "src").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    )
    return {
        call.args[0].value
        for call in calls
        if re.fullmatch(r"log\.(info|warning|error|exception)", ast.unparse(call.func))
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
        # The client speaks to an application's own log, in sentences.
        and " " not in call.args[0].value
    }


def test_every_log_line_is_explained() -> None:
    """docs/metrics.md says of each log line above debug what to do about it."""
    rows = rows_of("metrics.md")
    assert [event for event in logged() if not all(rows.get(event, [""]))] == []


# HTTP, close codes, commands


def test_every_error_code_has_its_status() -> None:
    """docs/http.md has a row for each error that answers a request, with its status."""
    rows = rows_of("http.md")
    told = {kind.code: rows.get(kind.code, [""])[0] for kind in errors.HTTP_STATUS}
    assert told == {kind.code: str(int(code)) for kind, code in errors.HTTP_STATUS.items()}
    internal = errors.http_status(errors.SeenbyError())
    assert rows[errors.SeenbyError.code][0] == str(internal)
    assert internal == HTTPStatus.INTERNAL_SERVER_ERROR


def test_every_error_code_is_explained() -> None:
    """docs/http.md names each code of errors.py, those that answer no request among them."""
    text = text_of("http.md")
    assert [kind for kind in all_errors() if f"`{vars(kind).get('code')}`" not in text] == []


def application() -> web.Application:
    """The API over a store that nobody opens; nothing runs."""
    threads, metrics = StoreThreads(open_store("sqlite:///docs.db")), Metrics()
    recorder = Recorder(threads, Relay(threads, None, metrics, owner="docs"), metrics)
    routes = Routes(
        Service(recorder, threads), metrics, bus=None, gateway_url="ws://gateway/ws", partitions=16
    )
    chat = ChatRoutes(Chat(recorder, threads, Rules()))
    pages = Pages(gateway_url="ws://gateway/ws", auth="off")
    inspect = InspectRoutes(threads, bus=None, partitions=16, answer=lambda *_: b"")
    return make_app(routes, chat, AuthOff(), metrics, (), inspect=inspect, pages=pages)


def test_every_address_is_explained() -> None:
    """docs/http.md has a heading for each address and method; HEAD and OPTIONS are everywhere."""
    headings = re.findall(r"^### `(.+)`$", text_of("http.md"), re.MULTILINE)
    addresses = {
        f"{route.method} {route.resource.canonical}"
        for route in application().router.routes()
        if route.resource is not None and route.method not in {"*", "HEAD", "OPTIONS"}
    }
    assert set(headings) == addresses


def close_codes() -> set[int]:
    """Every code with which the gateway closes a socket."""
    fixed = {value.code for value in vars(disconnect).values() if isinstance(value, Disconnect)}
    refusals = (
        errors.BadInput("field", "right"),
        errors.Forbidden(),
        errors.KeysUnavailable(),
        errors.StoreUnavailable(),
        errors.TokenExpired(),
        errors.Unauthenticated(),
    )
    return fixed | {disconnect.for_error(error).code for error in refusals}


def test_every_close_code_is_explained() -> None:
    """docs/websocket.md has a row for each close code, with why and what a client does."""
    rows = rows_of("websocket.md")
    assert [code for code in close_codes() if not all(rows.get(str(code), [""]))] == []


def cells(page: str) -> Iterator[list[str]]:
    """The cells of each row of a page's tables, without their marks."""
    for line in text_of(page).splitlines():
        if line.startswith("|"):
            yield [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]


def test_each_error_has_a_remedy() -> None:
    """docs/errors.md has each error with its status, its class, and whether to ask again."""
    unanswered = {errors.ConfigError, errors.SchemaError, errors.BadEvent, errors.Unreachable}
    meant = {kind.code: [kind.code, kind.__name__] for kind in unanswered}
    for kind in set(all_errors()) - unanswered:
        status = errors.HTTP_STATUS.get(kind, HTTPStatus.INTERNAL_SERVER_ERROR)
        again = "yes" if kind.retriable else "no"
        meant[kind.code] = [kind.code, str(int(status)), kind.__name__, again]
    told = {row[0]: row for row in cells("errors.md") if not row[0].isdigit()}
    assert {code: told.get(code, [])[: len(row)] for code, row in meant.items()} == meant
    assert set(told) - set(meant) == {"code", "---"}
    assert [row for row in told.values() if not all(row)] == []


def test_each_way_a_socket_is_closed_has_a_remedy() -> None:
    """docs/errors.md has each close code with the words that go with it, and no other."""
    meant = {
        (str(v.code), v.reason) for v in vars(disconnect).values() if isinstance(v, Disconnect)
    }
    rows = [row for row in cells("errors.md") if row[0].isdigit()]
    assert {(row[0], row[1]) for row in rows} == meant
    assert all(row[2] for row in rows)


def commands(of: object, name: str) -> Iterator[str]:
    """The full names of a command and all below it that do something."""
    below: dict[str, object] | None = getattr(of, "commands", None)
    if below is None:
        yield name
        return
    for word, command in below.items():
        yield from commands(command, f"{name} {word}")


def test_every_command_is_explained() -> None:
    """docs/deploy.md has a row for each command of the command line, and for no other."""
    told = set(re.findall(r"^\| `(seenby [a-z ]+)` \| \S", text_of("deploy.md"), re.MULTILINE))
    assert told == set(commands(typer.main.get_command(cli.app), "seenby"))


def test_every_revision_is_shown() -> None:
    """docs/deploy.md shows what a first `seenby migrate` prints: each revision, with its words."""
    folder = ROOT / "src/seenby/store/migrations/versions"
    revisions = {
        path.name.partition("_")[0]: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        for path in folder.glob("0*.py")
    }
    shown = re.findall(r"^applied (\d+): (.+)$", text_of("deploy.md"), re.MULTILINE)
    assert shown == [
        (revision, (words or "").splitlines()[0]) for revision, words in sorted(revisions.items())
    ]


def test_every_table_is_explained() -> None:
    """docs/explanation/architecture.md has a row for each table of the database, and no other."""
    told = re.findall(
        r"^\| (`\w+`(?:, `\w+`)*) \|", text_of("explanation/architecture.md"), re.MULTILINE
    )
    assert {name for row in told for name in re.findall(r"\w+", row)} == set(metadata.tables)


def test_the_glossary_is_in_order() -> None:
    """docs/glossary.md has each word once, in the order of the alphabet."""
    words = re.findall(r"^\| \*\*(.+?)\*\* \| \S", text_of("glossary.md"), re.MULTILINE)
    assert words == sorted(set(words))
    assert len(words) > 50


# Form


@pytest.mark.parametrize("page", ALL_PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """The target of each relative link exists."""
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    targets = [link.partition("#")[0] for link in links]
    assert [target for target in targets if not (page.parent / target).exists()] == []


# Python examples


def test_the_readme_shows_the_figures_that_were_measured() -> None:
    """Each number of seenby's in its table is a median of bench/results.md."""
    results = (ROOT / "bench/results.md").read_text(encoding="utf-8")
    medians = {row.split("|")[2].split()[0] for row in results.splitlines() if row.count("|") == 8}
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("| figure | seenby |")[2]
    cells = [row.split("|")[2] for row in table.splitlines()[2:] if row.startswith("|")]
    shown = {number for cell in cells for number in re.findall(r"\d[\d,.]*\d|\d", cell)}
    assert len(shown) > 20
    assert shown <= medians


def python_example(page: str) -> tuple[str, str]:
    """The one Python example of a page, and the output that is shown below it."""
    blocks = list(blocks_of(DOCS / page))
    [place] = [place for place, block in enumerate(blocks) if block.language == "python"]
    assert blocks[place + 1].language == "text"
    return blocks[place].text, blocks[place + 1].text


def output_of(program: str) -> str:
    """What a Python program prints; a program that fails is a failure."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        check=False,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_testing_example_prints_what_is_shown() -> None:
    """The example of docs/testing.md runs as it stands."""
    program, shown = python_example("testing.md")
    assert output_of(program) == shown
