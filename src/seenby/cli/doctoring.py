"""`seenby doctor`: what is wrong with this place, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from seenby.cli.application import FAILED, app, counted

if TYPE_CHECKING:
    from rich.console import Console

    from seenby.doctor import Finding

MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red")}


@app.command()
def doctor(
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of lines.")
    ] = False,
) -> None:
    """Check database, Kafka, ports, keys, origins and limits, and say what to do.

    Looks only, and changes nothing. Ends with 1 when something does not work.
    """
    from rich.console import Console  # noqa: PLC0415 -- slow to import

    from seenby.doctor import examine  # noqa: PLC0415 -- as above

    console = Console(highlight=False, soft_wrap=True)
    findings: list[Finding] = []
    for finding in examine():
        findings.append(finding)
        if not as_json:
            _tell(console, finding)
    errors = sum(finding.level == "error" for finding in findings)
    warnings = sum(finding.level == "warning" for finding in findings)
    if as_json:
        document = {"ok": not errors, "findings": findings}
        print(msgspec.json.encode(document).decode())
    else:
        console.print(f"\n{counted(errors, 'error')}, {counted(warnings, 'warning')}")
    if errors:
        raise typer.Exit(FAILED)


def _tell(console: Console, finding: Finding) -> None:
    from rich.text import Text  # noqa: PLC0415 -- slow to import

    mark, style = MARKS[finding.level]
    line = (
        Text(f"{mark} ", style)
        .append(f"{finding.check}: ", "bold")
        .append(finding.found, "not bold")
    )
    console.print(line)
    if finding.todo:
        console.print(Text("    ").append(finding.todo))
