"""What a client keeps over restarts, and what a crash in the middle of it leaves."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seenby.client import FileStorage, Kept, Mark, MemoryStorage, Position
from seenby.client import storage as module
from seenby.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from seenby.client import Storage

ONE, TWO = Mark("m1", "user456", "c1"), Mark("m2", conversation_type="group")


def reopened(path: Path, user_id: str = "user123") -> Kept:
    """What a new process finds."""
    storage = FileStorage(path)
    try:
        return storage.open(user_id)
    finally:
        storage.close()


HOLDING = """
import sys
from seenby.client import FileStorage, Mark

storage = FileStorage(sys.argv[1])
storage.open("user123")
storage.keep_mark(Mark("m1"))
print("held", flush=True)
sys.stdin.read()
"""

FORKING = """
import os, sys
from seenby.client import FileStorage
from seenby.errors import BadInput

print("held", flush=True)
storage = FileStorage(sys.argv[1])
storage.open("user123")
closed, end = os.pipe(), os.pipe()
if os.fork() == 0:
    storage.close()
    os.write(closed[1], b"1")
    os.read(end[0], 1)
    os._exit(0)
os.read(closed[0], 1)
try:
    FileStorage(sys.argv[1]).open("user123")
except BadInput:
    pass
else:
    raise SystemExit("the child gave the lock away")
if os.fork() == 0:
    os.read(end[0], 1)
    os._exit(0)
storage.close()
FileStorage(sys.argv[1]).open("user123")
os.write(end[1], b"11")
"""


@contextmanager
def python(program: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs and has the file; it is over at the end."""
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"held\n"
            yield process
        finally:
            process.kill()


@pytest.fixture(params=["memory", "file"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Storage]:
    """Makes the storage of each kind: the same one each time."""
    kept = MemoryStorage()
    return (lambda: kept) if request.param == "memory" else lambda: FileStorage(tmp_path / "kept")


class TestEveryStorage:
    def test_is_empty_at_first(self, make: Callable[[], Storage]) -> None:
        """No position, and nothing waits."""
        storage = make()
        assert storage.open("user123") == Kept()
        storage.close()

    def test_keeps_what_it_is_given(self, make: Callable[[], Storage]) -> None:
        """The last position, and the marks that were not dropped, in order."""
        storage = make()
        storage.open("user123")
        storage.keep_position(Position("e1", 1))
        for mark in (ONE, Mark("m0"), TWO):
            storage.keep_mark(mark)
        storage.keep_position(Position("e1", 2))
        storage.drop_marks(["m0"])
        storage.close()
        again = make()
        assert again.open("user123") == Kept(Position("e1", 2), {"m1": ONE, "m2": TWO})
        again.close()

    def test_a_mark_takes_the_place_of_another_of_its_message(
        self, make: Callable[[], Storage]
    ) -> None:
        """There is one mark of a message."""
        storage = make()
        storage.open("user123")
        storage.keep_mark(Mark("m1"))
        storage.keep_mark(ONE)
        storage.close()
        again = make()
        assert again.open("user123").marks == {"m1": ONE}
        again.close()

    def test_what_it_gives_is_the_callers(self, make: Callable[[], Storage]) -> None:
        """Nothing is dropped by whoever changes what was read."""
        storage = make()
        storage.open("user123")
        storage.keep_mark(ONE)
        storage.close()
        again = make()
        again.open("user123").marks.clear()
        again.close()
        third = make()
        assert third.open("user123").marks == {"m1": ONE}
        third.close()


class TestFile:
    def filled(self, path: Path) -> bytes:
        """A file with a position and two marks, the second one last."""
        storage = FileStorage(path)
        storage.open("user123")
        storage.keep_position(Position("e1", 7))
        storage.keep_mark(ONE)
        storage.keep_mark(TWO)
        storage.close()
        return path.read_bytes()

    def test_a_line_that_a_crash_cut_off_is_passed_over(self, tmp_path: Path) -> None:
        """Wherever it was cut; all lines before it count, and what follows is whole."""
        path = tmp_path / "kept"
        whole = self.filled(path)
        start = whole.rindex(b"\n", 0, -1) + 1
        for end in range(start, len(whole) - 1):
            path.write_bytes(whole[:end])
            assert reopened(path) == Kept(Position("e1", 7), {"m1": ONE})
            storage = FileStorage(path)
            storage.open("user123")
            storage.keep_mark(TWO)
            storage.close()
            assert reopened(path) == Kept(Position("e1", 7), {"m1": ONE, "m2": TWO})

    def test_a_rewriting_that_a_crash_cut_off_changes_nothing(self, tmp_path: Path) -> None:
        """The file takes its place only when it is whole."""
        path = tmp_path / "kept"
        self.filled(path)
        (tmp_path / "kept.new").write_bytes(b'{"user_id":"us')
        assert reopened(path) == Kept(Position("e1", 7), {"m1": ONE, "m2": TWO})

    def test_it_does_not_grow_for_ever(self, tmp_path: Path) -> None:
        """Lines that say nothing any more are left out from time to time, also while it is open."""
        path = tmp_path / "kept"
        storage = FileStorage(path)
        storage.open("user123")
        storage.keep_mark(ONE)
        for seq in range(5 * module.DEAD_LINES_MAX):
            storage.keep_position(Position("e1", seq))
        assert path.read_bytes().count(b"\n") < 2 * module.DEAD_LINES_MAX
        storage.close()
        assert reopened(path) == Kept(Position("e1", seq), {"m1": ONE})
        assert path.read_bytes().count(b"\n") == 3

    def test_another_user_is_refused(self, tmp_path: Path) -> None:
        """Their marks would be this user's, and the file stays as it is."""
        path = tmp_path / "kept"
        before = self.filled(path)
        with pytest.raises(BadInput, match="storage must be a file of user456's"):
            reopened(path, "user456")
        assert path.read_bytes() == before

    def test_a_file_that_is_something_else_is_left_alone(self, tmp_path: Path) -> None:
        """Such as the wrong one, by a slip of the path."""
        path = tmp_path / "notes.txt"
        path.write_bytes(b"dear diary\n\xff")
        with pytest.raises(BadInput, match="no file of this client"):
            reopened(path)
        assert path.read_bytes() == b"dear diary\n\xff"

    def test_two_clients_cannot_use_one_file(self, tmp_path: Path) -> None:
        """Each would write over what the other keeps."""
        first = FileStorage(tmp_path / "kept")
        first.open("user123")
        with pytest.raises(BadInput, match="is in use"):
            FileStorage(tmp_path / "kept").open("user123")
        first.close()
        assert reopened(tmp_path / "kept") == Kept()

    def test_a_folder_that_is_not_there_is_told(self, tmp_path: Path) -> None:
        """By the system's own error, when it is opened."""
        with pytest.raises(FileNotFoundError):
            FileStorage(tmp_path / "none" / "kept").open("user123")

    def test_a_full_disk_leaves_no_half_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What could not be kept is told, and what is kept afterwards can be read."""
        storage = FileStorage(tmp_path / "kept")
        storage.open("user123")
        storage.keep_mark(ONE)
        write = os.write
        monkeypatch.setattr(os, "write", lambda file, text: write(file, text[:9]))
        with pytest.raises(OSError, match="No space left"):
            storage.keep_mark(Mark("m9"))
        monkeypatch.undo()
        storage.keep_mark(TWO)
        storage.close()
        assert reopened(tmp_path / "kept").marks == {"m1": ONE, "m2": TWO}

    @pytest.mark.parametrize("flush", [False, True])
    def test_marks_are_flushed_where_that_is_asked_for(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, flush: bool
    ) -> None:
        """The disk has a mark once it is kept; positions and answers are not waited for."""
        path = tmp_path / "kept"
        flushed: list[bytes] = []
        storage = FileStorage(path, flush=flush)
        storage.open("user123")
        monkeypatch.setattr(os, "fsync", lambda _: flushed.append(path.read_bytes()))
        storage.keep_mark(ONE)
        storage.keep_position(Position("e1", 1))
        storage.drop_marks(["m1"])
        storage.close()
        assert len(flushed) == flush
        assert all(b'"msg_id":"m1"' in text for text in flushed)

    def test_a_mark_that_the_disk_does_not_take_is_not_kept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The application is told so; a later start must not send it all the same."""
        storage = FileStorage(tmp_path / "kept", flush=True)
        storage.open("user123")
        storage.keep_mark(ONE)

        def fsync(_: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(OSError, match="Input/output error"):
            storage.keep_mark(Mark("m9"))
        monkeypatch.undo()
        storage.keep_mark(TWO)
        storage.close()
        assert reopened(tmp_path / "kept").marks == {"m1": ONE, "m2": TWO}

    def test_two_processes_cannot_use_one_file(self, tmp_path: Path) -> None:
        """Not before the first one has ended, however it does."""
        path = tmp_path / "kept"
        with python(HOLDING, str(path)) as first:
            with pytest.raises(BadInput, match="is in use"):
                reopened(path)
            first.kill()
            first.wait(60)
            assert reopened(path).marks == {"m1": Mark("m1")}

    def test_a_process_that_was_forked_off_does_not_keep_the_file(self, tmp_path: Path) -> None:
        """Though it has the lock too; its own closing takes nothing from who made it."""
        with python(FORKING, str(tmp_path / "kept")) as process:
            assert process.wait(60) == 0

    def test_nobody_else_may_read_it(self, tmp_path: Path) -> None:
        """Who has read what is private."""
        self.filled(tmp_path / "kept")
        assert (tmp_path / "kept").stat().st_mode & 0o077 == 0


# Each reopening waits for the disk, as long as that takes.
@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("keep"), st.integers(0, 4)),
            st.tuples(st.just("drop"), st.integers(0, 4)),
            st.tuples(st.just("position"), st.integers(0, 9)),
            st.tuples(st.just("reopen"), st.just(0)),
        ),
        max_size=25,
    )
)
def test_a_file_is_as_good_as_memory(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    """Whatever is kept and dropped, and however often it is opened again."""
    path = tmp_path_factory.mktemp("storage") / "kept"
    memory, file = MemoryStorage(), FileStorage(path)
    file.open("user123")
    for step, number in steps:
        for storage in (memory, file):
            match step:
                case "keep":
                    storage.keep_mark(Mark(f"m{number}"))
                case "drop":
                    storage.drop_marks([f"m{number}"])
                case "position":
                    storage.keep_position(Position("e1", number))
                case _:
                    storage.close()
                    assert storage.open("user123") == memory.open("user123")
    file.close()
    assert list(reopened(path).marks) == list(memory.open("user123").marks)
    assert reopened(path) == memory.open("user123")
