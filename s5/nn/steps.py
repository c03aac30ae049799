"""The steps of sequences: their mask, intervals and resets."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, Real


class Steps(NamedTuple):
    """Which steps are valid, when they were observed, and where segments begin. An immutable pytree.

    The arrays have the axes of the inputs except the features: (batch, L), or (batch,) for a single step.

    Attributes:
        mask: True at valid steps, which form a prefix; None if all are valid.
        intervals: Time since the previous step, in units of the regular interval (1 at resets); None if all are 1.
        resets: True at the first step of every segment but the first. Segments are, for example, packed sequences or
            episodes; no information passes between them. None if each row is one segment.
        rate: Factor on every interval, besides the layer's `step_rescale`: the sampling interval of these data divided
            by the sampling interval of the training data.
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
        times: Real[Array | np.ndarray, "*axes {L}"] | None = None,
        resets: Bool[Array | np.ndarray, "*axes {L}"] | None = None,
        rate: float | Float[Array, ""] = 1.0,
    ) -> "Steps":
        """Return the `Steps` of sequences, from the lengths and times that data sets store.

        Args:
            L: Number of steps in a row.
            lengths: Number of valid steps in each row; None if all steps are valid, which is faster.
            times: When each step was observed, in units of the regular interval; None if all intervals are 1. Large
                times, such as seconds since 1970, are exact as NumPy arrays: see `compute_intervals`.
            resets: As in `Steps`.
            rate: As in `Steps`.

        Raises:
            ValueError: If the times are too large for their type, or the lengths are not integers from 0 to L. The
                values of lengths are not checked under a transformation such as `jit`, where they are unknown.
        """
        if lengths is not None:
            _check_lengths(lengths, L)
        mask = None if lengths is None else jnp.arange(L) < jnp.asarray(lengths)[..., None]
        intervals = None if times is None else compute_intervals(times)
        return cls(mask, intervals, None if resets is None else jnp.asarray(resets), rate)

    def gaps(self, reverse: bool) -> Float[Array, "batch L"] | None:
        """Return the time between each step and the previous step in the given direction; None if all are 1.

        For a segment that was observed at the times t: forward (1, t_1 − t_0, …), in reverse (…, t_L − t_{L−1}, 1).
        A padded step has no time, so the intervals before and after it are also 1.
        """
        if self.intervals is None:
            return None
        gaps = self.intervals if self.resets is None else jnp.where(self.resets, 1, self.intervals)
        if self.mask is not None:
            gaps = jnp.where(self.mask, gaps, 1)
        return jnp.pad(gaps[:, 1:], ((0, 0), (0, 1)), constant_values=1) if reverse else gaps

    def last_segment(self) -> Bool[Array, "batch L"] | None:
        """Return a mask of the valid steps in the last segment of each row; None if these are all steps."""
        if self.resets is None:
            return self.mask
        number = jnp.cumsum(self.resets, axis=1)
        valid = jnp.ones_like(self.resets) if self.mask is None else self.mask
        return valid & (number == jnp.where(valid, number, 0).max(1, keepdims=True))

    def as_chunk(self) -> "Steps":
        """Return single steps, (batch,), as chunks of length one, (batch, 1)."""
        return Steps(*jax.tree.map(lambda array: jnp.asarray(array)[..., None], self[:-1]), rate=self.rate)


REGULAR = Steps()


def compute_intervals(times: Real[Array | np.ndarray, "*axes L"]) -> Float[Array, "*axes L"]:
    """Return the time between each step and the previous step; 1 at the first step.

    The differences of a NumPy array are computed in its own type, before the cast to float32, whose neighbouring values
    are 128 s apart at times such as seconds since 1970.

    Args:
        times: When each step was observed, in units of the regular interval.

    Raises:
        ValueError: If a JAX array has lost the intervals: at these times its type cannot represent quarters of a
            regular interval. Not checked under a transformation such as `jit`, where the values are unknown.
    """
    before = [(0, 0)] * (times.ndim - 1) + [(1, 0)]
    if not isinstance(times, jax.Array):
        return jnp.asarray(np.pad(np.diff(times), before, constant_values=1), jnp.float32)
    if not isinstance(times, Tracer) and times.size and jnp.issubdtype(times.dtype, jnp.floating):
        largest = np.abs(np.asarray(times)).max()
        if np.spacing(largest) > 0.25:
            raise ValueError(
                f"times reach {largest:.4g}, where {times.dtype} has one value in {np.spacing(largest):g} regular "
                "intervals; subtract the first time before the conversion, or give a NumPy array of float64"
            )
    return jnp.pad(jnp.diff(times), before, constant_values=1)


def _check_lengths(lengths: Any, L: int) -> None:
    if not isinstance(lengths, jax.Array):
        lengths = np.asarray(lengths)
    if not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise ValueError(f"lengths are {lengths.dtype}, but must be integers: the number of valid steps of each row")
    if isinstance(lengths, Tracer):
        return
    values = np.asarray(lengths)
    wrong = np.argwhere((values < 0) | (values > L))
    if len(wrong):
        at = tuple(wrong[0].tolist())
        raise ValueError(
            f"lengths{list(at) if at else ''} is {values[at]}, but must be from 0 to L={L}, the steps of a row"
        )


def check_steps(steps: Steps, shape: tuple[Any, ...]) -> None:
    """Raise if `steps` does not fit inputs of a given shape.

    Args:
        steps: The argument that a caller passed.
        shape: Shape of the inputs without the features; during `jax.export` it may contain symbols.

    Raises:
        TypeError: If `steps` is not a `Steps`, but for example an array of lengths.
        ValueError: If an array has another shape; the message names the array.
    """
    hint = "Steps.of(L, lengths) describes padded sequences"
    if not isinstance(steps, Steps):
        raise TypeError(f"steps must be a Steps, not {type(steps).__name__}; {hint}")
    for name, array in zip(Steps._fields[:-1], steps[:-1], strict=True):
        if array is not None and jnp.shape(array) != shape:
            found = jnp.shape(array)
            raise ValueError(f"Steps.{name} has shape {found}, but the inputs have steps of shape {shape}; {hint}")
