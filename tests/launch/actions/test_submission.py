"""The runs that `--only` selects, and the sweeps that come before a sweep."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from launch.actions.dependencies import check_sweeps_before
from launch.actions.estimate import estimate_plan
from launch.actions.plan import plan_runs, select
from launch.cli.start import plan_text
from launch.compose.run import Run
from launch.errors import LaunchError
from launch.profiles.profile import Profile
from launch.profiles.slurm import SlurmSettings
from launch.specs.resources import Resources
from launch.store.records import RunRecord
from launch.store.state import State
from launch.store.store import Store
from launch.sweepfile.runs import RunSpec
from tests.launch.command_sweep import command_runs, sweep_of
from tests.launch.made_sweep import Made, make_sweep

SPEC = RunSpec(experiment="digits/s5", overrides=(), settings={}, seed=0, resources=Resources())


def record(seed: int, settings: dict[str, Any]) -> RunRecord:
    return RunRecord(
        run_id=f"digits-s5-x-s{seed}-0",
        experiment="digits/s5",
        overrides=(),
        settings=settings,
        seed=seed,
        science_version=1,
        science_hash="0" * 64,
    )


@pytest.mark.parametrize(
    ("only", "seeds"),
    [
        ("digits-s5-*-s1-*", [1]),
        ("digits/*", [0, 1, 2]),
        ("optim.lr=0.001", [1]),
        ("lr=0.00*", [1, 2]),
        ("norm=layer", [0]),
        ("seed=2", [2]),
    ],
)
def test_a_glob_picks_runs_by_id_experiment_and_settings(only: str, seeds: list[int]) -> None:
    settings = [{"model.norm": "layer"}, {"optim.lr": 0.001}, {"optim.lr": 0.002}]
    records = [record(seed, values) for seed, values in enumerate(settings)]
    runs = [Run(record=record, config={}, spec=SPEC) for record in records]
    assert [run.record.seed for run in select(runs, only)] == seeds
    with pytest.raises(LaunchError, match="matches none of the 3 runs") as caught:
        select(runs, "r=0.001")
    assert "lr=" not in (caught.value.hint or "")
    assert "norm=layer" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("failed", r"failed, which .* has not succeeded: 1 FAILED, 1 PLANNED \(", "launch retry failed"),
        ("open", r"open, which .* has not succeeded: 1 PLANNED \(", "launch wait open"),
        ("opem", "`after: opem`: no such sweep; did you mean open", "submit it first"),
    ],
)
def test_a_sweep_whose_turn_has_not_come_says_what_it_waits_for(
    tmp_path: Path, name: str, message: str, hint: str
) -> None:
    sweeps = {"failed": [State.FAILED, State.PLANNED], "open": [State.PLANNED], "done": [State.SUCCEEDED]}
    for sweep, states in sweeps.items():
        make_sweep(tmp_path, sweep, [Made(state=state, settings={"n": n}) for n, state in enumerate(states)])
    check_sweeps_before(["done"], Store(tmp_path), attended=True)
    with pytest.raises(LaunchError, match=message) as caught:
        check_sweeps_before(["done", name], Store(tmp_path), attended=True)
    assert hint in (caught.value.hint or "")


def test_an_interpreter_that_the_profile_names_is_told_where_it_is_missing_or_not_used(tmp_path: Path) -> None:
    def text(commands: list[tuple[str, ...] | None], **site: Any) -> tuple[str, list[str]]:
        runs = command_runs(commands)
        profile = Profile(name="lab", file="slurm/lab.yaml", site=replace(SlurmSettings(), **site))
        plan = plan_runs(sweep_of(runs), runs, Store(tmp_path), profile)
        told = [warning for warning in plan.warnings if "python" in warning]
        return plan_text(plan, estimate_plan(plan, Store(tmp_path))), told

    missing = "profile lab (slurm/lab.yaml): python: /opt/gone/python does not exist on this machine; if a node"
    shown, (told,) = text([None, ("true",)], python="/opt/gone/python")
    assert told.startswith(missing)
    assert (
        "python: /opt/gone/python of the profile lab is for trainings under bare; a `command:` is executed as" in shown
    )
    shown, told = text([("true",)], python="/opt/gone/python")
    assert "a `command:` is executed as it is written" in shown and told == []
    assert text([None], python="/bin/sh")[1] == []
    for shown, told in (text([None], python="/bin/sh"), text([("true",)])):
        assert "python" not in shown.replace("/python", "") and told == []
