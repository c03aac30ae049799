"""The results of equal runs of other sweeps: they are told, and used if asked for."""

import json
import os
from pathlib import Path

import pytest

from launch.actions.plan import plan_sweep
from launch.actions.submit import submit
from launch.cli import main
from launch.results.gather import gather
from launch.store.attempts import read_attempt
from launch.store.state import State
from launch.sweepfile.sweep import load_sweep, single_run
from tests.launch.command_sweep import LOCAL
from tests.launch.edited_sweep import EditedSweep
from tests.launch.made_sweep import Made, write_state


def other_file(runs: EditedSweep, text: str) -> Path:
    file = runs.file.with_name("other.yaml")
    file.write_text(text)
    return file


@pytest.fixture
def runs(tmp_path: Path) -> EditedSweep:
    """A sweep of two configurations with two seeds; one of its runs has failed."""
    made = EditedSweep(tmp_path)
    made.write("{experiment: digits/s5, seeds: 2, grid: {optim.lr: [1e-3, 2e-3]}}")
    *good, bad = made.submit().views
    for number, view in enumerate(good):
        write_state(Path(view.run_dir), Made(state=State.SUCCEEDED, accuracy=0.9 + number / 100))
        (Path(view.run_dir) / "attempts" / "0" / "metrics.jsonl").write_text('{"step": 1, "val/accuracy": 0.5}\n')
    write_state(Path(bad.run_dir), Made(state=State.FAILED))
    return made


OTHER = "{experiment: digits/s5, seeds: [1, 0, 2], grid: {model.dropout: [0.1]}, base: {optim.lr: 0.002}}"


def test_results_elsewhere_are_told_and_not_used_unasked(runs: EditedSweep) -> None:
    plan = plan_sweep(load_sweep(other_file(runs, OTHER)), runs.store, LOCAL)
    assert plan.warnings[-1:] == (
        "1 of these runs has succeeded in the sweep edited with the same configuration and seed; "
        "`--reuse` uses its result",
    )
    assert {view.state for view in submit(plan, source=runs.code).views} == {State.PLANNED}
    again = plan_sweep(load_sweep(runs.file), runs.store, LOCAL)
    assert not any("--reuse" in warning for warning in again.warnings), "its own runs are there"


def test_reused_runs_have_succeeded_with_their_numbers_and_curves(runs: EditedSweep) -> None:
    file = other_file(runs, OTHER.replace("0.002", "0.001"))
    plan = plan_sweep(load_sweep(file), runs.store, LOCAL, reuse=True)
    assert plan.warnings[-1].startswith("2 of these runs have succeeded in the sweep edited")
    views = {view.seed: view for view in submit(plan, source=runs.code).views}
    assert {seed: view.state for seed, view in views.items()} == {
        0: State.SUCCEEDED,
        1: State.SUCCEEDED,
        2: State.PLANNED,
    }
    (row,) = gather(runs.store.sweep("other").state())
    assert (row.seeds, row.mean) == ([0, 1], pytest.approx(0.905))
    for view in (views[0], views[1]):
        assert json.loads(Path(view.run_dir, "run.json").read_bytes())["run_id"] == view.run_id
        assert Path(view.run_dir, "attempts", "0", "metrics.jsonl").exists()
        origin = read_attempt(os.path.join(view.run_dir, "attempts", "0")).reused_from
        assert origin is not None and origin.startswith("edited/digits-s5-lr=0.001-s")
    sources = {view.seed: view for view in runs.sweep.views() if view.settings["optim.lr"] == 0.001}
    assert read_attempt(os.path.join(sources[0].run_dir, "attempts", "0")).reused_from is None
    records = gather(runs.store.sweep("other").state()).run_records()
    assert next(record["reused_from"] for record in records if record["seed"] == 0).startswith("edited/")


def test_a_single_run_under_another_spelling_finds_its_result(
    runs: EditedSweep, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    single = single_run("digits/s5", ["optim.lr=1e-3", "seed=1"])
    plan = plan_sweep(single, runs.store, LOCAL)
    assert "in the sweep edited" in plan.warnings[-1]
    monkeypatch.chdir(runs.file.parent)
    assert main(["run", "digits/s5", "optim.lr=0.0010", "seed=1", "--runs", str(runs.store.root), "--reuse"]) == 0
    out, err = capsys.readouterr()
    assert "its result is used" in err and "nothing to do" in err
    assert "91.00" in out
