"""The pages of docs/howto as something that can be followed: their blocks, run in a shell.

What differs from a reader's machine (addresses, folders) is replaced, nothing else.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.docs.pages import DOCS, ROOT, Block, blocks_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HOWTO", "ROOT", "Block", "Shell", "block", "blocks"]

HOWTO = DOCS / "howto"


def blocks(page: str) -> list[Block]:
    """All blocks of docs/howto/*page*, in order."""
    return list(blocks_of(HOWTO / page))


def block(page: str, heading: str, language: str = "sh", number: int = 0) -> str:
    """One block of a page."""
    fitting = [b.text for b in blocks(page) if (b.heading, b.language) == (heading, language)]
    return fitting[number]


class Shell:
    """A shell in which variables stay as they were exported.

    Args:
        folder: where it is.
        instead: what stands on the page, and what stands for it here.
        programs: commands that are no programs here: name and command line.
    """

    def __init__(
        self,
        folder: Path,
        instead: Mapping[str, str],
        programs: Mapping[str, list[str]] | None = None,
    ) -> None:
        self.folder = folder
        self._instead = dict(instead)
        self._kept = folder / "shell"
        mine = folder / "bin"
        mine.mkdir()
        for name, command in (programs or {}).items():
            script = mine / name
            script.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n', encoding="utf-8")
            script.chmod(0o755)
        path = f"{mine}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        home = os.environ.get("HOME", str(folder))
        self._kept.write_text(f"export PATH={path} HOME={shlex.quote(home)}\n", encoding="utf-8")

    def run(self, text: str, expect: int = 0) -> str:
        """What the commands print; they must end with *expect*."""
        for theirs, ours in self._instead.items():
            text = text.replace(theirs, ours)
        script = f". {self._kept}\nset -ea\n{text}\nexport -p > {self._kept}\n"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env={},
            capture_output=True,
            check=False,
            text=True,
            timeout=120,
        )
        assert done.returncode == expect, (text, done.stdout, done.stderr)
        return done.stdout if expect == 0 else done.stdout + done.stderr

    def environment(self, *prefixes: str) -> dict[str, str]:
        """The variables that begin with one of *prefixes*."""
        shown = self.run("env -0")
        pairs = (item.partition("=") for item in shown.split("\0"))
        return {name: value for name, _, value in pairs if name.startswith(prefixes)}
