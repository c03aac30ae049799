"""A stack of equal layers, run as one loop: compile time does not grow with depth."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, Key, PyTree

from s5.config.choices import Remat
from s5.config.model import ModelConfig
from s5.models.residual_block import ResidualBlock
from s5.nn.remat import SAVED
from s5.nn.steps import REGULAR, Steps

# The values to save for the backward pass, in addition to each layer's input.
POLICIES = {
    Remat.states: jax.checkpoint_policies.save_only_these_names(SAVED),
    Remat.full: jax.checkpoint_policies.nothing_saveable,
}


class Stack(nnx.Module):
    """Residual blocks, one after the other. Every parameter and statistic has a leading axis of size n_layers."""

    def __init__(self, config: ModelConfig, rng: np.random.Generator) -> None:
        layers = [nnx.split(ResidualBlock(config, rng)) for _ in range(config.n_layers)]
        stacked = jax.tree.map(lambda *each: jnp.asarray(np.stack(each)), *(state for _, state in layers))
        self.layer = nnx.merge(layers[0][0], stacked)
        self.n_layers, self.remat = config.n_layers, config.remat

    def __call__(
        self,
        x: Float[Array, "batch L H"],
        steps: Steps = REGULAR,
        *,
        train: bool,
        key: Key[Array, ""] | None = None,
    ) -> Float[Array, "batch L H"]:
        """Apply all blocks; see `ResidualBlock`. Each block has its own dropout key."""
        graphdef, params, stats = nnx.split(self.layer, nnx.Param, ...)
        keys = None if key is None else jax.random.split(key, self.n_layers)

        def apply(x: Array, layer_values: Any) -> tuple[Array, Any]:
            params, stats, key = layer_values
            layer = nnx.merge(graphdef, params, stats, copy=True)  # a copy, since the statistics are updated
            x = layer(x, steps, train=train, key=key)
            return x, nnx.split(layer, nnx.Param, ...)[2] if train else None

        if train and self.remat in POLICIES:
            apply = jax.checkpoint(apply, prevent_cse=False, policy=POLICIES[self.remat])
        x, stats = lax.scan(apply, x, (params, stats, keys))
        if train:
            nnx.update(self.layer, stats)
        return x

    def initial_state(self, batch: int) -> PyTree:
        """Return the states of all layers before the first step; every array has a leading axis of size n_layers."""
        state = self._first().ssm.initial_state(batch)
        return jax.tree.map(lambda array: jnp.broadcast_to(array, (self.n_layers, *array.shape)), state)

    def advance(
        self,
        state: PyTree,
        x: Float[Array, "batch L H"],
        steps: Steps = REGULAR,
    ) -> tuple[PyTree, Float[Array, "batch L H"]]:
        """Process the next chunk of a stream; see `ResidualBlock.advance`."""
        graphdef, arrays = nnx.split(self.layer)

        def apply(x: Array, layer_values: Any) -> tuple[Array, PyTree]:
            arrays, state = layer_values
            layer = nnx.merge(graphdef, arrays)
            state, x = layer.advance(state, x, steps)
            return x, state

        x, state = lax.scan(apply, x, (arrays, state))
        return state, x

    def _first(self) -> ResidualBlock:
        graphdef, arrays = nnx.split(self.layer)
        return nnx.merge(graphdef, jax.tree.map(lambda stacked: stacked[0], arrays))
