"""One training step, also with empty batches and with nan in a batch."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from s5.config.choices import Head, Norm
from s5.config.families import S5Config
from s5.config.training import OptimConfig
from s5.data.batch import Batch
from s5.models.sequence_model import make_model
from s5.nn.steps import Steps
from s5.training.metrics import MetricSums, batch_metrics
from s5.training.optimizer import make_optimizer
from s5.training.step import MetricWindow, TrainState, make_train_step

BATCH, LENGTH, CLASSES = 6, 7, 3
SMALL = S5Config(n_layers=2, d_model=4, d_state=4, n_blocks=1, bidirectional=True, norm=Norm.layer)


def make_batch(head: Head = Head.classification, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, BATCH).astype(np.int32)
    if head is Head.regression:
        labels = rng.standard_normal((BATCH, LENGTH, CLASSES)).astype(np.float32)
    inputs = rng.standard_normal((BATCH, LENGTH, 2)).astype(np.float32)
    lengths = rng.integers(1, LENGTH + 1, BATCH).astype(np.int32)
    return Batch(inputs, labels, lengths, np.array([1, 1, 0, 1, 1, 1], np.float32))


def make_step(
    head: Head = Head.classification,
    norm: Norm = Norm.layer,
    optimizer: Any = None,
    microbatches: int = 1,
    dropout: float = 0.0,
):
    small = dataclasses.replace(SMALL, norm=norm, dropout=dropout)
    model = make_model(small, 2, CLASSES, nnx.Rngs(params=jax.random.key(0)), head=head)
    graphdef, params, stats = nnx.split(model, nnx.Param, ...)
    optimizer = optimizer or make_optimizer(OptimConfig(warmup_epochs=0.0), params, 10, 2)
    step = make_train_step(graphdef, optimizer, lambda batch: batch.lengths, head=head, microbatches=microbatches)

    def start() -> tuple[TrainState, MetricWindow]:
        copies = jax.tree.map(jnp.array, (params, stats, optimizer.init(params)))  # a step takes its state's memory
        return TrainState(jnp.int32(0), jax.random.key(1), *copies), MetricWindow.empty(head)

    return start, step


def numbers(tree: Any) -> list[np.ndarray]:
    return [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(tree)]


def gradient_of_the_mean(head, batch) -> list[np.ndarray]:
    """Return the gradient of the loss, averaged over examples or over their valid steps, from its definition."""
    model = make_model(SMALL, 2, CLASSES, nnx.Rngs(params=jax.random.key(0)), head=head)
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)

    def mean(params: Any) -> Any:
        outputs, weight = (
            nnx.merge(graphdef, params, rest)(
                batch.inputs, Steps.of(batch.inputs.shape[1], batch.lengths), train=False
            ),
            batch.weight,
        )
        if head is Head.classification:
            probability = jax.nn.softmax(outputs)[np.arange(BATCH), batch.labels]
            return -(jnp.log(probability) * weight).sum() / weight.sum()
        valid = (np.arange(LENGTH) < batch.lengths[:, None]) * weight[:, None]
        return (((outputs - batch.labels) ** 2).mean(-1) * valid).sum() / valid.sum()

    return numbers(jax.jit(jax.grad(mean))(params))


@pytest.mark.parametrize("head", [Head.classification, Head.regression])
def test_microbatches_are_one_batch_and_its_gradient_is_that_of_the_mean(head: Head) -> None:
    batch = make_batch(head)
    after = {}
    for microbatches in (1, 3):
        # What the optimizer is told is what it returns: the update is the gradient.
        start, step = make_step(head, optimizer=optax.identity(), microbatches=microbatches)
        before = numbers(start()[0].params)
        state, window = step(*start(), batch)
        after[microbatches] = ([b - a for a, b in zip(before, numbers(state.params), strict=True)], window)
    for want, one, three in zip(gradient_of_the_mean(head, batch), after[1][0], after[3][0], strict=True):
        np.testing.assert_allclose(one, want, rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(three, one, rtol=1e-4, atol=1e-6)
    assert max(np.abs(one).max() for one in after[1][0]) > 1e-3
    for one, three in zip(numbers(after[1][1]), numbers(after[3][1]), strict=True):
        np.testing.assert_allclose(three, one, rtol=1e-5)


def test_microbatches_move_the_statistics_once_for_each_part() -> None:
    start, step = make_step(norm=Norm.batch, microbatches=2)
    state, _ = step(*start(), make_batch())
    parts = [jax.tree.map(lambda rows, part=part: rows[part::2], make_batch()) for part in range(2)]
    start_one, step_one = make_step(norm=Norm.batch, optimizer=optax.set_to_zero())
    one, window = start_one()
    for part in parts:
        one, window = step_one(one, window, part)
    for whole, twice in zip(numbers(state.stats), numbers(one.stats), strict=True):
        np.testing.assert_allclose(whole, twice, rtol=1e-4, atol=1e-6)


def test_every_step_and_every_part_of_one_drops_what_it_draws() -> None:
    start, step = make_step(optimizer=optax.set_to_zero(), microbatches=2, dropout=0.5)
    alike = jax.tree.map(lambda rows: np.repeat(rows[::2], 2, axis=0), make_batch())  # both parts hold the same
    first_part = alike._replace(weight=alike.weight * (np.arange(BATCH) % 2 == 0))

    def loss(batch, state: Any) -> tuple[float, TrainState]:
        state, window = step(state, start()[1], batch)
        return float(window.sums.loss), state

    both, after = loss(alike, start()[0])
    assert loss(alike, start()[0])[0] == both
    assert abs(loss(alike, after)[0] - both) > 1e-3  # the next step, with the same parameters
    assert abs(both - 2 * loss(first_part, start()[0])[0]) > 1e-3


@pytest.fixture(scope="module")
def batch_norm_step():
    return make_step(norm=Norm.batch)


def test_a_batch_with_a_number_that_is_none_is_named_by_its_step(batch_norm_step) -> None:
    start, step = batch_norm_step
    good, bad = make_batch(), make_batch(seed=1)
    bad.inputs[0, 0, 0] = np.nan
    state, window = step(*start(), good)
    assert int(window.bad_step) == 0
    state, window = step(state, window, bad)
    assert int(window.bad_step) == 2
    state, window = step(state, window, good)
    assert int(window.bad_step) == 2  # the first one stays


@pytest.mark.parametrize("empty", ["row", "all rows", "no weight"])
def test_batches_that_hold_nothing_leave_all_finite(batch_norm_step, empty: str) -> None:
    start, step = batch_norm_step
    batch = make_batch()
    if empty == "no weight":
        batch.weight[:] = 0
    else:
        batch.lengths[0 if empty == "row" else slice(None)] = 0
    state, window = step(*start(), batch)
    assert int(window.bad_step) == 0
    assert all(np.isfinite(leaf).all() for leaf in numbers((state.params, state.stats, state.opt_state, window)))
    if empty == "no weight":
        assert float(optax.tree.norm(state.opt_state.adam.mu)) == 0
        assert float(window.sums.weight) == 0


def test_parameters_that_are_no_numbers_are_seen_before_the_next_loss() -> None:
    nan = optax.GradientTransformation(
        lambda params: optax.EmptyState(), lambda g, s, p=None: (jax.tree.map(lambda x: x * jnp.nan, g), s)
    )
    start, step = make_step(optimizer=nan)
    _, window = step(*start(), make_batch())
    assert np.isfinite(float(window.sums.loss))
    assert int(window.bad_step) == 1


def test_a_regression_scores_valid_steps() -> None:
    outputs = jnp.arange(12, dtype=jnp.float32).reshape(2, 3, 2)
    labels = np.zeros((2, 3, 2), np.float32)
    labels[0, 2] = np.nan  # padding may hold anything
    sums = batch_metrics(outputs, labels, np.ones(2, np.float32), Head.regression, np.array([2, 3], np.int32))
    errors = [(0 + 1) / 2, (4 + 9) / 2, (36 + 49) / 2, (64 + 81) / 2, (100 + 121) / 2]
    assert sums.means() == {"loss": pytest.approx(np.mean(errors))}
    whole = batch_metrics(outputs, np.zeros_like(labels), np.array([0, 1], np.float32), Head.regression)
    assert whole.means() == {"loss": pytest.approx(np.mean(errors[2:]))}


def test_nothing_has_no_mean() -> None:
    assert np.isnan(list(MetricSums.zero().means().values())).all()
    assert list(MetricSums.zero(Head.regression).means()) == ["loss"]


def test_the_times_of_a_batch_reach_the_model() -> None:
    start, step = make_step(Head.regression)
    batch = make_batch(Head.regression)
    regular = np.tile(np.arange(LENGTH, dtype=np.float32), (BATCH, 1))
    losses = [float(step(*start(), batch._replace(times=times))[1].sums.loss) for times in (None, regular, 3 * regular)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert abs(losses[2] - losses[0]) > 1e-3


def test_outputs_that_are_no_numbers_are_never_right() -> None:
    outputs = jnp.array([[jnp.nan, 0.0], [jnp.nan, jnp.nan], [1.0, 0.0]])
    sums = batch_metrics(outputs, np.zeros(3, np.int32), np.ones(3, np.float32))
    assert float(sums.correct) == 1.0
