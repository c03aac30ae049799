"""The files that words of a command name are those of the first submission, in whatever folder a later one is typed."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from launch.cli import main
from launch.store.program_words import program_words, with_files
from launch.store.record_json import encode, from_json, to_json
from launch.store.records import RunRecord
from tests.launch.records import attempt_record, run_record

PRINT = "import sys; print(__file__, *sys.argv[1:]); sys.exit(not {})\n"


def submit_and_leave(runs: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    """Submit a sweep whose program fails, and go to another folder, which has another program of the same name."""
    for folder, ok in (("first", 0), ("second", 1)):
        (runs.parent / folder).mkdir()
        (runs.parent / folder / "fit.py").write_text(PRINT.format(ok))
    monkeypatch.chdir(runs.parent / "first")
    command = [sys.executable, "-S", "fit.py", "{cwd}"]
    Path("tool.yaml").write_text(json.dumps({"command": command}))
    assert main(["sweep", "tool.yaml", *options]) == (0 if options else 1)
    monkeypatch.chdir(runs.parent / "second")


def printed(runs: Path) -> list[str]:
    """Return the text that the newest attempt of the only run printed, by words."""
    return max((runs / "tool").glob("*/attempts/*/log.txt")).read_text().split()


def test_a_retry_from_another_folder_executes_the_same_file(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = runs.parent / "first"
    submit_and_leave(runs, monkeypatch)
    assert main(["retry", "tool"]) == 1
    assert printed(runs) == [str(first / "fit.py"), str(first)]
    (first / "fit.py").unlink()
    assert main(["retry", "tool"]) == 2
    assert f"fit.py: there is no file {first}/fit.py any more" in capsys.readouterr().err
    assert len(list(runs.glob("tool/*/attempts/*"))) == 2
    assert main(["sweep", str(first / "tool.yaml"), "--dry-run"]) == 0  # it does not start what has failed


def test_the_sweep_typed_in_another_folder_says_which_file_it_executes(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, again = runs.parent / "first", ["sweep", str(runs.parent / "first" / "tool.yaml"), "--dry-run"]
    submit_and_leave(runs, monkeypatch, "--plan-only")
    assert main(again) == 0
    here = runs.parent / "second" / "fit.py"
    assert f"fit.py is {here} for new runs; 1 earlier run executes {first}/fit.py" in capsys.readouterr().err
    (first / "fit.py").unlink()
    assert main(again) == 2
    assert f"fit.py: there is no file {first}/fit.py any more" in capsys.readouterr().err


def placed(record: RunRecord, run_dir: Path, cwd: Path, file: str | None = None) -> list[str]:
    return list(program_words(record, str(run_dir), str(cwd), file).words)


def program(*words: str, **parameters: Any) -> RunRecord:
    return run_record(command=words, parameters=parameters)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders with the same files."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for file in ("fit.py", "run.sh"):
            (tmp_path / name / file).touch()
    return tmp_path / "one", tmp_path / "two"


def test_a_stored_word_is_its_file_and_no_file_is_looked_for_there_first(folders: tuple[Path, Path]) -> None:
    one, two = folders
    record = with_files(program("python", "fit.py", "{n}.py", "late.py", n="fit"), str(one), None)
    assert from_json(RunRecord, json.loads(encode(record)), "x") == record
    assert placed(record, one, two) == ["python", f"{one}/fit.py", f"{one}/fit.py", "late.py"]
    (two / "late.py").touch()
    assert placed(record, one, two)[-1] == f"{two}/late.py"
    (one / "late.py").touch()
    assert placed(record, one, two)[-1] == f"{one}/late.py"


def test_a_program_in_place_of_a_training_is_its_file_too(folders: tuple[Path, Path]) -> None:
    one, two = folders
    record = with_files(run_record(command=("./run.sh", "fit.py")), str(one), None)
    assert placed(record, one, two) == [f"{one}/./run.sh", "fit.py"]
    (one / "run.sh").unlink()
    assert program_words(record, str(one), str(two), None).lost == {"./run.sh": f"{one}/./run.sh"}


def test_a_run_of_an_older_version_takes_the_files_of_its_first_attempt(folders: tuple[Path, Path]) -> None:
    one, two = folders
    record = program("python", "fit.py", "{cwd}/out")
    assert {"folders", "files"}.isdisjoint(to_json(record))
    assert placed(record, two, one) == ["python", f"{one}/fit.py", f"{one}/out"]
    assert placed(record, two, two, f"{one}/x.yaml") == ["python", f"{one}/fit.py", f"{two}/out"]
    attempt = two / "attempts" / "0"
    os.makedirs(attempt)
    (attempt / "attempt.json").write_bytes(encode(attempt_record(command=("python", f"{one}/fit.py", f"{one}/out"))))
    assert placed(record, two, two) == ["python", f"{one}/fit.py", f"{one}/out"]
    (one / "fit.py").unlink()
    assert program_words(record, str(two), str(two), None).lost == {"fit.py": f"{one}/fit.py"}
    later = replace(attempt_record(), command=("python", "fit.py", f"{one}/out"))  # it could not be found then
    (attempt / "attempt.json").write_bytes(encode(later))
    assert placed(record, two, two)[1] == f"{two}/fit.py"
