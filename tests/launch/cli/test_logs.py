import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from launch.cli import main
from launch.store.state import Reason, State
from launch.store.store import SweepStore
from s5.run_dir.result import publish, write_result
from tests.launch.made_sweep import Made, make_sweep, run_id_of

DONE = Made(state=State.SUCCEEDED, log="".join(f"line {n}\n" for n in range(5)), attempts=2)
LIVE = Made(state=State.RUNNING, log="begun\n", settings={"lr": 1})
NEVER = Made(state=State.PLANNED, settings={"lr": 2})


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SweepStore:
    monkeypatch.setenv("LAUNCH_RUNS", str(tmp_path))
    return make_sweep(tmp_path, "x", [DONE, LIVE, NEVER])


def folder(sweep: SweepStore, made: Made, attempt: int = 0) -> Path:
    return sweep.run_dir(run_id_of(made)) / "attempts" / str(attempt)


def end(folder: Path, reason: Reason) -> None:
    record = json.loads((folder / "attempt.json").read_text()) | {"ended": 2000.0, "reason": reason}
    (folder / "attempt.json").write_text(json.dumps(record))
    if reason == Reason.SUCCESS:
        write_result(folder, {})
        publish(folder)


def follow(*words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "launch.cli", "logs", *words, "-f"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("tail", [[], ["--tail", "99"], ["--tail", "5"]])
def test_a_log_is_printed_whole(sweep: SweepStore, capfdbinary, tail: str) -> None:
    (folder(sweep, DONE, 1) / "log.txt").write_bytes(b"\xff\x00 raw\n1\n2\n3\n4")
    assert main(["logs", run_id_of(DONE), *tail]) == 0
    assert capfdbinary.readouterr().out == b"\xff\x00 raw\n1\n2\n3\n4"


@pytest.mark.parametrize(
    ("words", "out"),
    [(["--tail", "2"], "line 3\nline 4\n"), (["--tail", "0"], ""), (["--attempt", "0"], "first\n")],
)
def test_a_part_of_it(sweep: SweepStore, capfd: pytest.CaptureFixture[str], words: list[str], out: str) -> None:
    (folder(sweep, DONE, 0) / "log.txt").write_text("first\n")
    assert main(["logs", run_id_of(DONE), *words]) == 0
    assert capfd.readouterr().out == out


@pytest.mark.parametrize("word", ["digits-s5-s0", "x/digits-s5-s", run_id_of(DONE), f"x/{run_id_of(DONE)}"])
def test_a_run_goes_by_any_clear_name(sweep: SweepStore, capfd: pytest.CaptureFixture[str], word: str) -> None:
    assert main(["logs", word]) == 0
    assert capfd.readouterr().out == DONE.log


def test_of_an_attempt_that_printed_nothing_it_is_said_how_it_ended(
    sweep: SweepStore, capfd: pytest.CaptureFixture[str]
) -> None:
    place = folder(sweep, DONE, 0)
    (place / "log.txt").write_text("")
    record = json.loads((place / "attempt.json").read_text())
    end = {"ended": 2000.0, "reason": "start", "message": "bsah: none"}
    (place / "attempt.json").write_text(json.dumps(record | end))
    assert main(["logs", run_id_of(DONE), "--attempt", "0"]) == 0
    out, err = capfd.readouterr()
    assert not out
    assert "attempts/0 printed nothing; it ended with start: bsah: none" in err


def test_a_run_goes_by_its_folder(
    sweep: SweepStore, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sweep.path.parent)
    assert main(["logs", f"x/{run_id_of(DONE)}/"]) == 0
    assert capfd.readouterr().out == DONE.log


def test_an_unclear_name_shows_what_it_could_be(sweep: SweepStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs", "digits"]) == 2
    err = capsys.readouterr().err
    assert "'digits' is the beginning of 3 runs" in err
    assert "hint: type more of it, or SWEEP/RUN" in err


def test_one_id_in_two_sweeps_needs_the_sweep(sweep: SweepStore, capsys: pytest.CaptureFixture[str]) -> None:
    make_sweep(sweep.path.parent, "y", [DONE])
    assert main(["logs", run_id_of(DONE)]) == 2
    assert f"x/{run_id_of(DONE)}, y/{run_id_of(DONE)}" in capsys.readouterr().err
    assert main(["logs", f"y/{run_id_of(DONE)}"]) == 0


@pytest.mark.parametrize(
    ("made", "words", "message"),
    [
        (DONE, ["--attempt", "7"], "has no attempts/7"),
        (NEVER, [], "has not been started yet"),
        (NEVER, ["--attempt", "0", "-f"], "has no attempts/0"),
    ],
)
def test_what_is_not_there_is_told(
    sweep: SweepStore, capsys: pytest.CaptureFixture[str], made, words, message: str
) -> None:
    assert main(["logs", run_id_of(made), *words]) == 2
    assert message in capsys.readouterr().err


def test_following_ends_with_the_run_and_misses_nothing(sweep: SweepStore) -> None:
    place = folder(sweep, LIVE)
    process = follow(run_id_of(LIVE))
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    with (place / "log.txt").open("a") as log:
        log.write("more\n")
        log.flush()
        assert process.stdout.readline() == "more\n"
        log.write("last words without a newline")
    end(place, Reason.SUCCESS)
    out, err = process.communicate(timeout=20)
    assert (out, err, process.returncode) == ("last words without a newline", "", 0)


def test_following_goes_on_with_the_next_attempt(sweep: SweepStore) -> None:
    process = follow(run_id_of(LIVE))
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    first, second = folder(sweep, LIVE, 0), folder(sweep, LIVE, 1)
    prepared = second.with_name(".claim-1")
    prepared.mkdir()
    record = json.loads((first / "attempt.json").read_text()) | {"attempt": 1}
    (prepared / "attempt.json").write_text(json.dumps(record))
    (prepared / "log.txt").write_text("again\n")
    end(first, Reason.INTERRUPTED)
    os.rename(prepared, second)
    assert process.stdout.readline() == "again\n"
    end(second, Reason.CRASH)
    assert process.communicate(timeout=20) == ("", "the next attempt begins: attempts/1\n")


def test_following_a_run_that_has_ended_prints_it_and_returns(
    sweep: SweepStore, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["logs", run_id_of(DONE), "-f"]) == 0
    assert capfd.readouterr().out == DONE.log
