"""The training step: a pure function of state, log window and batch, jitted once."""

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
from s5.training.metrics import MetricSums, batch_metrics, loss_denominator


class TrainState(NamedTuple):
    """Everything on the device that a step changes, beside the sums of the log window.

    Attributes:
        step: Steps done.
        key: What each step's dropout key is folded from.
    """

    step: Int[Array, ""]
    key: Key[Array, ""]
    params: PyTree
    stats: PyTree
    opt_state: Any


class MetricWindow(NamedTuple):
    """What is gathered over the steps of a log window. In every checkpoint, since an interruption may cut one.

    Attributes:
        sums: Scores of the training batches.
        bad_step: The first step whose loss, or whose new state, was not finite; 0 while there is none.
    """

    sums: MetricSums
    bad_step: Int[Array, ""]

    @classmethod
    def empty(cls, head: Head = Head.classification) -> "MetricWindow":
        """Return an window without steps."""
        return cls(MetricSums.zero(head), jnp.zeros((), jnp.int32))


TrainStep = Callable[[TrainState, MetricWindow, Batch], tuple[TrainState, MetricWindow]]


def make_train_step(
    graphdef: Any,
    optimizer: optax.GradientTransformation,
    lengths_of: Callable[[Batch], Any],
    *,
    head: Head = Head.classification,
    microbatches: int = 1,
    devices: Devices | None = None,
) -> TrainStep:
    """Return the jitted training step.

    Args:
        graphdef: The model's structure, from `nnx.split`.
        optimizer: The optimizer of its parameters.
        lengths_of: From `s5.training.evaluate.valid_lengths`.
        head: What the model returns.
        microbatches: Equal parts of a batch that are computed one after the other, for less memory. The gradient is
            that of the whole batch; batch normalisation takes the statistics of each part and moves the running ones
            once per part, and dropout is drawn for each part anew.
        devices: What a batch is divided over; None for one device.

    Returns:
        A pure function (state, window, batch) -> (state, window). It may reuse the old state's memory.
    """
    devices = devices or Devices(1)

    def loss(params: PyTree, stats: PyTree, batch: Batch, key: Key[Array, ""], weight: Array) -> Any:
        model = nnx.merge(graphdef, params, stats, copy=True)  # the statistics are written to
        lengths = lengths_of(batch)
        steps = Steps.of(batch.inputs.shape[-2], lengths, times=batch.times)
        outputs = model(batch.inputs, steps, train=True, key=key)
        sums = batch_metrics(outputs, batch.labels, batch.weight, head, lengths)
        return sums.loss / weight, (sums, nnx.split(model, nnx.Param, ...)[2])

    gradient = jax.value_and_grad(loss, has_aux=True)

    def gradients(state: TrainState, batch: Batch, key: Key[Array, ""]) -> tuple[PyTree, PyTree, MetricSums]:
        """Return the gradient of a batch's mean loss, the new statistics and the batch's sums."""
        total = loss_denominator(batch.weight, batch.labels, lengths_of(batch), head)
        weight = jnp.where(total > 0, total, 1)  # a batch of nothing has no loss and no gradient
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

    def train_step(state: TrainState, window: MetricWindow, batch: Batch) -> tuple[TrainState, MetricWindow]:
        grads, stats, sums = gradients(state, batch, jax.random.fold_in(state.key, state.step))
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params: Any = optax.apply_updates(state.params, updates)
        new = TrainState(state.step + 1, state.key, params, stats, opt_state)
        good = jnp.isfinite(sums.loss) & _finite((params, stats, opt_state))
        bad_step = jnp.where((window.bad_step == 0) & ~good, new.step, window.bad_step)
        return new, MetricWindow(window.sums + sums, bad_step)

    return devices.jit(train_step, donate_argnums=0)


def _split(rows: Array, parts: int) -> Array:
    """Return rows as (parts, rows of a part). Part i has the rows i, i + parts, ...: so a device keeps its own."""
    return jnp.asarray(rows).reshape(-1, parts, *rows.shape[1:]).swapaxes(0, 1)


def _finite(tree: PyTree) -> Bool[Array, ""]:
    """Return whether all numbers of a tree are finite."""
    floats = [leaf.ravel() for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    # As one vector: a test of each array for itself is a fifth of all kernels of a step, and of the time to compile it.
    return jnp.isfinite(jnp.concatenate(floats)).all()
