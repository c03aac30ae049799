"""The affine map of features that encoder, gate and head are made of."""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from s5.matmul import matmul
from s5.params import BiasParam, WeightParam
from s5.ssm.init import init_lecun_normal


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
