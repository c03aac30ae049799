import json
import os
import subprocess
from pathlib import Path

import pytest

from launch.checks import doctor
from launch.checks.check import Check, Level
from launch.cli import main
from launch.store.state import Reason, State
from launch.store.store import Store
from tests.launch.made_sweep import Made, make_sweep, run_id_of


def by_name(checks) -> dict[str, Check]:
    return {check.name: check for check in checks}


def executable(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_it_looks_at_everything_and_changes_nothing(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    checks = by_name(doctor.examine(runs))
    assert {"python", "launcher", "cpu", "runs", "data"} <= set(checks)
    assert checks["python"].level is Level.OK
    assert not runs.exists()


def test_a_missing_package_fails_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_TRAINING", ("jax", "no-such-package"))
    check = by_name(doctor.check_packages())["training"]
    assert (check.level, check.message) == (Level.FAIL, "missing: no-such-package")
    assert "make env" in (check.advice or "")


def test_versions_are_held_against_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "cpu.txt"
    lock.write_text("rich==0.0.1 \\\n    --hash=sha256:00\nnot-here==1\n# pytest==2\n")
    check = by_name(doctor.check_packages(lock))["lock"]
    assert check.level is Level.WARN
    assert check.message.startswith("rich ") and check.message.endswith("(lock: 0.0.1)")


def test_a_lock_that_names_a_package_twice_allows_both(tmp_path: Path) -> None:
    lock = tmp_path / "cpu.txt"
    installed = doctor.metadata.version("rich")
    lock.write_text(f"rich=={installed} ; python_version < '3.12'\nrich==99 ; python_version >= '3.12'\n")
    assert by_name(doctor.check_packages(lock))["lock"].level is Level.OK


def test_gpus_are_named_and_a_missing_plugin_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(tmp_path / "bin", "nvidia-smi", "echo 'NVIDIA H100, 81559 MiB, 570.1'")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    checks = by_name(doctor.check_gpu())
    assert checks["gpu 0"].message == "NVIDIA H100, 81559 MiB, 570.1"
    if "gpu jax" in checks:
        assert "`make env GPU=cuda12`" in (checks["gpu jax"].advice or "")
    assert ("gpu jax" in checks) == (doctor._version("jax-cuda12-plugin") is None)


def test_a_driver_that_is_not_loaded_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(tmp_path / "bin", "nvidia-smi", "exit 9")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert by_name(doctor.check_gpu())["gpu"].level is Level.WARN


def test_runs_that_cannot_be_written_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Asked of the system, since root, who may run the tests, may write into every folder.
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    (check,) = doctor.check_runs(tmp_path / "runs")
    assert (check.level, check.message) == (Level.FAIL, f"{tmp_path} cannot be written")
    assert "`--runs DIR` names another folder" in (check.advice or "")


def test_a_file_in_the_place_of_runs_fails(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    (check,) = doctor.check_runs(tmp_path / "runs")
    assert check.level is Level.FAIL and "is not a folder" in check.message


@pytest.mark.parametrize(("free", "level"), [(100 << 30, Level.OK), (5 << 30, Level.WARN), (1 << 20, Level.FAIL)])
def test_little_room_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, level: Level) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: type("Usage", (), {"free": free}))
    (check,) = doctor.check_runs(tmp_path)
    assert check.level is level
    assert (check.advice is None) == (level is Level.OK)


def test_missing_data_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S5_DATA", str(tmp_path))
    monkeypatch.setenv("S5_CACHE", str(tmp_path))
    checks = by_name(doctor.check_data())
    assert checks["data"].level is Level.OK and "digits" in checks["data"].message
    assert checks["other data"].message.startswith("not here: mnist, ")
    assert "launch data prepare NAME" in (checks["other data"].advice or "")


def test_without_git_it_says_what_that_means(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (check,) = doctor.check_git()
    assert check.level is Level.WARN and "snapshot" in (check.advice or "")


def test_git_is_asked_about_the_code_and_not_about_the_current_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (code := tmp_path / "code").mkdir()
    subprocess.run(["git", "init", "-q", str(elsewhere)], check=True)
    monkeypatch.chdir(elsewhere)
    (check,) = doctor.check_git(code)
    assert check.message.endswith(f"the code in {code} is not in a repository")


def test_unfinished_sweeps_are_named(tmp_path: Path) -> None:
    make_sweep(tmp_path, "done", [Made(state=State.SUCCEEDED)])
    make_sweep(tmp_path, "left", [Made(state=State.LOST), Made(state=State.PLANNED, seed=1)])
    (check,) = doctor.check_sweeps(Store(tmp_path))
    assert (check.name, check.level) == ("sweep left", Level.WARN)
    assert check.message == "1 lost, 1 planned, and no process of this machine works on it"


def test_runs_that_failed_to_start_are_named_in_every_state(tmp_path: Path) -> None:
    message = "job 7_1 on n2: setup line 1, `module load x`, ended with 1"
    facts = {"reason": Reason.START, "message": message}
    make_sweep(tmp_path, "ended", [Made(state=State.FAILED, **facts), Made(state=State.FAILED, seed=1, **facts)])
    made = Made(state=State.FAILED, **facts)
    file = make_sweep(tmp_path, "again", [made]).run_dir(run_id_of(made)) / "attempts" / "0" / "attempt.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "retry": True}))  # as with `retry: {start: 2}`
    checks = {(check.name, check.message.split(";")[0]): check for check in doctor.check_sweeps(Store(tmp_path))}
    ended, again = checks["sweep ended", "2 failed to start"], checks["sweep again", "1 failed to start"]
    assert message in ended.message and message in again.message
    assert "`launch retry ended` runs them again" in (ended.advice or "")
    assert "`launch sweep FILE` tries them again" in (again.advice or "")


def test_a_check_that_breaks_is_a_failed_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken():
        raise PermissionError(13, "Permission denied", "/proc/x")
        yield

    monkeypatch.setattr(doctor, "check_cpu", broken)
    check = by_name(doctor.examine(tmp_path))["cpu"]
    assert check.level is Level.FAIL and "Permission denied" in check.message


@pytest.mark.parametrize(("level", "code"), [(Level.OK, 0), (Level.WARN, 0), (Level.FAIL, 1)])
def test_the_verb_prints_a_line_per_check_and_its_code_tells(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], level: Level, code: int
) -> None:
    check = Check(name="runs", level=level, message="full\x1b[2J", advice="launch gc")
    monkeypatch.setattr(doctor, "examine", lambda runs, profile: iter([check]))
    assert main(["doctor"]) == code
    assert capsys.readouterr().out == f"{level:<4}  runs                full\\x1b[2J\n{'':26}→ launch gc\n"
    assert main(["doctor", "--json"]) == code
    assert json.loads(capsys.readouterr().out)[0]["level"] == level


@pytest.mark.parametrize(("drivers", "cuda"), [(["580.65.06"], "cuda13"), (["595.1", "550.54"], "cuda12")])
def test_a_gpu_without_its_plugin_is_told_the_lock_that_its_driver_works_with(
    drivers: list[str], cuda: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "\\n".join(f"NVIDIA L4, 23034 MiB, {driver}" for driver in drivers)
    executable(tmp_path / "bin", "nvidia-smi", f"printf '{lines}\\n'")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setattr(doctor, "_version", lambda package: None)
    advice = {check.name: check.advice for check in doctor.check_gpu()}["gpu jax"]
    assert f"`make env GPU={cuda}`" in (advice or "")
