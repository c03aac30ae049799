"""Group and instance normalisation: statistics over the steps of a sequence.

Source: Wu and He 2018 (arXiv:1803.08494); Ulyanov et al. 2016 (arXiv:1607.08022). The options are the S4 repository's.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from s5.nn.params import NormParam
from s5.nn.steps import Steps

_EPSILON = 1e-5


class GroupNorm(nnx.Module):
    """Normalise each group of features over all valid steps of a sequence; with resets, of a segment.

    scale, bias: (H,), or None: instance normalisation has one feature a group and neither of them.
    """

    def __init__(self, d_model: int, groups: int, *, affine: bool = True) -> None:
        self.scale = NormParam(jnp.ones(d_model)) if affine else None
        self.bias = NormParam(jnp.zeros(d_model)) if affine else None
        self.groups = groups

    def __call__(self, x: Float[Array, "batch L H"], steps: Steps, train: bool) -> Float[Array, "batch L H"]:
        """Normalise each sequence by its own statistics; `train` makes no difference."""
        del train
        wide = x.astype(jnp.float32).reshape(*x.shape[:2], self.groups, -1)
        # Two passes: far from zero, the mean of squares minus the square of the mean would be a rounding error.
        off = wide - _segment_mean(wide.mean(-1), steps)[..., None]
        var = _segment_mean((off * off).mean(-1), steps)[..., None]
        y = (off * jax.lax.rsqrt(var + _EPSILON)).reshape(x.shape)
        if self.scale is not None and self.bias is not None:
            y = y * self.scale[...] + self.bias[...]
        return y.astype(x.dtype)


def _segment_mean(values: Float[Array, "batch L G"], steps: Steps) -> Float[Array, "batch _ G"]:
    """Return for each step the mean over the valid steps of its segment; one mean per row if there are no resets."""
    valid = jnp.ones(values.shape[:2], bool) if steps.mask is None else steps.mask
    if steps.resets is None:
        count = jnp.maximum(valid.sum(1), 1)[:, None, None]
        return jnp.where(valid[..., None], values, 0).sum(1, keepdims=True) / count
    return jax.vmap(_mean_of_own)(values, valid, jnp.cumsum(steps.resets, axis=1))


def _mean_of_own(
    values: Float[Array, "L G"], valid: Bool[Array, " L"], number: Int[Array, " L"]
) -> Float[Array, "L G"]:
    """Return for each step the mean of the valid values with the same number."""

    def total(array: Array) -> Array:
        return jax.ops.segment_sum(array, number, len(number), indices_are_sorted=True)

    sums, counts = total(jnp.where(valid[:, None], values, 0)), total(valid.astype(jnp.float32))
    return (sums / jnp.maximum(counts, 1)[:, None])[number]
