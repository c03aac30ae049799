"""Layers over depth: one layer's program, run once for each, so that compile time does not depend on their number."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Bool, Float, Key

from s5.config.choices import Remat
from s5.config.run import ModelConfig
from s5.models.residual_block import SequenceLayer
from s5.nn.remat import KEPT

# What is kept for the backward pass beside each layer's input.
POLICIES = {
    Remat.states: jax.checkpoint_policies.save_only_these_names(KEPT),
    Remat.full: jax.checkpoint_policies.nothing_saveable,
}


class Stack(nnx.Module):
    """Sequence layers, one after the other. Every parameter and statistic has a leading axis of size n_layers."""

    def __init__(self, config: ModelConfig, rng: np.random.Generator) -> None:
        layers = [nnx.split(SequenceLayer(config, rng)) for _ in range(config.n_layers)]
        stacked = jax.tree.map(lambda *each: jnp.asarray(np.stack(each)), *(state for _, state in layers))
        self.layer = nnx.merge(layers[0][0], stacked)
        self.n_layers, self.remat = config.n_layers, config.remat

    def __call__(
        self,
        x: Float[Array, "batch L H"],
        mask: Bool[Array, "batch L"] | None = None,
        *,
        train: bool,
        key: Key[Array, ""] | None = None,
        step_rescale: float | Float[Array, ""] = 1.0,
        times: Float[Array, "batch L"] | None = None,
    ) -> Float[Array, "batch L H"]:
        """Apply all layers; see `SequenceLayer`. Each draws its dropout with a key of its own."""
        graphdef, params, stats = nnx.split(self.layer, nnx.Param, ...)
        keys = None if key is None else jax.random.split(key, self.n_layers)

        def apply(x: Array, of_layer: Any) -> tuple[Array, Any]:
            params, stats, key = of_layer
            layer = nnx.merge(graphdef, params, stats, copy=True)  # the statistics are written to
            x = layer(x, mask, train=train, key=key, step_rescale=step_rescale, times=times)
            return x, nnx.split(layer, nnx.Param, ...)[2] if train else None

        if train and self.remat in POLICIES:
            apply = jax.checkpoint(apply, prevent_cse=False, policy=POLICIES[self.remat])
        x, stats = lax.scan(apply, x, (params, stats, keys))
        if train:
            nnx.update(self.layer, stats)
        return x

    def initial_state(self, batch: int) -> Float[Array, "n_layers {batch} 2 P"]:
        """Return the states of all layers before the first step."""
        of_layer = self._first().initial_state(batch)
        return jnp.broadcast_to(of_layer, (self.n_layers, *of_layer.shape))

    def advance(
        self,
        state: Float[Array, "n_layers batch 2 P"],
        x: Float[Array, "batch L H"],
        *,
        step_rescale: float | Float[Array, ""] = 1.0,
        intervals: Float[Array, "batch L"] | None = None,
    ) -> tuple[Float[Array, "n_layers batch 2 P"], Float[Array, "batch L H"]]:
        """Apply all layers to the next steps of a stream; see `SequenceLayer.advance`."""
        graphdef, arrays = nnx.split(self.layer)

        def apply(x: Array, of_layer: Any) -> tuple[Array, Array]:
            arrays, state = of_layer
            layer = nnx.merge(graphdef, arrays)
            state, x = layer.advance(state, x, step_rescale=step_rescale, intervals=intervals)
            return x, state

        x, state = lax.scan(apply, x, (arrays, state))
        return state, x

    def _first(self) -> SequenceLayer:
        graphdef, arrays = nnx.split(self.layer)
        return nnx.merge(graphdef, jax.tree.map(lambda stacked: stacked[0], arrays))
