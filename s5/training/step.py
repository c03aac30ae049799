"""The training step: a pure function of state, metric window and batch, jitted once."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Bool, Int, Key, PyTree

from s5.config.choices import Head
from s5.data.batch import Batch
from s5.nn.steps import Steps
from s5.process.sharding import Devices
from s5.training.averaging import Average, AverageWeight
from s5.training.metrics import MetricSums, batch_metrics, loss_denominator


class TrainState(NamedTuple):
    """Everything on the device that a step changes, besides the metric window.

    Attributes:
        step: Steps done.
        key: The key from which the dropout key of each step is derived.
        average: The average of the model over the training; None if nothing is averaged.
    """

    step: Int[Array, ""]
    key: Key[Array, ""]
    params: PyTree
    stats: PyTree
    opt_state: Any
    average: Average | None = None


class MetricWindow(NamedTuple):
    """Metrics since the last line of `metrics.jsonl`. Checkpoints contain it, since they may come between two lines.

    Attributes:
        sums: Metrics of the training batches.
        bad_step: The first step with a loss or a new state that is not finite; 0 if all are finite.
    """

    sums: MetricSums
    bad_step: Int[Array, ""]

    @classmethod
    def empty(cls, head: Head = Head.classification) -> "MetricWindow":
        """Return a window without steps."""
        return cls(MetricSums.zero(head), jnp.zeros((), jnp.int32))


TrainStep = Callable[[TrainState, MetricWindow, Batch], tuple[TrainState, MetricWindow]]


def make_train_step(
    graphdef: Any,
    optimizer: optax.GradientTransformation,
    get_lengths: Callable[[Batch], Any],
    *,
    head: Head = Head.classification,
    microbatches: int = 1,
    average_weight: AverageWeight | None = None,
    devices: Devices | None = None,
) -> TrainStep:
    """Return the jitted training step.

    Args:
        graphdef: The model's structure, from `nnx.split`.
        optimizer: The optimizer of its parameters, from `make_optimizer`.
        get_lengths: The function from `s5.training.evaluate.valid_lengths`.
        head: The model's head.
        microbatches: Number of equal parts of a batch, computed one after the other to save memory. The gradient is
            that of the whole batch. Batch normalisation uses the statistics of each part, and updates the running
            statistics once per part. Dropout is drawn for each part.
        average_weight: The weight of the new model in the average; None without an average.
        devices: The devices that a batch is divided over; None for one device.

    Returns:
        A pure function (state, window, batch) -> (state, window). It reuses (donates) the old state's memory.
    """
    devices = devices or Devices(1)
    gradients = _make_gradients(graphdef, get_lengths, head, microbatches, devices)

    def train_step(state: TrainState, window: MetricWindow, batch: Batch) -> tuple[TrainState, MetricWindow]:
        grads, stats, sums = gradients(state, batch, jax.random.fold_in(state.key, state.step))
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params: Any = optax.apply_updates(state.params, updates)
        average = state.average
        if average is not None and average_weight is not None:
            average = average.update(average_weight(state.step + 1), params, stats)
        new = TrainState(state.step + 1, state.key, params, stats, opt_state, average)
        good = jnp.isfinite(sums.loss) & _finite((params, stats, opt_state))
        bad_step = jnp.where((window.bad_step == 0) & ~good, new.step, window.bad_step)
        return new, MetricWindow(window.sums + sums, bad_step)

    return devices.jit(train_step, donate_argnums=0)


Gradients = Callable[[TrainState, Batch, Array], tuple[PyTree, PyTree, MetricSums]]


def _make_gradients(
    graphdef: Any, get_lengths: Callable[[Batch], Any], head: Head, microbatches: int, devices: Devices
) -> Gradients:
    """Return a function that computes the gradient of a batch's mean loss, the new statistics and the metric sums."""
    gradient = _make_gradient(graphdef, get_lengths, head)

    def gradients(state: TrainState, batch: Batch, key: Key[Array, ""]) -> tuple[PyTree, PyTree, MetricSums]:
        total = loss_denominator(batch.weight, batch.labels, get_lengths(batch), head)
        weight = jnp.where(total > 0, total, 1)  # an empty batch has no loss and no gradient
        if microbatches == 1:
            (_, (sums, stats)), grads = gradient(state.params, state.stats, batch, key, weight)
            return grads, stats, sums

        def add(carry: Any, part: tuple[Batch, Array]) -> tuple[Any, None]:
            before, stats, sums = carry
            (_, (new, stats)), grads = gradient(state.params, stats, part[0], jax.random.fold_in(key, part[1]), weight)
            return (jax.tree.map(jnp.add, before, grads), stats, sums + new), None

        parts = devices.constrain_microbatches(jax.tree.map(lambda rows: _split(rows, microbatches), batch))
        none = (jax.tree.map(jnp.zeros_like, state.params), state.stats, MetricSums.zero(head))
        return jax.lax.scan(add, none, (parts, jnp.arange(microbatches)))[0]

    return gradients


def _make_gradient(graphdef: Any, get_lengths: Callable[[Batch], Any], head: Head) -> Callable[..., Any]:
    """Return a function that computes the loss of some rows, divided by the batch's weight, and its gradient."""

    def loss(params: PyTree, stats: PyTree, batch: Batch, key: Key[Array, ""], weight: Array) -> Any:
        model = nnx.merge(graphdef, params, stats, copy=True)  # a copy, since the model updates its statistics
        lengths = get_lengths(batch)
        steps = Steps.of(batch.inputs.shape[-2], lengths, times=batch.times)
        outputs = model(batch.inputs, steps, train=True, key=key)
        sums = batch_metrics(outputs, batch.labels, batch.weight, head, lengths)
        return sums.loss / weight, (sums, nnx.split(model, nnx.Param, ...)[2])

    return jax.value_and_grad(loss, has_aux=True)


def _split(rows: Array, parts: int) -> Array:
    """Return rows as (parts, rows per part). Part i has the rows i, i + parts, …, so each device keeps its rows."""
    return jnp.asarray(rows).reshape(-1, parts, *rows.shape[1:]).swapaxes(0, 1)


def _finite(tree: PyTree) -> Bool[Array, ""]:
    """Return whether all floating-point numbers of a tree are finite."""
    floats = [leaf.ravel() for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    # As one vector: a test of each array would take a fifth of a step's kernels, and of the time to compile it.
    return jnp.isfinite(jnp.concatenate(floats)).all()
