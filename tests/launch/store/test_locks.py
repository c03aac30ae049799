import os
import subprocess
import sys
from pathlib import Path

import pytest

from launch.cli import main
from launch.errors import ExitCode, StoreError
from launch.store.locks import acquire, is_held
from s5.run_dir.locks import is_locked, lock_fd


def test_second_taker_is_turned_away(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    first = acquire(path)
    assert first is not None
    assert acquire(path) is None
    os.close(first)
    second = acquire(path)
    assert second is not None
    os.close(second)


def test_asking_takes_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    assert not is_held(path)
    assert not (tmp_path / "lock").exists()
    fd = acquire(path)
    assert fd is not None
    assert is_held(path)
    assert not is_locked(fd)
    os.close(fd)
    assert not is_held(path)


def test_whoever_inherits_the_descriptor_holds_the_lock(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    fd = acquire(path)
    assert fd is not None
    heir = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[fd])
    os.close(fd)
    assert is_held(path)
    heir.kill()
    heir.communicate()
    assert not is_held(path)


def test_lock_of_a_removed_file_is_not_taken_for_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lock"
    fd = acquire(str(path))
    assert fd is not None
    path.unlink()
    again = acquire(str(path))
    assert again is not None
    assert os.path.samestat(os.fstat(again), path.stat())
    os.close(fd)
    os.close(again)


def test_lock_whose_file_is_removed_before_it_is_taken_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, removed = tmp_path / "lock", []

    def take_too_late(fd: int, *, wait: bool) -> bool:
        if not removed:
            removed.append(path.unlink())
        return lock_fd(fd, wait=wait)

    monkeypatch.setattr("s5.run_dir.locks.lock_fd", take_too_late)
    fd = acquire(str(path))
    assert fd is not None
    assert os.path.samestat(os.fstat(fd), path.stat())
    assert acquire(str(path)) is None, "the second would hold the lock of another file"
    os.close(fd)


def test_unreachable_lock_names_its_path(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"missing/lock: No such file") as caught:
        acquire(str(tmp_path / "missing" / "lock"))
    assert caught.value.hint is None


def test_a_lock_below_a_file_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file/lock: Not a directory"):
        is_held(str(tmp_path / "file" / "lock"))


@pytest.mark.parametrize("words", [["run", "digits/s5", "--dry-run"], ["sweep", "sweeps/quickstart.yaml"]])
def test_runs_that_are_a_file_are_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LAUNCH_RUNS", str(tmp_path / "file"))
    monkeypatch.chdir(Path(__file__).parents[3])
    assert main(words) == ExitCode.USAGE
    assert "Not a directory" in capsys.readouterr().err
