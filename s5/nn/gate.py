"""The non-linearity after a sequence mixer: gelu, gelu and a dense layer, or a gated linear unit, with dropout.

Source: Smith et al. 2023 (arXiv:2208.04933), the layer options of its repository; `gelu_dense` is the block of Gupta et
al. 2022 (arXiv:2203.14343), `full_glu` also that of version 4 of the S4 repository.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, Key

from s5.config.choices import Activation, Gelu
from s5.config.model import ModelConfig
from s5.nn.dense import Dense
from s5.nn.derivatives import with_derivative
from s5.nn.matmul import matmul


class GatedActivation(nnx.Module):
    """The non-linearity after a sequence mixer, with dropout after the gelu and after what follows it.

    gate: The dense layer inside the sigmoid; None for `gelu` and `gelu_dense`.
    value: The dense layer of the value, which `full_glu` gates; None except for `full_glu` and `gelu_dense`.
    wide, branch: The dense layers of `model.gate`, for the gelu and for the mixer's inputs; None without it.
    """

    def __init__(self, config: ModelConfig, rng: np.random.Generator) -> None:
        kind, H, times = config.activation, config.d_model, config.gate
        d_in = H * (times or 1)
        self.value = Dense(d_in, H, rng) if kind in (Activation.full_glu, Activation.gelu_dense) else None
        self.gate = Dense(d_in, H, rng) if kind not in (Activation.gelu, Activation.gelu_dense) else None
        self.wide, self.branch = (Dense(H, d_in, rng), Dense(H, d_in, rng)) if times else (None, None)
        self.kind, self.rate, self.tied = kind, config.dropout, config.dropout_tied
        self.exact = config.gelu is Gelu.exact

    def __call__(
        self,
        y: Float[Array, "batch L H"],
        key: Key[Array, ""] | None,
        u: Float[Array, "batch L H"] | None = None,
    ) -> Float[Array, "batch L H"]:
        """Apply the non-linearity.

        Args:
            y: The mixer's outputs.
            key: Random key of the dropout; None for no dropout.
            u: The mixer's inputs; only `model.gate` needs them.
        """
        inner, outer = (None, None) if key is None else jax.random.split(key)
        if self.value is None:
            factors = dropout_factors(y, self.rate, inner, self.tied)
            if self.gate is None:
                return gelu(y, factors, self.exact)
            W, b = self.gate.weight[...], self.gate.bias[...]
            out: Array = gated(y, factors, W, b, self.kind is Activation.half_glu2, self.exact)
        else:
            x = self._inner(y, inner, u)
            out = self.value(x)
            if self.gate is not None:
                z = matmul(x, self.gate.weight[...], jnp.float32) + self.gate.bias[...]
                out = (out * jax.nn.sigmoid(z)).astype(y.dtype)
        return dropout(out, self.rate, outer, self.tied)

    def _inner(
        self, y: Float[Array, "batch L H"], key: Key[Array, ""] | None, u: Float[Array, "batch L H"] | None
    ) -> Float[Array, "batch L d_in"]:
        """Return the inputs of the dense layers of value and gate: the gelu, widened and multiplied by the branch."""
        if self.wide is None or self.branch is None:
            return gelu(y, dropout_factors(y, self.rate, key, self.tied), self.exact)
        assert u is not None, "model.gate needs the mixer's inputs"
        return dropout(self.wide(gelu(y, None, self.exact)) * self.branch(u), self.rate, key, self.tied)


def dropout_factors(
    x: Float[Array, "batch L H"], rate: float, key: Key[Array, ""] | None, tied: bool = True
) -> Float[Array, "batch _ H"] | None:
    """Draw the factor of each feature of a sequence: 0 with probability `rate`, else 1 / (1 - rate).

    Args:
        x: The array to multiply; only its shape is used.
        rate: Probability, in [0, 1).
        key: Random key; None for no dropout (evaluation).
        tied: Whether all steps of a sequence have the same factors.

    Returns:
        The factors, for one step if they are tied; None if nothing is dropped.
    """
    if key is None or rate == 0:
        return None
    shape = (x.shape[0], 1 if tied else x.shape[1], x.shape[2])
    return jax.random.bernoulli(key, 1 - rate, shape) / jnp.float32(1 - rate)


def dropout(
    x: Float[Array, "batch L H"], rate: float, key: Key[Array, ""] | None, tied: bool = True
) -> Float[Array, "batch L H"]:
    """Zero each feature of a sequence with probability `rate`, and rescale the others.

    Args:
        x: Values.
        rate: Probability, in [0, 1).
        key: Random key; None leaves x as it is (evaluation).
        tied: Whether a feature is zero at all steps of a sequence or at none.

    Returns:
        Values with the same expectation.
    """
    factors = dropout_factors(x, rate, key, tied)
    return x if factors is None else (x * factors).astype(x.dtype)


def drop_path(y: Float[Array, "batch L H"], rate: float, key: Key[Array, ""] | None) -> Float[Array, "batch L H"]:
    """Zero the whole output of a layer for a sequence with probability `rate`, and rescale the others.

    Source: stochastic depth, Huang et al. 2016 (arXiv:1603.09382).

    Args:
        y: The layer's outputs.
        rate: Probability, in [0, 1).
        key: Random key; None leaves y as it is (evaluation).

    Returns:
        Values with the same expectation.
    """
    if key is None or rate == 0:
        return y
    return (y * (jax.random.bernoulli(key, 1 - rate, (len(y), 1, 1)) / jnp.float32(1 - rate))).astype(y.dtype)


def gelu(
    y: Float[Array, "batch L H"], factors: Float[Array, "batch _ H"] | None, exact: bool = False
) -> Float[Array, "batch L H"]:
    """Return the gelu of y, multiplied by the dropout factors; computed in float32, returned in y's precision.

    Args:
        y: Values.
        factors: The dropout factors; None for 1.
        exact: Whether the gelu is exact; else it is approximated by a tanh.
    """
    x = jax.nn.gelu(y.astype(jnp.float32), approximate=not exact)
    return (x if factors is None else x * factors).astype(y.dtype)


def _gated(y, factors, W, b, by_output, exact):
    x = gelu(y, factors, exact)
    z = matmul(x, W)
    out = (y if by_output else x) * jax.nn.sigmoid(z + b)
    return out.astype(y.dtype), (y, factors, W, b, z)


def _gated_backward(by_output, exact, saved, out_bar):
    y, factors, W, b, z = saved
    x, slope = _gelu_and_slope(y, factors, exact)
    sigmoid = jax.nn.sigmoid(z + b)
    z_bar = (out_bar * (y if by_output else x) * sigmoid * (1 - sigmoid)).astype(y.dtype)
    rows, z_rows = (array.reshape(-1, array.shape[-1]) for array in (x, z_bar))
    by_W = lax.dot_general(rows, z_rows, (((0,), (0,)), ((), ())), preferred_element_type=jnp.float32)
    by_b = z_rows.sum(0, dtype=jnp.float32)
    by_x = matmul(z_bar, W.T, jnp.float32)
    by_v = out_bar * sigmoid
    by_y = by_x * slope + by_v if by_output else (by_x + by_v) * slope
    by_factors = None if factors is None else jnp.zeros_like(factors)  # constants: no parameter depends on them
    return by_y.astype(y.dtype), by_factors, by_W, by_b


@with_derivative(_gated, _gated_backward, nondiff_argnums=(4, 5))
def gated(
    y: Float[Array, "batch L H"],
    factors: Float[Array, "batch _ H"] | None,
    W: Float[Array, "H H"],
    b: Float[Array, " H"],
    by_output: bool,
    exact: bool = False,
) -> Float[Array, "batch L H"]:
    """Return v sigmoid(x W + b) with x = factors gelu(y).

    The hand-written derivative saves two arrays of the size of y: y itself and x W. JAX's own would save nine.

    Args:
        y: The mixer's outputs.
        factors: The dropout factors of gelu(y); None for 1.
        W: The gate's weight.
        b: The gate's bias.
        by_output: Whether v is y (`half_glu2`) or x (`half_glu1`).
        exact: As for `gelu`.

    Returns:
        The gated values.
    """
    return _gated(y, factors, W, b, by_output, exact)[0]


def _gelu_and_slope(y, factors, exact):
    """Return factors * gelu(y) in the precision of y, and its derivative by y in float32."""
    y32 = y.astype(jnp.float32)
    if exact:
        slope = jax.scipy.stats.norm.cdf(y32) + y32 * jax.scipy.stats.norm.pdf(y32)
    else:
        c = math.sqrt(2 / math.pi)
        t = jnp.tanh(c * (y32 + 0.044715 * y32**3))
        slope = 0.5 * (1 + t) + 0.5 * y32 * (1 - t * t) * c * (1 + 3 * 0.044715 * y32 * y32)
    return gelu(y, factors, exact), slope if factors is None else slope * factors
