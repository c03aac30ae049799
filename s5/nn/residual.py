"""The connection around a layer: what becomes of its input x and its output y.

Source: the kinds of the S4 repository (Gu et al. 2022, arXiv:2111.00396), where `none` has two names; `highway` is that
of Srivastava et al. 2015 (arXiv:1505.00387).
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from s5.config.choices import Residual
from s5.config.model import ModelConfig
from s5.nn.dense import Dense
from s5.nn.params import WeightParam


class ResidualConnection(nnx.Module):
    """Adds the input of a layer to its output, weighted or not.

    of_input, of_output: The dense layers inside the sigmoid of `highway`; else None.
    factor: (1,), the trained factor of `affine`, initially 1; else None.
    """

    def __init__(self, config: ModelConfig, rng: np.random.Generator) -> None:
        kind, H = config.residual, config.d_model
        highway = kind is Residual.highway
        self.of_input, self.of_output = (Dense(H, H, rng), Dense(H, H, rng)) if highway else (None, None)
        self.factor = WeightParam(jnp.ones(1)) if kind is Residual.affine else None
        self.kind = kind

    def __call__(
        self, x: Float[Array, "batch L H"], y: Float[Array, "batch L H"], depth: int | Int[Array, ""] | None = None
    ) -> Float[Array, "batch L H"]:
        """Return the sum.

        Args:
            x: The layer's inputs.
            y: The layer's outputs.
            depth: The number of the layer, from 1; only `decay` needs it, to add less of the output of a deeper layer.
        """
        if self.kind is Residual.plain:
            return x + y
        if self.kind is Residual.none:
            return y
        if self.kind is Residual.decay:
            share = 1 / jnp.asarray(depth, jnp.float32)
            return (jnp.sqrt(1 - share) * x + jnp.sqrt(share) * y).astype(x.dtype)
        if self.factor is not None:
            return (x + self.factor[...] * y).astype(x.dtype)
        assert self.of_input is not None and self.of_output is not None
        share = jax.nn.sigmoid(self.of_input(x) + self.of_output(y))
        return (1 - share) * x + share * y
