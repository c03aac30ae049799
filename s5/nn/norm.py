"""Batch and layer normalisation, with statistics in float32 that do not count padded steps.

Source: Ioffe and Szegedy 2015 (arXiv:1502.03167); Ba et al. 2016 (arXiv:1607.06450). The constants are Flax's, as in
the S5 repository.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from s5.config.choices import Norm
from s5.config.model import ModelConfig
from s5.nn.derivatives import with_derivative
from s5.nn.group_norm import GroupNorm
from s5.nn.params import NormParam
from s5.nn.remat import save_for_backward
from s5.nn.steps import Steps

BATCH_EPSILON, LAYER_EPSILON = 1e-5, 1e-6


class BatchNorm(nnx.Module):
    """Normalise each feature over batch and time, counting valid steps only.

    scale, bias: (H,).
    mean, var: (H,), running statistics, which are used in evaluation.
    """

    def __init__(self, d_model: int, momentum: float) -> None:
        self.scale, self.bias = NormParam(jnp.ones(d_model)), NormParam(jnp.zeros(d_model))
        self.mean, self.var = nnx.BatchStat(jnp.zeros(d_model)), nnx.BatchStat(jnp.ones(d_model))
        self.momentum = momentum

    def __call__(self, x: Float[Array, "batch L H"], steps: Steps, train: bool) -> Float[Array, "batch L H"]:
        """Normalise by the running statistics, or in training by those of the batch.

        Training also updates the running statistics, unless the batch has no valid step.
        """
        if not train:
            scale = self.scale[...] * jax.lax.rsqrt(self.var[...] + BATCH_EPSILON)
            return ((x - self.mean[...]) * scale + self.bias[...]).astype(x.dtype)
        mask = steps.mask
        y, mean, var = normalize(x, self.scale[...], self.bias[...], mask)
        momentum = self.momentum if mask is None else jnp.where(mask.any(), self.momentum, 1.0)
        for running, now in ((self.mean, mean), (self.var, var)):
            running[...] = momentum * running[...] + (1 - momentum) * now
        return y


def _normalize(x, scale, bias, mask):
    n = _count(x, mask)
    shift = _some_step(x, mask)
    # For values far from zero, rounding errors dominate the mean of squares minus the square of the mean. Subtracting a
    # typical value first avoids this in a single pass; computing the mean first would need a second pass.
    off = _valid(x.astype(jnp.float32) - shift, mask)
    off_mean, square = off.sum((0, 1)) / n, (off * off).sum((0, 1)) / n
    mean, var = shift + off_mean, jnp.maximum(square - off_mean * off_mean, 0)
    mean, inverse = save_for_backward((mean, jax.lax.rsqrt(var + BATCH_EPSILON)))
    y = ((x - mean) * (inverse * scale) + bias).astype(x.dtype)
    return (y, mean, var), (x, scale, mean, inverse, mask)


def _normalize_backward(saved, y_bars):
    x, scale, mean, inverse, mask = saved
    y_bar, n = _valid(y_bars[0].astype(jnp.float32), mask), _count(x, mask)
    normal = (x - mean) * inverse
    by_bias, by_scale = y_bar.sum((0, 1)), (y_bar * normal).sum((0, 1))
    by_x = (inverse * scale) * (y_bar - _valid(by_bias / n + normal * (by_scale / n), mask))
    return by_x.astype(x.dtype), by_scale, by_bias, None


@with_derivative(_normalize, _normalize_backward)
def normalize(
    x: Float[Array, "batch L H"],
    scale: Float[Array, " H"],
    bias: Float[Array, " H"],
    mask: Bool[Array, "batch L"] | None,
) -> tuple[Float[Array, "batch L H"], Float[Array, " H"], Float[Array, " H"]]:
    """Normalise each feature by its mean and variance over valid steps.

    With the hand-written derivative, forward and backward each take one pass for sums and one for values. It treats
    the returned mean and variance as constants, since they only update the running statistics.

    Args:
        x: Values.
        scale: Factor of the normalised values.
        bias: Added after the scale.
        mask: True at valid steps; None if all are.

    Returns:
        The normalised values, in the precision of x; mean and variance, float32.
    """
    y, mean, var = _normalize(x, scale, bias, mask)[0]
    return y, jax.lax.stop_gradient(mean), jax.lax.stop_gradient(var)


def _valid(values, mask):
    return values if mask is None else jnp.where(mask[..., None], values, 0)


def _count(x, mask):
    return x.shape[0] * x.shape[1] if mask is None else jnp.maximum(mask.sum(), 1).astype(jnp.float32)


def _some_step(x, mask):
    """Return typical features of valid steps: the mean over the batch of each sequence's middle step."""
    # The middle step, since the first steps often differ from all others. The mean over all sequences, since a step of
    # a single sequence would have to be sent to all devices that the batch is divided over.
    if mask is None:
        return x[:, x.shape[1] // 2].astype(jnp.float32).mean(0)
    lengths = mask.sum(1)
    middle = jnp.take_along_axis(x, (lengths // 2)[:, None, None], axis=1)[:, 0].astype(jnp.float32)
    some = (lengths > 0)[:, None]
    return jnp.where(some, middle, 0).sum(0) / jnp.maximum(some.sum(), 1)


class LayerNorm(nnx.Module):
    """Normalise each step over its features.

    scale, bias: (H,).
    """

    def __init__(self, d_model: int) -> None:
        self.scale, self.bias = NormParam(jnp.ones(d_model)), NormParam(jnp.zeros(d_model))

    def __call__(self, x: Float[Array, "batch L H"], steps: Steps, train: bool) -> Float[Array, "batch L H"]:
        """Normalise each step by its own statistics; `steps` and `train` make no difference."""
        del steps, train
        wide = x.astype(jnp.float32)
        mean, var = wide.mean(-1, keepdims=True), wide.var(-1, keepdims=True)
        return ((wide - mean) * jax.lax.rsqrt(var + LAYER_EPSILON) * self.scale[...] + self.bias[...]).astype(x.dtype)


def make_norm(config: ModelConfig) -> BatchNorm | LayerNorm | GroupNorm | None:
    """Return the normalisation of a layer; None for `model.norm=none`."""
    match config.norm:
        case Norm.batch:
            return BatchNorm(config.d_model, config.bn_momentum)
        case Norm.layer:
            return LayerNorm(config.d_model)
        case Norm.group:
            return GroupNorm(config.d_model, config.norm_groups)
        case Norm.instance:
            return GroupNorm(config.d_model, config.d_model, affine=False)
        case Norm.none:
            return None
