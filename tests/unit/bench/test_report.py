"""What a run tells, to programs and to people."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from rich.console import Console

from seenby.bench.report import Document, Report, Terminal, remarks, table

LATENCIES = {"p50": 1.5, "p90": 2.5, "p99": 3.5, "max": 1234.5}


def report(**different: Any) -> Report:
    """A run in which all went well, but for what is given."""
    usual = {
        "over": "http",
        "connections": 100,
        "rate": 0.0,
        "senders": 500,
        "devices": 2,
        "batch_size": 1,
        "tag": "t",
        "seconds": 10.0,
        "asked": 50_000,
        "unsent": 0,
        "marks": 50_000,
        "refused": {},
        "marks_per_second": 5000.0,
        "answer_ms": LATENCIES,
        "socket_ms": LATENCIES,
        "deliveries": 100_000,
        "missing": 0,
        "doubled": 0,
        "out_of_order": 0,
        "sockets_lost": 0,
        "behind_schedule_ms": 0.0,
        "cpu_seconds": 1.5,
        "interrupted": False,
    }
    return msgspec.convert(usual | different, Report)


def printed(found: Report) -> str:
    """The table as text."""
    console = Console(width=100)
    with console.capture() as capture:
        console.print(table(found))
    return capture.get()


WRONG = [
    ({"refused": {"503": 3}}, "NOT RECORDED: 3 marks (503)"),
    ({"missing": 4}, "MISSING: 4 deliveries"),
    ({"doubled": 5}, "DOUBLED: 5 deliveries"),
    ({"out_of_order": 6}, "OUT OF ORDER: 6 deliveries"),
    ({"sockets_lost": 7}, "LOST: 7 sockets were closed during the run"),
    ({"marks": 0, "asked": 0}, "NOTHING was asked: the run was over before its first mark"),
]

WORTH_SAYING = [
    ({"unsent": 8}, "8 marks were due and found no free connection"),
    ({"behind_schedule_ms": 20.0}, "the generator itself was up to 20.0 ms behind its schedule"),
    ({"cpu_seconds": 9.9}, "the generator used its whole core"),
    ({"interrupted": True}, "interrupted: these are the figures until then"),
]


def test_a_run_in_which_all_went_well_needs_no_words() -> None:
    """The figures say it."""
    assert report().all_well
    assert remarks(report()) == []


@pytest.mark.parametrize(("different", "sentence"), WRONG)
def test_what_went_wrong_is_said(different: dict[str, Any], sentence: str) -> None:
    """And the run has failed."""
    found = report(**different)
    assert not found.all_well
    assert [words for words in remarks(found) if words.startswith(sentence)] != []


@pytest.mark.parametrize(("different", "sentence"), WORTH_SAYING)
def test_what_makes_figures_doubtful_is_said(different: dict[str, Any], sentence: str) -> None:
    """The server has done nothing wrong."""
    found = report(**different)
    assert found.all_well
    assert [words for words in remarks(found) if words.startswith(sentence)] != []


def test_the_table_has_the_figures() -> None:
    """With units, and the generator's own cost."""
    text = printed(report())
    assert "http, 100 connections, closed loop" in text
    assert "50,000 in 10.0 s" in text
    assert "p50 1.5 ms   p90 2.5 ms   p99 3.5 ms   max 1,234.5 ms" in text
    assert "15% of a core, 30 us per mark" in text
    assert "1,000 marks/s asked" in printed(report(rate=1000.0))


def test_the_table_says_nothing_of_sockets_where_none_listened() -> None:
    """Zeros would look like a measurement."""
    assert "mark to socket" in printed(report())
    assert "socket" not in printed(report(devices=0))


def test_a_run_without_an_answer_has_a_table_too() -> None:
    """Nothing is divided by nothing."""
    text = printed(report(marks=0, seconds=0.0))
    assert "0 in 0.0 s" in text


def test_a_program_is_told_twice(capsys: pytest.CaptureFixture[str]) -> None:
    """When it may read counters, and in the end; one line of JSON each."""
    document = Document()
    document.connecting(1, 2)
    document.ready()
    document.running(1.0, 2.0)
    document.ended(report(refused={"503": 1}))
    first, last = capsys.readouterr().out.splitlines()
    assert json.loads(first) == {"ready": True}
    assert msgspec.convert(json.loads(last), Report) == report(refused={"503": 1})


def test_a_terminal_gets_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On standard error: it shows how far connecting, then the load has come."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    terminal = Terminal()
    terminal.connecting(3, 40)
    shown = capsys.readouterr()
    terminal.running(5.0, 60.0)
    later = capsys.readouterr()
    terminal.close()
    assert "connections" in shown.err
    assert "3 of 40" in shown.err
    assert "seconds of load" in later.err
    assert "5 of 60" in later.err
    assert (shown.out, later.out) == ("", "")


def test_a_bar_is_for_terminals(capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody looks only the table is printed, on standard output."""
    terminal = Terminal()
    terminal.connecting(1, 2)
    terminal.ready()
    terminal.running(1.0, 2.0)
    terminal.ended(report(missing=1))
    told = capsys.readouterr()
    assert told.err == ""
    assert "marks/s" in told.out
    assert "MISSING: 1 deliveries" in told.out
