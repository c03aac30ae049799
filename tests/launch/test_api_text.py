"""What `print` and a Python prompt show of the values of the Python interface: a few lines, never internals."""

from dataclasses import replace
from pathlib import Path

import pytest

import launch
from launch.profiles.profile import Profile
from launch.profiles.slurm import SlurmSettings
from launch.specs.choices import BackendName
from launch.store.state import State
from tests.launch.made_sweep import Made, make_sweep, run_id_of

DONE = [Made(state=State.SUCCEEDED, accuracy=0.9, settings={"optim.lr": rate}) for rate in (0.1, 0.2)]


def test_results_are_printed_as_a_table(tmp_path: Path) -> None:
    make_sweep(tmp_path, "x", [*DONE, Made(state=State.FAILED, settings={"optim.lr": 0.3})])
    results = launch.load_results("x", runs=tmp_path)
    assert str(results).splitlines() == [
        "experiment  lr   seeds  test/accuracy %  runs",
        "digits/s5   0.1      1        90.00 ± —  1 succeeded",
        "digits/s5   0.2      1        90.00 ± —  1 succeeded",
        "digits/s5   0.3    0/1                —  1 failed",
    ]
    assert repr(results) == "Results('x', 'test/accuracy', 3 rows)"
    row = "ResultRow('digits/s5', {'optim.lr': 0.1}, seeds=[0], 'test/accuracy', mean=0.9, std=None, published=None)"
    assert repr(results.rows[0]) == row


def test_sweeps_plans_runs_and_profiles_are_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text("command: [echo]\ngrid: {a: [1, 2]}\nseeds: 2\n")
    sweep = launch.load_sweep("x.yaml")
    assert repr(sweep) == "Sweep('x', 4 runs)"
    assert str(sweep).splitlines()[:2] == ["x (x.yaml): 4 runs", "  command a=1 seed=0"]
    assert repr(launch.plan(sweep, runs=tmp_path)) == "Plan('x on local: 4 runs: 4 new')"
    assert repr(launch.load_profile()) == "Profile('local')"
    profile = Profile(name="big", backend=BackendName.SLURM, slots_per_gpu=2, site=SlurmSettings(partition="gpu"))
    assert repr(profile) == "Profile('big', backend='slurm', slots_per_gpu=2, partition='gpu')"
    failed = Made(state=State.FAILED, message="no luck")
    make_sweep(tmp_path, "y", [failed])
    (view,) = launch.status("y", runs=tmp_path)
    assert repr(view) == f"RunView('y/{run_id_of(failed)}', FAILED, 'no luck')"
    assert "step 3 of 9" in repr(replace(view, step=3, steps=9))


def test_the_last_step_of_a_run_that_has_ended_is_known(tmp_path: Path) -> None:
    """Also if its newest attempt ended before its first step."""
    ended = Made(state=State.SUCCEEDED, accuracy=0.9, attempts=2)
    folder = make_sweep(tmp_path, "x", [ended, Made(seed=1)]).run_dir(run_id_of(ended))
    (folder / "attempts" / "0" / "timing.jsonl").write_text('{"step": 7, "of": 9}\n')
    handle = launch.open_sweep("x", runs=tmp_path)
    assert [(view.step, view.steps) for view in handle.status()] == [(7, 9), (None, None)]
    assert [(view.step, view.steps) for view in handle.wait()] == [(7, 9), (None, None)]
