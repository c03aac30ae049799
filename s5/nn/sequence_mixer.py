"""The base class of sequence mixers, the part of a layer that mixes information over time: SSM, RNN, convolution."""

from abc import abstractmethod
from typing import final

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PyTree

from s5.nn.steps import REGULAR, Steps, check_steps


class SequenceMixer(nnx.Module):
    """A causal or bidirectional map of sequences, (batch, L, H) to (batch, L, H).

    A causal mixer can also process a stream: call `initial_state` once, then `step` or `advance` for each new input.
    The state is any pytree of arrays whose first axis is the batch. A stream returns the same outputs as one call on
    the whole sequence. No information passes between segments (`Steps.resets`), or from padded steps (`Steps.mask`).

    Attributes:
        d_model: H, number of input and output features.
        bidirectional: Whether outputs depend on later inputs; such a mixer cannot process a stream.
    """

    d_model: int
    bidirectional: bool

    @abstractmethod
    def __call__(self, u: Float[Array, "batch L H"], steps: Steps = REGULAR) -> Float[Array, "batch L H"]:
        """Apply the map to whole sequences.

        Args:
            u: Inputs; padded steps must also be finite.
            steps: Mask, intervals and resets of the steps.

        Returns:
            Outputs, in the precision of `u`; outputs of padded steps have no meaning.
        """

    @abstractmethod
    def initial_state(self, batch: int) -> PyTree:
        """Return the state before the first step."""

    @abstractmethod
    def advance(
        self, state: PyTree, u: Float[Array, "batch L H"], steps: Steps = REGULAR
    ) -> tuple[PyTree, Float[Array, "batch L H"]]:
        """Process the next chunk of a stream.

        Args:
            state: The state before the chunk.
            u: Inputs, all valid.
            steps: Intervals and resets of the steps, without a mask.

        Returns:
            The state after the chunk, and its outputs.

        Raises:
            ValueError: If the map is bidirectional.
        """

    @final
    def step(
        self, state: PyTree, u: Float[Array, "batch H"], steps: Steps = REGULAR
    ) -> tuple[PyTree, Float[Array, "batch H"]]:
        """Process one step of a stream; see `advance`.

        Args:
            state: The state before the step.
            u: The input of the step.
            steps: Interval and reset of the step; their shape is (batch,).
        """
        state, y = self.advance(state, u[:, None], steps.as_chunk())
        return state, y[:, 0]

    @final
    def check_inputs(self, u: Array, steps: Steps) -> None:
        """Raise if the inputs are not floats of the shape (batch, L, H), or `steps` does not fit them."""
        if u.ndim != 3 or u.shape[-1] != self.d_model:
            hint = "; u[None] adds the batch axis" if u.shape[-1:] == (self.d_model,) and u.ndim == 2 else ""
            name = type(self).__name__
            raise ValueError(f"{name} takes inputs of shape (batch, L, {self.d_model}), not {u.shape}{hint}")
        if not jnp.issubdtype(u.dtype, jnp.floating):  # the outputs would be rounded to the type of the inputs
            raise ValueError(f"{type(self).__name__} takes floats, not {u.dtype}: u.astype(jnp.float32)")
        check_steps(steps, u.shape[:2])

    @final
    def check_stream(self, u: Array, steps: Steps) -> None:
        """Raise if the map is bidirectional, if the chunk has a mask, or if `check_inputs` raises."""
        if self.bidirectional:
            raise ValueError("a bidirectional layer has no streaming form: its output needs the whole sequence")
        self.check_inputs(u, steps)
        if steps.mask is not None:
            raise ValueError("a stream takes no Steps.mask: all steps of a chunk must be valid")
