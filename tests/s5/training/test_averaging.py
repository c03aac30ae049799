"""The weights of the average of a model over its training."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from s5.config.training import TrainConfig
from s5.training.averaging import make_average_weight, start_average

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


def test_an_average_of_equal_models_is_that_model() -> None:
    model = nnx.state(nnx.BatchNorm(3, rngs=nnx.Rngs(0)))
    average = start_average(model, model)
    for weight in (1.0, 0.25, 0.0):
        average = average.update(jnp.float32(weight), model, model)
    for leaf, wanted in zip(nnx.to_flat_state(average.params), nnx.to_flat_state(model), strict=True):
        np.testing.assert_allclose(leaf[1][...], wanted[1][...], rtol=1e-6)
