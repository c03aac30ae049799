"""The dense layer of encoders, gates and heads."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Integer

from s5.nn.initializers import init_lecun_normal
from s5.nn.matmul import matmul
from s5.nn.params import BiasParam, WeightParam


class Dense(nnx.Module):
    """An affine map of the last axis.

    weight: (d_in, d_out).
    bias: (d_out,).
    """

    def __init__(self, d_in: int, d_out: int, rng: np.random.Generator) -> None:
        weight = init_lecun_normal(rng, (d_in, d_out), fan_in=d_in)
        self.weight = WeightParam(jnp.asarray(weight, dtype=jnp.float32))
        self.bias = BiasParam(jnp.zeros(d_out))

    def __call__(self, x: Float[Array, "*axes d_in"]) -> Float[Array, "*axes d_out"]:
        """Return x weight + bias, in the precision of x and added up in float32."""
        return (matmul(x, self.weight[...], jnp.float32) + self.bias[...]).astype(x.dtype)

    def lookup(self, tokens: Integer[Array, "*axes"], dtype: Any) -> Float[Array, "*axes d_out"]:
        """Return the outputs for the one-hot vectors of tokens, without building these vectors.

        Args:
            tokens: Integers from 0 to d_in - 1; any other integer gives NaN, not another token's row.
            dtype: Precision of the result.
        """
        W = self.weight[...]
        # `jnp.take` counts negative indices from the end.
        if jnp.issubdtype(tokens.dtype, jnp.signedinteger):
            tokens = jnp.where(tokens < 0, W.shape[0], tokens)
        return (jnp.take(W, tokens, axis=0, mode="fill") + self.bias[...]).astype(dtype)
