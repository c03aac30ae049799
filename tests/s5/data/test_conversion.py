import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s5 import catalog
from s5.catalog import Cache, DataError, DatasetInfo
from s5.data.conversion import ConversionPlan, chunk_range, open_or_convert
from s5.data.store import open_store, verify_store

INFO = DatasetInfo(
    name="numbers",
    about="-",
    licence="-",
    n_classes=2,
    length=3,
    d_input=1,
    sizes={"train": 70, "val": 20, "test": 10},
    get="-",
    cache=Cache.folder,
)


def squares(numbers) -> dict[str, Any]:
    return {"inputs": np.array([[n, n * n] for n in numbers], np.int32), "labels": np.array(numbers, np.int32) % 2}


def make_plan(convert: Callable[..., Any] = squares, facts: Any = None, **changed: Any) -> ConversionPlan:
    arrays = {"inputs": ((100, 2), "int32"), "labels": ((100,), "int32")}
    return ConversionPlan(
        arrays=arrays, chunks=chunk_range(100, 7), convert=convert, facts=facts or {"seed": 1}, **changed
    )


def assert_right(found: Any) -> None:
    np.testing.assert_array_equal(found.arrays["inputs"], [[n, n * n] for n in range(100)])
    np.testing.assert_array_equal(found.arrays["labels"], np.arange(100) % 2)


def refuse(_numbers) -> None:
    raise AssertionError("converted again")


@pytest.mark.parametrize("workers", [1, 2])
def test_converts_once_and_maps(tmp_path: Path, workers: int, capsys: pytest.CaptureFixture[str]) -> None:
    found = open_or_convert(INFO, str(tmp_path), make_plan, workers=workers)
    assert_right(found)
    assert isinstance(found.arrays["inputs"], np.memmap) and not found.arrays["inputs"].flags.writeable
    assert found.facts == {"seed": 1}
    again = open_or_convert(INFO, str(tmp_path), lambda: make_plan(refuse))
    assert_right(again)
    assert sorted(os.listdir(tmp_path)) == [".numbers-v1.lock", "numbers-v1"]
    assert sorted(os.listdir(tmp_path / "numbers-v1")) == ["header.json", "inputs.npy", "labels.npy"]
    assert capsys.readouterr().err.startswith("numbers: 100 examples in ")


def test_what_finish_finds_is_kept(tmp_path: Path) -> None:
    found = open_or_convert(
        INFO, str(tmp_path), lambda: make_plan(finish=lambda arrays: {"sum": int(arrays["inputs"].sum())})
    )
    assert found.facts == {"seed": 1, "sum": sum(n + n * n for n in range(100))}


@pytest.mark.parametrize("name", ["inputs.npy", "header.json"])
@pytest.mark.parametrize("harm", ["cut", "gone"])
def test_a_torn_folder_is_made_anew(tmp_path: Path, name: str, harm: str) -> None:
    open_or_convert(INFO, str(tmp_path), make_plan)
    file = tmp_path / "numbers-v1" / name
    os.truncate(file, file.stat().st_size - 9) if harm == "cut" else file.unlink()
    assert open_store(INFO, str(tmp_path)) is None
    assert not catalog.is_cached(INFO, str(tmp_path))
    assert_right(open_or_convert(INFO, str(tmp_path), make_plan))
    assert sorted(os.listdir(tmp_path)) == [".numbers-v1.lock", "numbers-v1"]


def test_a_rotten_byte_is_found_by_its_sum(tmp_path: Path) -> None:
    open_or_convert(INFO, str(tmp_path), make_plan)
    assert verify_store(tmp_path / "numbers-v1")
    with (tmp_path / "numbers-v1" / "inputs.npy").open("r+b") as file:
        file.seek(-5, os.SEEK_END)
        file.write(b"x")
    assert open_store(INFO, str(tmp_path)) is not None
    assert not verify_store(tmp_path / "numbers-v1")


def test_a_folder_of_another_version_is_made_anew(tmp_path: Path) -> None:
    open_or_convert(INFO, str(tmp_path), lambda: make_plan(facts={"seed": 2}))
    header = tmp_path / "numbers-v1" / "header.json"
    header.write_text(json.dumps(json.loads(header.read_text()) | {"version": 0}))
    assert open_or_convert(INFO, str(tmp_path), make_plan).facts == {"seed": 1}


def damaged(numbers) -> dict[str, Any]:
    if 50 in numbers:
        raise DataError("raw file: damaged")
    return squares(numbers)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_damaged_raw_file_leaves_nothing(tmp_path: Path, workers: int) -> None:
    with pytest.raises(DataError, match="raw file: damaged"):
        open_or_convert(INFO, str(tmp_path), lambda: make_plan(damaged), workers=workers)
    assert os.listdir(tmp_path) == [".numbers-v1.lock"]


def refuse_sum(_arrays) -> None:
    raise DataError("the sum is wrong")


def test_what_finish_refuses_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the sum is wrong"):
        open_or_convert(INFO, str(tmp_path), lambda: make_plan(finish=refuse_sum))
    assert os.listdir(tmp_path) == [".numbers-v1.lock"]


def test_a_cache_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file/below: Not a directory"):
        open_or_convert(INFO, str(tmp_path / "file/below"), make_plan)


def test_a_full_disk_is_an_error_and_the_same_command_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(DataError, match="No space left on device") as error:
            open_or_convert(INFO, str(tmp_path), make_plan)
    assert error.value.hint
    assert open_store(INFO, str(tmp_path)) is None
    assert_right(open_or_convert(INFO, str(tmp_path), make_plan))


# Kills itself with the third chunk half done; a worker kills its parent, and must then end by itself.
KILLED = """
import os, signal, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from test_conversion import INFO, make_plan, squares
from s5.data.conversion import open_or_convert
WORKERS = int(sys.argv[3])

def dies(numbers):
    if 21 in numbers:
        print(os.getpid(), flush=True)
        os.kill(os.getpid() if WORKERS == 1 else os.getppid(), signal.SIGKILL)
        signal.pause()
    return squares(numbers)

if __name__ == "__main__":
    open_or_convert(INFO, sys.argv[2], lambda: make_plan(dies), workers=WORKERS)
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_kill_then_again_goes_on_and_is_right(tmp_path: Path, workers: int, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    cache = tmp_path / "cache"
    command = [sys.executable, script, os.path.dirname(__file__), cache, str(workers)]
    killed = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60)  # ends when the worker has, too
    assert killed.returncode == -signal.SIGKILL
    assert open_store(INFO, str(cache)) is None
    assert not catalog.is_cached(INFO, str(cache))
    done = [int(line) for line in (cache / ".numbers-v1.work/journal").read_text().split()]
    assert 3 not in done
    assert_right(open_or_convert(INFO, str(cache), make_plan))
    err = capsys.readouterr().err
    assert f"resuming at {7 * len(done)} of 100" in err if done else "going on" not in err
    assert sorted(os.listdir(cache)) == [".numbers-v1.lock", "numbers-v1"]


def test_what_a_kill_left_of_another_plan_or_of_changed_files_is_not_gone_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw"
    raw.write_text("1")

    def stop(numbers) -> dict[str, Any]:
        if 50 in numbers:
            raise KeyboardInterrupt
        return squares(numbers)

    for other in ({"facts": {"seed": 2}}, {}):
        with pytest.raises(KeyboardInterrupt):
            open_or_convert(INFO, str(tmp_path / "cache"), lambda other=other: make_plan(stop, sources=[raw], **other))
    os.utime(raw, ns=(0, time.time_ns()))
    assert_right(open_or_convert(INFO, str(tmp_path / "cache"), lambda: make_plan(sources=[raw])))
    assert "going on" not in capsys.readouterr().err


def test_an_interrupted_conversion_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(numbers) -> dict[str, Any]:
        if 50 in numbers:
            raise KeyboardInterrupt
        return squares(numbers)

    with pytest.raises(KeyboardInterrupt):
        open_or_convert(INFO, str(tmp_path), lambda: make_plan(stop))
    assert_right(open_or_convert(INFO, str(tmp_path), make_plan))
    assert "numbers: resuming at 49 of 100 examples\n" in capsys.readouterr().err


def test_two_at_once_convert_once(tmp_path: Path) -> None:
    code = """
import sys
sys.path.insert(0, sys.argv[1])
from test_conversion import INFO, make_plan
from s5.data.conversion import open_or_convert
open_or_convert(INFO, sys.argv[2], make_plan)
"""
    command = [sys.executable, "-c", code, os.path.dirname(__file__), tmp_path / "cache"]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0] * 3, said
    assert sum("100 examples in" in err for err in said) == 1
    assert_right(open_store(INFO, str(tmp_path / "cache")))
