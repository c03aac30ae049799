"""A file gets its final name once and whole, also without hard links, and also if processes are killed."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from s5.run_dir.new_file import copy_to_new, move_to_new

PROJECT = Path(__file__).resolve().parents[3]
NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.EACCES)


def refuse_links(monkeypatch: pytest.MonkeyPatch, code: int = errno.ENOSYS) -> None:
    def link(source: object, *_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code), source)

    monkeypatch.setattr(os, "link", link)


def move(folder: Path, content: str) -> bool:
    temporary = folder / f".new-{os.getpid()}"
    temporary.write_text(content)
    return move_to_new(temporary, folder / "file")


def copy(folder: Path, content: str) -> bool:
    source = folder / f"source-{os.getpid()}"
    source.write_text(content)
    return copy_to_new(source, folder / "file")


@pytest.mark.parametrize("make", [move, copy])
@pytest.mark.parametrize("code", NO_LINKS)
def test_without_hard_links_the_first_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, make: Callable[[Path, str], bool]
) -> None:
    refuse_links(monkeypatch, code)
    assert make(tmp_path, "one")
    assert not make(tmp_path, "two")
    assert (tmp_path / "file").read_text() == "one"
    assert not list(tmp_path.glob(".file*"))


def test_a_copy_leaves_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_links(monkeypatch)
    assert copy(tmp_path, "one")
    assert len(list(tmp_path.glob("source-*"))) == 1


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "source").write_text("x")
    with pytest.raises(FileNotFoundError):
        copy_to_new(tmp_path / "source", tmp_path / "missing" / "file")
    with pytest.raises(FileNotFoundError):
        copy_to_new(tmp_path / "missing", tmp_path / "file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


# Makes `file` in each folder. If `left` is not negative, is killed after this number of calls to the file system.
WORKER = """
import errno, os, signal, sys
sys.path.insert(0, sys.argv[1])
from s5.run_dir.new_file import copy_to_new, move_to_new
name, left, content, folders = sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5:]
def link(*_, **__): raise OSError(errno.ENOSYS, "no links")
os.link = link
def on_event(event, _):
    global left
    if event in ("open", "os.rename", "os.remove", "fcntl.fcntl"):
        left -= 1
        if left == -1: os.kill(os.getpid(), signal.SIGKILL)
if left >= 0: sys.addaudithook(on_event)
sys.stdin.readline()
for folder in folders:
    source = f"{folder}/source-{os.getpid()}"
    with open(source, "w") as file: file.write(content)
    made = (move_to_new if name == "move" else copy_to_new)(source, f"{folder}/file")
    print(content if made else "", flush=True)
"""


def start(name: str, left: int, content: str, *folders: Path) -> "subprocess.Popen[str]":
    words = [sys.executable, "-S", "-c", WORKER, str(PROJECT), name, str(left), content, *map(str, folders)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("name", ["move", "copy"])
def test_a_kill_at_any_point_leaves_no_file_or_a_complete_one(tmp_path: Path, name: str) -> None:
    """Kill a process before each of its calls to the file system in turn; then let another process finish."""
    seen = set()
    first = "first" * 1000
    for left in range(20):
        folder = tmp_path / str(left)
        folder.mkdir()
        with start(name, left, first, folder) as process:
            process.communicate("go\n")
        file = folder / "file"
        made = file.exists()
        assert not made or file.read_text() == first
        with start(name, -1, "second", folder) as second:
            assert second.communicate("go\n")[0].strip() == ("" if made else "second")
        assert file.read_text() == (first if made else "second")
        seen.add((process.returncode, made))
        if process.returncode == 0:
            break
    assert seen == {(-signal.SIGKILL, False), (-signal.SIGKILL, True), (0, True)}


@pytest.mark.parametrize("name", ["move", "copy"])
def test_of_many_processes_one_makes_the_file(tmp_path: Path, name: str) -> None:
    folders = [tmp_path / str(number) for number in range(200)]
    for folder in folders:
        folder.mkdir()
    processes = [start(name, -1, str(number), *folders) for number in range(4)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    made = [process.communicate()[0].splitlines() for process in processes]
    for folder, *winners in zip(folders, *made, strict=True):
        assert "".join(winners) == (folder / "file").read_text() != ""
        assert not list(folder.glob(".file*"))


@pytest.mark.parametrize("make", [move, copy])
def test_a_real_file_system_without_hard_links(exfat: Path, make: Callable[[Path, str], bool]) -> None:
    with pytest.raises(OSError):
        (exfat / "a").write_text("")
        os.link(exfat / "a", exfat / "b")
    assert make(exfat, "one")
    assert not make(exfat, "two")
    assert (exfat / "file").read_text() == "one"
