"""The average of a model over its training, which is evaluated and kept in place of the model of the last update.

Sources: Izmailov et al. 2018 (arXiv:1803.05407) for equal weights over the last epochs; Kingma and Ba 2015
(arXiv:1412.6980) for the correction of an exponential average that has just begun.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from s5.config.training import TrainConfig

AverageWeight = Callable[[Int[Array, ""] | int], Float[Array, ""]]


class Average(NamedTuple):
    """The average so far. The names of the fields are part of every checkpoint.

    Attributes:
        params: The averaged parameters.
        stats: The averaged running statistics.
    """

    params: PyTree
    stats: PyTree

    def update(self, weight: Float[Array, ""], params: PyTree, stats: PyTree) -> "Average":
        """Return the average in which a model has this weight, and the average so far the rest."""

        def mix(mean: Array, new: Array) -> Array:
            # As a sum, and not as mean + weight (new - mean), so that the weights 0 and 1 change no bit.
            return (1 - weight) * mean + weight * new if jnp.issubdtype(new.dtype, jnp.floating) else new

        return Average(*jax.tree.map(mix, tuple(self), (params, stats)))


def make_average_weight(config: TrainConfig, steps_per_epoch: int) -> AverageWeight | None:
    """Return the weight of the model after an update in the average, as a function of the updates done.

    With `ema` the average is exponential. The weights of the first updates are larger than 1 - `ema`, so that the
    initial values have no part in it. With `swa_start_epoch` it is the mean over the ends of the epochs since then;
    before, it is the model itself.

    Args:
        config: Its `ema` and `swa_start_epoch`.
        steps_per_epoch: Updates per epoch.

    Returns:
        A function of the number of updates, from 1 on; None if nothing is averaged.
    """
    if (decay := config.ema) is not None:
        log_decay = math.log(decay)  # in float64: float32 has no 0.999999
        return lambda step: jnp.float32(1 - decay) / -jnp.expm1(jnp.asarray(step, jnp.float32) * log_decay)
    if (start := config.swa_start_epoch) is not None:

        def weight(step: Int[Array, ""] | int) -> Float[Array, ""]:
            epoch, within = jnp.divmod(jnp.asarray(step), steps_per_epoch)
            averaged = jnp.where(within == 0, 1 / jnp.maximum(epoch - start + 1, 1), 0)
            return jnp.where(step <= start * steps_per_epoch, 1, averaged).astype(jnp.float32)

        return weight
    return None


def start_average(params: PyTree, stats: PyTree) -> Average:
    """Return the average before the first update. It is zero: the first model has the weight 1."""
    return Average(*jax.tree.map(jnp.zeros_like, (params, stats)))
