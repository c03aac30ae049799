"""Which runs of a sweep `--only` picks."""

from typing import Any

import pytest

from launch.compose.composer import Run
from launch.errors import LaunchError
from launch.language.sweep import RunSpec
from launch.records import RunRecord
from launch.resources import Resources
from launch.submission import select

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
