"""The contract of what mixes information over time inside a layer: an SSM, an RNN, a convolution."""

from abc import abstractmethod
from typing import final

from flax import nnx
from jaxtyping import Array, Float, PyTree

from s5.nn.steps import REGULAR, Steps, check_steps


class SequenceMixer(nnx.Module):
    """A causal or bidirectional map of sequences, (batch, L, H) to (batch, L, H).

    A causal one also runs as a stream: `initial_state`, then `step` or `advance` as often as inputs come. Its state is
    any pytree of arrays whose first axis is the batch. Whatever the form, the outputs are those of a call on the
    whole, and segments (`Steps.resets`) and sequences that are padded (`Steps.mask`) do not see each other.

    Attributes:
        d_model: H, features of inputs and outputs.
        bidirectional: Whether outputs depend on later inputs, so that there is no stream.
    """

    d_model: int
    bidirectional: bool

    @abstractmethod
    def __call__(self, u: Float[Array, "batch L H"], steps: Steps = REGULAR) -> Float[Array, "batch L H"]:
        """Apply the map to whole sequences.

        Args:
            u: Inputs; padded ones must be finite.
            steps: What is known about the steps.

        Returns:
            Outputs, in the precision of `u`; those of padded steps have no meaning.
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
            steps: What is known about the steps, without a mask.

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
            steps: What is known about the step; its arrays are (batch,).
        """
        state, y = self.advance(state, u[:, None], steps.with_axis_of_length())
        return state, y[:, 0]

    @final
    def check_inputs(self, u: Array, steps: Steps) -> None:
        """Refuse inputs of another shape than (batch, L, H), and steps that do not describe them."""
        if u.ndim != 3 or u.shape[-1] != self.d_model:
            hint = "; u[None] adds the batch axis" if u.shape[-1:] == (self.d_model,) and u.ndim == 2 else ""
            name = type(self).__name__
            raise ValueError(f"{name} takes inputs of shape (batch, L, {self.d_model}), not {u.shape}{hint}")
        check_steps(steps, u.shape[:2])

    @final
    def check_stream(self, u: Array, steps: Steps) -> None:
        """Refuse to stream a bidirectional map, padded chunks, and what `check_inputs` refuses."""
        if self.bidirectional:
            raise ValueError("a bidirectional layer has no streaming form: its output needs the whole sequence")
        self.check_inputs(u, steps)
        if steps.mask is not None:
            raise ValueError("a stream takes no Steps.mask: all steps of a chunk must be valid")
