"""The training step: a pure function of state, log interval and batch, jitted once."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Int, Key, PyTree

from s5.data.batch import Batch
from s5.evaluate import Sums, score


class TrainState(NamedTuple):
    """Everything on the device that a step changes, beside the sums of the log interval.

    step: Steps done.
    key: What each step's dropout key is folded from.
    """

    step: Int[Array, ""]
    key: Key[Array, ""]
    params: PyTree
    stats: PyTree
    opt_state: Any


class Interval(NamedTuple):
    """What is gathered over the steps of a log interval. In every checkpoint, since an interruption may cut one.

    sums: Loss and accuracy of the training batches.
    bad_step: The first step whose loss was not finite; 0 while there is none.
    """

    sums: Sums
    bad_step: Int[Array, ""]

    @classmethod
    def fresh(cls) -> "Interval":
        """Return an interval without steps."""
        return cls(Sums.zero(), jnp.zeros((), jnp.int32))


TrainStep = Callable[[TrainState, Interval, Batch], tuple[TrainState, Interval]]


def make_train_step(
    graphdef: Any, optimizer: optax.GradientTransformation, lengths_of: Callable[[Batch], Any]
) -> TrainStep:
    """Return the jitted training step.

    Args:
        graphdef: The model's structure, from `nnx.split`.
        optimizer: The optimizer of its parameters.
        lengths_of: From `s5.evaluate.valid_lengths`.

    Returns:
        A pure function (state, interval, batch) -> (state, interval). It may reuse the old state's memory.
    """

    def loss(params: PyTree, stats: PyTree, batch: Batch, key: Key[Array, ""]) -> Any:
        model = nnx.merge(graphdef, params, stats, copy=True)  # the statistics are written to
        logits = model(batch.inputs, lengths_of(batch), train=True, key=key)
        sums = score(logits, batch.labels, batch.weight)
        return sums.loss / sums.weight, (sums, nnx.split(model, nnx.Param, ...)[2])

    def train_step(state: TrainState, interval: Interval, batch: Batch) -> tuple[TrainState, Interval]:
        key = jax.random.fold_in(state.key, state.step)
        gradient = jax.value_and_grad(loss, has_aux=True)
        (value, (new, stats)), grads = gradient(state.params, state.stats, batch, key)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        step = state.step + 1
        bad_step = jnp.where((interval.bad_step == 0) & ~jnp.isfinite(value), step, interval.bad_step)
        params: Any = optax.apply_updates(state.params, updates)
        return TrainState(step, state.key, params, stats, opt_state), Interval(interval.sums + new, bad_step)

    return jax.jit(train_step, donate_argnums=0)
