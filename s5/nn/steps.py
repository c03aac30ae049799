"""What is known about the steps of sequences besides their inputs."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int


class Steps(NamedTuple):
    """Which steps are valid, when they were observed, and where segments begin. An immutable pytree.

    The arrays have the axes of the inputs without their features: (batch, L), or (batch,) for a single step.

    Attributes:
        mask: True at valid steps, which form a prefix; None if all are valid.
        intervals: Time since the step before, in units of the regular interval (1 at resets); None if all are 1.
        resets: True at the first step of each segment after the first: a packed sequence, or an episode. Segments do
            not see each other. None if each row is one segment.
        rate: Factor on every step, on top of the configured one: the sampling interval of these data over that of the
            data trained on.
    """

    mask: Bool[Array, "*axes"] | None = None
    intervals: Float[Array, "*axes"] | None = None
    resets: Bool[Array, "*axes"] | None = None
    rate: float | Float[Array, ""] = 1.0

    @classmethod
    def of(
        cls,
        L: int,
        lengths: Int[Array | np.ndarray, "*axes"] | None = None,
        *,
        times: Float[Array | np.ndarray, "*axes {L}"] | None = None,
        resets: Bool[Array | np.ndarray, "*axes {L}"] | None = None,
        rate: float | Float[Array, ""] = 1.0,
    ) -> "Steps":
        """Describe sequences as data sets store them.

        Args:
            L: Steps of a row.
            lengths: Valid steps of each row; None if all steps are valid, which is faster.
            times: When each step was observed, in units of the regular interval; None if all intervals are 1.
            resets: As in `Steps`.
            rate: As in `Steps`.
        """
        mask = None if lengths is None else jnp.arange(L) < jnp.asarray(lengths)[..., None]
        intervals = None
        if times is not None:
            before = [(0, 0)] * (times.ndim - 1) + [(1, 0)]
            intervals = jnp.pad(jnp.diff(jnp.asarray(times)), before, constant_values=1)
        return cls(mask, intervals, None if resets is None else jnp.asarray(resets), rate)

    def gaps(self, reverse: bool) -> Float[Array, "batch L"] | None:
        """Return the time by which each step moves a state that runs in one direction; None if all are 1.

        For the steps of a segment that were observed at t, forward (1, t_1 − t_0, …), in reverse (…, t_L − t_{L−1}, 1).
        A padded step has no time, so the intervals at it and to it are 1 too.
        """
        if self.intervals is None:
            return None
        gaps = self.intervals if self.resets is None else jnp.where(self.resets, 1, self.intervals)
        if self.mask is not None:
            gaps = jnp.where(self.mask, gaps, 1)
        return jnp.pad(gaps[:, 1:], ((0, 0), (0, 1)), constant_values=1) if reverse else gaps

    def last_segment(self) -> Bool[Array, "batch L"] | None:
        """Return which steps are valid and belong to the last segment of their row; None if all are."""
        if self.resets is None:
            return self.mask
        number = jnp.cumsum(self.resets, axis=1)
        valid = jnp.ones_like(self.resets) if self.mask is None else self.mask
        return valid & (number == jnp.where(valid, number, 0).max(1, keepdims=True))

    def with_axis_of_length(self) -> "Steps":
        """Return a single step of each row, (batch,), as a chunk of length one, (batch, 1)."""
        return Steps(*jax.tree.map(lambda array: jnp.asarray(array)[..., None], self[:-1]), rate=self.rate)


REGULAR = Steps()


def check_steps(steps: Steps, shape: tuple[Any, ...]) -> None:
    """Refuse what does not describe the steps of inputs.

    Args:
        steps: What a caller gave.
        shape: The axes of the inputs without their features; `jax.export` has symbols in place of numbers.

    Raises:
        TypeError: If it is something else, lengths say.
        ValueError: Naming an array of another shape.
    """
    hint = "Steps.of(L, lengths) describes padded sequences"
    if not isinstance(steps, Steps):
        raise TypeError(f"steps must be a Steps, not {type(steps).__name__}; {hint}")
    for name, array in zip(Steps._fields[:-1], steps[:-1], strict=True):
        if array is not None and jnp.shape(array) != shape:
            raise ValueError(f"Steps.{name} has shape {jnp.shape(array)} and the inputs have steps {shape}; {hint}")
