"""A stack of equal layers, run as one loop: compile time does not grow with depth.

With pooling between the layers their lengths differ; then they are one program each, but their parameters are stored
alike.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, Key, PyTree

from s5.config.choices import LayerPooling, Remat, Residual
from s5.config.model import ModelConfig
from s5.models.residual_block import ResidualBlock
from s5.nn.layer_pooling import pool_steps, pool_windows
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
        self.pooling, self.window = config.layer_pooling, config.layer_pooling_size
        self.counts = config.residual is Residual.decay
        self.no_stream = config.no_stream()

    def __call__(
        self,
        x: Float[Array, "batch L H"],
        steps: Steps = REGULAR,
        *,
        train: bool,
        key: Key[Array, ""] | None = None,
    ) -> Float[Array, "batch windows H"]:
        """Apply all blocks; see `ResidualBlock`. Each block has its own dropout key.

        With `model.layer_pooling` the result is shorter; `steps_after` has its steps.
        """
        graphdef, params, stats = nnx.split(self.layer, nnx.Param, ...)
        keys = None if key is None else jax.random.split(key, self.n_layers)

        def apply(x: Array, layer_values: Any, steps: Steps = steps) -> tuple[Array, Any]:
            params, stats, key, depth = layer_values
            layer = nnx.merge(graphdef, params, stats, copy=True)  # a copy, since the statistics are updated
            x = layer(x, steps, train=train, key=key, depth=depth)
            return x, nnx.split(layer, nnx.Param, ...)[2] if train else None

        if train and self.remat in POLICIES:
            apply = jax.checkpoint(apply, prevent_cse=False, policy=POLICIES[self.remat])
        values = (params, stats, keys, self._depths())
        if self.pooling is LayerPooling.none:
            x, stats = lax.scan(apply, x, values)
        else:
            x, stats = self._shorten(apply, x, values, steps)
        if train:
            nnx.update(self.layer, stats)
        return x

    def steps_after(self, steps: Steps, L: int) -> Steps:
        """Return the steps of the outputs, for inputs with L steps."""
        if self.pooling is LayerPooling.none:
            return steps
        for _ in range(self.n_layers):
            steps, L = pool_steps(steps, L, self.window), -(-L // self.window)
        return steps

    def _shorten(self, apply: Callable[..., Any], x: Array, values: Any, steps: Steps) -> tuple[Array, Any]:
        """Apply all blocks, each followed by pooling."""
        each = []
        for i in range(self.n_layers):
            x, stats = apply(x, jax.tree.map(lambda stacked, i=i: stacked[i], values), steps)
            each.append(stats)
            x, steps = pool_windows(x, steps, self.pooling, self.window), pool_steps(steps, x.shape[1], self.window)
        return x, jax.tree.map(lambda *layers: jnp.stack(layers), *each)

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
        if self.no_stream is not None:
            raise ValueError(self.no_stream)
        graphdef, arrays = nnx.split(self.layer)

        def apply(x: Array, layer_values: Any) -> tuple[Array, PyTree]:
            arrays, state, depth = layer_values
            layer = nnx.merge(graphdef, arrays)
            state, x = layer.advance(state, x, steps, depth=depth)
            return x, state

        x, state = lax.scan(apply, x, (arrays, state, self._depths()))
        return state, x

    def _depths(self) -> Any:
        """Return the numbers of the layers if the residual connection depends on them, else None."""
        return jnp.arange(1, self.n_layers + 1) if self.counts else None

    def _first(self) -> ResidualBlock:
        graphdef, arrays = nnx.split(self.layer)
        return nnx.merge(graphdef, jax.tree.map(lambda stacked: stacked[0], arrays))
