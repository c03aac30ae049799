"""The layer of the family `gru`. Source: Cho et al. 2014 (arXiv:1406.1078)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from s5.nn.dense import Dense
from s5.nn.initializers import as_generator
from s5.nn.sequence_mixer import SequenceMixer
from s5.nn.steps import REGULAR, Steps

Sequences = Float[Array, "batch L H"]


class GRU(SequenceMixer):
    """A gated recurrent unit. It ignores the intervals and the rates in `steps`, since its steps are discrete."""

    def __init__(self, d_model: int, *, bidirectional: bool = False, rngs: nnx.Rngs | np.random.Generator) -> None:
        if bidirectional:
            raise ValueError("model.bidirectional=true: gru runs forward only")
        rng = as_generator(rngs)
        self.d_model, self.bidirectional = d_model, False
        self.gates, self.candidate = Dense(2 * d_model, 2 * d_model, rng), Dense(2 * d_model, d_model, rng)

    def __call__(self, u: Sequences, steps: Steps = REGULAR) -> Sequences:
        """Apply the layer to whole sequences. Padded steps are at the end, so they do not change a valid output."""
        self.check_inputs(u, steps)
        return self._run(self.initial_state(len(u)), u, steps)[1]

    def initial_state(self, batch: int) -> Float[Array, "{batch} H"]:
        """Return the state before the first step."""
        return jnp.zeros((batch, self.d_model))

    def advance(
        self, state: Float[Array, "batch H"], u: Sequences, steps: Steps = REGULAR
    ) -> tuple[Float[Array, "batch H"], Sequences]:
        """Process the next chunk of a stream; return the new state and the outputs."""
        self.check_stream(u, steps)
        return self._run(state, u, steps)

    def _run(
        self, state: Float[Array, "batch H"], u: Sequences, steps: Steps
    ) -> tuple[Float[Array, "batch H"], Sequences]:
        resets = jnp.zeros(u.shape[:2], bool) if steps.resets is None else steps.resets

        def step(h: Array, at: tuple[Array, Array]) -> tuple[Array, Array]:
            x, reset = at
            h = jnp.where(reset[:, None], 0.0, h)
            update, keep = jnp.split(jax.nn.sigmoid(self.gates(jnp.concatenate([h, x], -1))), 2, -1)
            new = jnp.tanh(self.candidate(jnp.concatenate([keep * h, x], -1)))
            h = ((1 - update) * h + update * new).astype(h.dtype)
            return h, h

        state, outputs = jax.lax.scan(step, state, (jnp.moveaxis(u, 1, 0), jnp.moveaxis(resets, 1, 0)))
        return state, jnp.moveaxis(outputs, 0, 1).astype(u.dtype)
