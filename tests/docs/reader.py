"""Somebody who does what a page says, word for word, in an empty folder with a fresh environment.

A block with a title is a file. A block of shell is a command: those that go on (a server) get a
terminal of their own, the others run one after the other in the same shell. The block of text or
JSON after a command is its answer. What is the reader's own (ports, paths) is replaced as it is
told; times, tokens, epochs and the ids of receipts are compared by their form.
"""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.docs.pages import Block
from tests.servers.process import ServerProcess
from tests.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

DIFFERS = (
    (re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "TIME"),
    (re.compile(r'("(?:read_at|timestamp|withdrawn_at)"): ?1[78]\d{8}\b'), r"\1:TIME"),
    (re.compile(r'("(?:id|next_cursor)"):"?[1-9]\d*"?'), r"\1:ID"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+"), "TOKEN"),
)
"""What may differ from run to run, and what stands for it."""

ANSWERS = {"json", "text"}


def form(text: str) -> str:
    """The text without what differs from run to run."""
    for pattern, stand_in in DIFFERS:
        text = pattern.sub(stand_in, text)
    return text


class Reader:
    """Somebody who follows a page.

    Args:
        folder: where; its ``bin`` comes first on the PATH.
        instead: what is the reader's own, by what the page says.
        servers: commands that go on, by a part of them that tells them apart, and the ports on
            which they answer when they have started.
        path: folders whose programs the reader has, behind ``bin``.
        settings: of the shell, from the start.
        later: the headings under which what a command asks for may come a moment later.
    """

    def __init__(
        self,
        folder: Path,
        instead: Mapping[str, str],
        servers: Mapping[str, tuple[int, ...]],
        *,
        path: Iterable[str] = (),
        settings: Mapping[str, str] | None = None,
        later: Iterable[str] = (),
    ) -> None:
        self.folder = folder
        self._instead = instead
        self._servers = servers
        self._later = frozenset(later)
        self._shell = folder / ".shell"
        self._terminals: dict[str, ServerProcess] = {}
        (folder / "bin").mkdir(exist_ok=True)
        mine = {
            "PATH": ":".join([f"{folder}/bin", *path, "/usr/local/bin:/usr/bin:/bin"]),
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            **(settings or {}),
        }
        lines = (f"export {name}={shlex.quote(value)}\n" for name, value in mine.items())
        self._shell.write_text("".join(lines), encoding="utf-8")

    def follow(self, page: Iterable[Block]) -> None:
        """Write all files, run all commands and compare all answers."""
        nothing = Block("", "", "", "", "")
        for block, after in pairwise([*page, nothing]):
            if block.title:
                self.write(block)
            elif block.language == "sh":
                self.do(block, after.text if self.is_answer(after) else "")
            else:
                self.see(block)

    def is_answer(self, block: Block) -> bool:
        """Whether a block is what the command before it prints."""
        return block.language in ANSWERS

    def see(self, block: Block) -> None:
        """Look at a block that is neither a file nor a command; answers are compared already."""

    def write(self, block: Block) -> None:
        """Write a file, or go on with it."""
        file = self.folder / block.title
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as opened:
            opened.write(self.mine(block.text))

    def do(self, block: Block, answer: str) -> None:
        """Run a command; one that goes on runs until another one like it is started."""
        command = self.mine(block.text)
        server = next((part for part in self._servers if part in block.text), None)
        if server:
            self.start(server, command)
        elif block.heading in self._later and "--json" not in command and answer:
            wait_until(f"{command} says {answer}", lambda: self._says(command, answer))
        elif answer:
            said = self.run(command)
            assert form(said.strip()) == form(self.mine(answer).strip()), (command, said)
        else:
            self.run(command)

    def start(self, server: str, command: str) -> None:
        """Start what goes on, in a terminal of its own, and return when it answers."""
        self.stop(server)
        terminal = self._terminals[server] = self.terminal(server, command)
        for port in self._servers[server]:
            wait_until(f"{server} answers", partial(_answers, terminal, port))

    def terminal(self, name: str, command: str) -> ServerProcess:
        """Start a command in a terminal of its own, with the settings of the shell as it is now."""
        log = self.folder / f".{name.replace(' ', '-').replace('/', '-')}.log"
        script = f"cd {shlex.quote(str(self.folder))}\n{self._in_shell(command)}"
        terminal = ServerProcess(command, ["/usr/bin/env", "-i", "bash", "-c", script], log)
        terminal.start()
        return terminal

    def stop(self, server: str) -> None:
        """Ctrl-C."""
        terminal = self._terminals.pop(server, None)
        if terminal:
            terminal.stop()

    def close(self) -> None:
        """Close all terminals."""
        for terminal in self._terminals.values():
            terminal.kill()

    def run(self, command: str) -> str:
        """What a command prints; one that fails is a failure."""
        done = subprocess.run(
            ["bash", "-c", self._in_shell(f"{command}\nexport -p > {self._shell}")],
            cwd=self.folder,
            env={},
            capture_output=True,
            check=False,
            text=True,
            timeout=400,  # An installation may have to fetch what it installs.
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def mine(self, text: str) -> str:
        """The text with what is the reader's own."""
        for theirs, mine in self._instead.items():
            text = text.replace(theirs, mine)
        return text

    def _says(self, command: str, answer: str) -> bool:
        return form(self.run(command).strip()) == form(self.mine(answer).strip())

    def _in_shell(self, command: str) -> str:
        return f"set -ea\n. {self._shell}\n{command}"


def _answers(terminal: ServerProcess, port: int) -> bool:
    assert terminal.running, terminal.tail()
    try:
        socket.create_connection(("localhost", port), timeout=1).close()
    except OSError:
        return False
    return True
