"""The average of a model over its training: its weights, and that it is what is evaluated, kept and resumed."""

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from s5.config.choices import Schedule
from s5.config.compose import compose
from s5.config.training import TrainConfig
from s5.errors import Stopped
from s5.run_dir.result import read_metrics
from s5.training import checkpoints, loop
from s5.training.averaging import make_average_weight, start_average
from tests.s5.stop_requests import StopsAt

PER_EPOCH = 4
VALUES = np.random.default_rng(0).standard_normal((28, 3))


def averages(config: TrainConfig) -> list[np.ndarray]:
    """Return the average after each update of a model whose parameters are the rows of VALUES."""
    weight = make_average_weight(config, PER_EPOCH)
    assert weight is not None
    average, found = start_average({"p": jnp.zeros(3)}, {}), []
    for step, row in enumerate(VALUES, start=1):
        average = average.update(weight(step), {"p": jnp.asarray(row, jnp.float32)}, {})
        found.append(np.asarray(average.params["p"]))
    return found


@pytest.mark.parametrize("decay", [0.5, 0.999, 0.999999])
def test_an_exponential_average_has_the_weights_of_its_definition(decay: float) -> None:
    for n, found in enumerate(averages(TrainConfig(ema=decay)), start=1):
        weights = decay ** np.arange(n - 1, -1, -1.0)
        np.testing.assert_allclose(found, weights @ VALUES[:n] / weights.sum(), rtol=1e-4, atol=1e-5)


def test_the_mean_is_over_the_ends_of_the_last_epochs() -> None:
    found = averages(TrainConfig(swa_start_epoch=3, epochs=7))
    for n in range(1, 29):
        ends = VALUES[3 * PER_EPOCH - 1 : n : PER_EPOCH]
        np.testing.assert_allclose(found[n - 1], ends.mean(0) if len(ends) else VALUES[n - 1], rtol=1e-5, atol=1e-6)


def test_nothing_is_averaged_by_default() -> None:
    assert make_average_weight(TrainConfig(), PER_EPOCH) is None


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"ema": 1.0}, "train.ema=1.0 must be above 0 and below 1"),
        ({"ema": 0.9, "swa_start_epoch": 3}, "are two averages"),
        ({"swa_start_epoch": 10, "epochs": 10}, "must be below train.epochs=10"),
        ({"swa_start_epoch": 0}, "train.swa_start_epoch=0 must be at least 1"),
    ],
)
def test_averages_that_cannot_be_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig(**keys)


def attempt(config: Any, run_dir: Path, stops_at: int = 0) -> dict[str, float] | None:
    folder = run_dir / "attempts" / str(len(list(run_dir.glob("attempts/*"))))
    folder.mkdir(parents=True)
    try:
        return loop.train(config, run_dir, folder, StopsAt(stops_at))
    except Stopped:
        return None


@pytest.mark.slow
def test_a_run_keeps_its_average_through_interruptions(tiny: list[str], tmp_path: Path) -> None:
    """The run also has a plateau after every epoch and learning rates by name and depth; all of it resumes."""
    keys = ["train.ema=0.9", "optim.lr_of={log_step: 0.02}", "optim.layer_decay=0.9", "optim.schedule=plateau"]
    more = ["optim.lr_patience_epochs=1", "optim.lr_reduce_factor=0.2", "train.epochs=3", "train.batch_size=256"]
    config = compose([*tiny, *keys, *more])
    assert config.optim.schedule is Schedule.plateau
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    metrics = attempt(config, whole)
    assert attempt(config, pieces, 3) is None and attempt(config, pieces, 9) is None
    assert attempt(config, pieces) == metrics
    assert read_metrics(pieces) == read_metrics(whole)
    one, other = checkpoints.newest(whole), checkpoints.newest(pieces)
    assert one is not None and other is not None
    assert json.dumps(one.progress) == json.dumps(other.progress)
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(other.arrays[name], array, err_msg=name)
    average = {name: a for name, a in one.arrays.items() if name.startswith("state.average")}
    last = {name: a for name, a in one.arrays.items() if name.startswith(("state.params", "state.stats"))}
    assert len(average) == len(last) > 0
    assert any((average[name.replace("state.", "state.average.")] != last[name]).any() for name in last)
    assert one.progress["best_step"] == one.step
    for name, array in average.items():
        np.testing.assert_array_equal(one.arrays[name.replace("state.average.", "best/")], array)


def test_an_average_of_equal_models_is_that_model() -> None:
    model = nnx.state(nnx.BatchNorm(3, rngs=nnx.Rngs(0)))
    average = start_average(model, model)
    for weight in (1.0, 0.25, 0.0):
        average = average.update(jnp.float32(weight), model, model)
    for leaf, wanted in zip(nnx.to_flat_state(average.params), nnx.to_flat_state(model), strict=True):
        np.testing.assert_allclose(leaf[1][...], wanted[1][...], rtol=1e-6)
