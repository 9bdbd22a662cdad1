"""`seenby doctor`: the findings as lines for a person, and as a document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

import seenby.doctor
from seenby import cli
from seenby.doctor.finding import error, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer.testing import Result

    from seenby.doctor import Finding

FINE = ok("settings", "fit together")
DOUBTFUL = warning("commits", "may be lost: [bold]flush[/bold] is 2", "set it to 1")
BROKEN = error("schema", "is older", "seenby migrate")


def doctor(
    monkeypatch: pytest.MonkeyPatch, *found: Finding, options: tuple[str, ...] = ()
) -> Result:
    """The command, when this is found."""

    def examine() -> Iterator[Finding]:
        yield from found

    monkeypatch.setattr(seenby.doctor, "examine", examine)
    return CliRunner().invoke(cli.app, ["doctor", *options])


def test_each_finding_is_a_line_and_what_to_do_stands_below(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a mark that tells how bad it is, and a sum at the end."""
    said = doctor(monkeypatch, FINE, DOUBTFUL, BROKEN).stdout
    assert said.splitlines() == [
        "✓ settings: fit together",
        "! commits: may be lost: [bold]flush[/bold] is 2",
        "    set it to 1",
        "✗ schema: is older",
        "    seenby migrate",
        "",
        "1 error, 1 warning",
    ]


@pytest.mark.parametrize("options", [(), ("--json",)])
@pytest.mark.parametrize(
    ("found", "status"), [([FINE], 0), ([FINE, DOUBTFUL], 0), ([BROKEN, FINE], 1)]
)
def test_it_ends_with_1_where_something_does_not_work(
    monkeypatch: pytest.MonkeyPatch, found: list[Finding], status: int, options: tuple[str, ...]
) -> None:
    """A warning is no reason."""
    assert doctor(monkeypatch, *found, options=options).exit_code == status


def test_a_program_gets_one_document(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every field of every finding."""
    said = doctor(monkeypatch, FINE, BROKEN, options=("--json",)).stdout
    assert json.loads(said) == {
        "ok": False,
        "findings": [
            {"check": "settings", "level": "ok", "found": "fit together", "todo": ""},
            {"check": "schema", "level": "error", "found": "is older", "todo": "seenby migrate"},
        ],
    }
