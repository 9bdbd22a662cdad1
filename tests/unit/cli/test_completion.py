"""Shell completion: scripts for three shells, and what they are answered."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from seenby import cli
from tests.servers.seenby import COMMAND

if TYPE_CHECKING:
    from pathlib import Path

SHELLS = ["bash", "zsh", "fish"]


def completed(shell: str, line: str) -> list[str]:
    """The words that a shell is offered at the end of *line*, sorted."""
    words = line.split(" ")
    asked = {
        "bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    result = CliRunner(env={"_SEENBY_COMPLETE": f"complete_{shell}", **asked}).invoke(
        cli.app, [], prog_name="seenby"
    )
    if shell == "zsh":
        # _arguments '*: :(("a":"what a does"' and so on; in what it does there are spaces.
        return sorted(re.findall(r'"([\w-]+)"', result.stdout))
    return sorted(found.partition("\t")[0] for found in result.stdout.splitlines())


@pytest.mark.parametrize("shell", SHELLS)
class TestEveryShell:
    def test_its_script_is_shown(self, shell: str) -> None:
        """For the place of one's own choice; it asks the command that it completes."""
        result = CliRunner().invoke(cli.app, ["--show-completion", shell], prog_name="seenby")
        assert result.exit_code == 0
        assert f"_SEENBY_COMPLETE=complete_{shell}" in result.stdout

    def test_commands_are_completed(self, shell: str) -> None:
        """All of them, or those that begin so."""
        assert completed(shell, "seenby to") == ["token", "topic"]
        assert {"serve", "doctor", "erase", "watch"} <= set(completed(shell, "seenby "))
        assert completed(shell, "seenby topic ") == ["create"]

    def test_options_are_completed(self, shell: str) -> None:
        """Those of the command that stands before."""
        assert completed(shell, "seenby bench --co") == ["--connections"]
        assert "--json" in completed(shell, "seenby watch --")

    def test_values_are_completed(self, shell: str) -> None:
        """Where an option has only a few."""
        assert completed(shell, "seenby bench --over ") == ["batch", "http", "socket"]
        assert completed(shell, "seenby --show-completion ") == ["bash", "fish", "zsh"]


@pytest.mark.parametrize("shell", SHELLS)
def test_it_is_installed_for_a_user(shell: str, tmp_path: Path) -> None:
    """Where that shell looks at its start; the file's name is told."""
    done = subprocess.run(
        [str(COMMAND), "--install-completion", shell],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert f"{shell} completion installed in {tmp_path}" in done.stdout
    written = [file.read_text("utf-8") for file in tmp_path.rglob("*") if file.is_file()]
    assert any("_SEENBY_COMPLETE" in text for text in written)


def test_bash_completes_a_line(tmp_path: Path) -> None:
    """The script as it is, in a real bash: the words stand where bash takes them from."""
    script = """
    PATH="$1:$PATH"
    eval "$(seenby --show-completion bash)"
    COMP_WORDS=(seenby bench --over ''); COMP_CWORD=3
    _seenby_completion seenby '' --over
    echo "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "-c", script, "bash", str(COMMAND.parent)],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert done.stdout == "http batch socket\n", done.stderr


def test_an_unknown_shell_is_refused() -> None:
    """With those that are known."""
    result = CliRunner().invoke(cli.app, ["--show-completion", "cmd"])
    assert result.exit_code == 2
    assert "'bash', 'zsh', 'fish'" in result.output
