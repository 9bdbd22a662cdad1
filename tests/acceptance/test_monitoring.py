"""docs/howto/monitoring.md: alerts, dashboard and page ask for what a running seenby shows."""

from __future__ import annotations

import importlib
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.request import urlopen

import promql_parser
import pytest

from tests.acceptance.devices import Api, Device
from tests.servers.guides import HOWTO, ROOT, block
from tests.servers.seenby import Seenby

if TYPE_CHECKING:
    from collections.abc import Iterator

# It has no types, and what is asked of it needs none.
yaml: Any = importlib.import_module("yaml")

ALERTS = ROOT / "deploy/prometheus/alerts.yml"
DASHBOARD = ROOT / "deploy/grafana/seenby.json"
PAGE = HOWTO / "monitoring.md"

FROM_PROMETHEUS = {"up", "instance", "job"}
"""What Prometheus itself adds: a metric, and labels."""

DURATION = re.compile(r"[1-9]\d*[smh]")


class Query(NamedTuple):
    """A query, and where it stands."""

    place: str
    text: str


def rules() -> list[dict[str, Any]]:
    """The alerts."""
    [group] = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def panels() -> list[dict[str, Any]]:
    """What the dashboard shows."""
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return found


def queries() -> Iterator[Query]:
    """Every query of alerts, dashboard and page."""
    for rule in rules():
        yield Query(rule["alert"], rule["expr"])
    for panel in panels():
        for target in panel["targets"]:
            # Grafana puts a duration there.
            yield Query(panel["title"], target["expr"].replace("$__rate_interval", "1m"))
    for text in re.findall(
        r"^\|[^|]*\| `([^`]+)`:", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    ):
        yield Query("the page", text)


QUERIES = list(queries())


def selectors(query: str) -> list[Any]:
    """The vector selectors in a query, by a walk over what the parser made of it."""
    found: list[Any] = []

    def look(node: Any) -> None:
        if isinstance(node, promql_parser.MatrixSelector):
            node = node.vector_selector
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
            return
        for name in ("lhs", "rhs", "expr", "param"):
            below = getattr(node, name, None)
            if isinstance(below, promql_parser.Expr):
                look(below)
        for below in getattr(node, "args", None) or ():
            look(below)

    look(promql_parser.parse(query))
    return found


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, str]]]:
    """What a running seenby shows after a call, a mark and a push: labels of each series."""
    process = Seenby("serve", tmp_path_factory.mktemp("monitoring"), {})
    process.start()
    try:
        api = Api(process.api)
        with Device(process.gateway, "ann", "phone", hello={}) as phone:
            api.mark("m1", "bob", "ann")
            phone.wait_receipts(1)
        # A client that is broken, for the close codes.
        with Device(process.gateway, "ann", "phone", hello={}) as broken:
            for _ in range(3):
                broken.send_raw("no frame")
            broken.wait("it is closed", lambda d: d.closed is not None)
        api.close()
        with urlopen(f"{process.api}/metrics", timeout=60) as answer:  # noqa: S310 -- loopback, and our own
            text = answer.read().decode()
    finally:
        process.kill()
    found: dict[str, list[dict[str, str]]] = {}
    for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? \S+$", text, re.MULTILINE):
        found.setdefault(name, []).append(dict(re.findall(r'(\w+)="([^"]*)"', labels)))
    return found


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.place)
def test_every_query_finds_something(query: Query, series: dict[str, list[dict[str, str]]]) -> None:
    """It is PromQL, and each metric and label in it is one that seenby has."""
    asked = selectors(query.text)
    assert asked
    for selector in asked:
        if selector.name in FROM_PROMETHEUS:
            continue
        assert selector.name in series, query
        labels = {name for each in series[selector.name] for name in each}
        for matcher in selector.matchers.matchers:
            assert matcher.name in labels | FROM_PROMETHEUS, query
    grouped = {
        label
        for names in re.findall(r"\bby \(([^)]*)\)", query.text)
        for label in names.split(", ")
    }
    known = {name for selector in asked for each in series.get(selector.name, ()) for name in each}
    assert grouped <= known | FROM_PROMETHEUS


def test_what_alerts_wait_for_exists_from_the_start(
    series: dict[str, list[dict[str, str]]],
) -> None:
    """A counter that appears with its first error would rise unseen: those of Kafka are there."""
    for name, statuses in (
        ("read_receipt_events_published_total", {"ok", "swept", "error"}),
        ("read_receipt_events_consumed_total", {"ok", "bad", "lost"}),
        ("seenby_messages_registered_total", {"ok", "bad", "lost"}),
    ):
        assert {each["status"] for each in series[name]} == statuses


def test_the_alerts_are_as_prometheus_wants_them() -> None:
    """Known fields, durations, a severity and a sentence; each name once."""
    for rule in rules():
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert DURATION.fullmatch(rule.get("for", "1m"))
        assert rule["labels"]["severity"] in {"page", "ticket"}
        summary = rule["annotations"]["summary"]
        # Only names that its query leaves on the result can be filled in.
        for label in re.findall(r"\$labels\.(\w+)", summary):
            assert "sum(" not in rule["expr"], rule["alert"]
            assert "max(" not in rule["expr"], rule["alert"]
            assert label in {"instance", "code"}
        assert summary.count("{{") == summary.count("}}")
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)


def test_every_alert_is_explained() -> None:
    """The page has a row for each, with its severity, what it means and what to do."""
    row = re.compile(r"^\| `(Seenby\w+)` \| (\w+) \| [^|]+ \| [^|]+ \|$", re.MULTILINE)
    told = dict(row.findall(PAGE.read_text(encoding="utf-8")))

    assert told == {rule["alert"]: rule["labels"]["severity"] for rule in rules()}


def test_the_page_names_the_job_that_alerts_expect() -> None:
    """Queries that select by job select the one that is scraped."""
    config = yaml.safe_load(block("monitoring.md", "Prometheus", "yaml"))
    [job] = config["scrape_configs"]
    jobs = {
        matcher.value
        for query in QUERIES
        for selector in selectors(query.text)
        for matcher in selector.matchers.matchers
        if matcher.name == "job"
    }

    assert jobs == {job["job_name"]}
    assert config["rule_files"] == [ALERTS.name]


def test_the_dashboard_is_whole() -> None:
    """No two panels in one place or with one id; each asks the Prometheus that is chosen."""
    places = [tuple(panel["gridPos"][side] for side in "xywh") for panel in panels()]
    taken = [(x + dx, y + dy) for x, y, w, h in places for dx in range(w) for dy in range(h)]
    assert len(set(taken)) == len(taken)
    assert all(x < 24 for x, _ in taken)
    assert len({panel["id"] for panel in panels()}) == len(panels())
    [chosen] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["templating"]["list"]
    uids = {t["datasource"]["uid"] for panel in panels() for t in (panel, *panel["targets"])}
    assert (chosen["type"], uids) == ("datasource", {f"${{{chosen['name']}}}"})
    for panel in panels():
        assert panel["title"]
        assert panel["description"]
