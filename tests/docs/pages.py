"""The pages, and the blocks of code in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
ALL_PAGES = [*sorted(ROOT.glob("*.md")), *PAGES]

PARTS = re.compile(
    r"^#+ (?P<heading>[^\n]+)$"
    r"|^(?P<indent> *)```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n"
    r"(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A block of code.

    Attributes:
        page: where it stands, as it is written in the repository.
        heading: the one above it.
        language: what comes after the backticks; "" for none.
        title: the file that the block is; "" for none.
        text: without the backticks.
    """

    page: str
    heading: str
    language: str
    title: str
    text: str

    @property
    def name(self) -> str:
        """For messages of tests."""
        return f"{self.page}: {self.heading}: {self.text[:60]!r}"


def name_of(path: Path) -> str:
    """The path as it is written in the repository."""
    return path.relative_to(ROOT).as_posix()


def blocks_of(path: Path) -> Iterator[Block]:
    """All blocks of a page, in order."""
    heading = ""
    for part in PARTS.finditer(path.read_text(encoding="utf-8")):
        if part["heading"]:
            heading = part["heading"]
            continue
        indent = part["indent"]
        text = "".join(line.removeprefix(indent) for line in part["text"].splitlines(keepends=True))
        yield Block(
            page=name_of(path),
            heading=heading,
            language=part["language"],
            title=part["title"] or "",
            text=text,
        )


def all_blocks() -> list[Block]:
    """The blocks of every page, those at the root of the repository among them."""
    return [block for path in ALL_PAGES for block in blocks_of(path)]


def files_of(path: Path) -> dict[str, str]:
    """The files that a page shows, by name: blocks with the same title are one file."""
    files: dict[str, str] = {}
    for block in blocks_of(path):
        if block.title:
            files[block.title] = files.get(block.title, "") + block.text
    return files
