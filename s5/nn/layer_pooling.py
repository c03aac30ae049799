"""Pooling over time between two layers, which shortens the sequence.

Source: the S4 repository and s4torch, where the last, incomplete window is lost. Here it is pooled too, so that the
result does not depend on the padding.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from s5.config.choices import LayerPooling
from s5.nn.steps import Steps


def pool_windows(
    x: Float[Array, "batch L H"], steps: Steps, pooling: LayerPooling, size: int
) -> Float[Array, "batch windows H"]:
    """Reduce each window of `size` steps to one: to the mean or the maximum of its valid steps.

    Args:
        x: Sequences.
        steps: Their mask; see `pool_steps` for the steps that belong to the result.
        pooling: `avg` or `max`.
        size: Steps of a window; the last one may have less.

    Returns:
        Values, in the precision of x; zero for a window without a valid step.
    """
    windows, valid = _windows(x, size), _valid(steps, x.shape[1], size)[..., None]
    if pooling is LayerPooling.avg:
        total = jnp.where(valid, windows, 0).sum(2, dtype=jnp.float32)
        return (total / jnp.maximum(valid.sum(2), 1)).astype(x.dtype)
    return jnp.where(valid.any(2), jnp.where(valid, windows, -jnp.inf).max(2), 0).astype(x.dtype)


def pool_steps(steps: Steps, L: int, size: int) -> Steps:
    """Return the steps of pooled sequences.

    A window is valid if one of its steps is. Its interval is the mean of theirs: the time since the window before, in
    units of the regular interval between windows.

    Args:
        steps: The steps before the pooling.
        L: Their number.
        size: Steps of a window.

    Raises:
        ValueError: If there are resets, since a window may contain steps of two segments.
    """
    if steps.resets is not None:
        raise ValueError(
            "Steps.resets: with model.layer_pooling a window may contain steps of two segments; give each segment a "
            "row of its own, or choose model.layer_pooling=none"
        )
    valid = _valid(steps, L, size)
    mask = None if steps.mask is None else valid.any(2)
    if steps.intervals is None:
        return steps._replace(mask=mask)
    total = jnp.where(valid, _windows(steps.intervals[..., None], size)[..., 0], 0).sum(2)
    return steps._replace(mask=mask, intervals=total / jnp.maximum(valid.sum(2), 1))


def _windows(x: Float[Array, "batch L H"], size: int) -> Float[Array, "batch windows size H"]:
    """Return the windows of sequences; zeros fill the last one."""
    batch, L, H = x.shape
    return jnp.pad(x, ((0, 0), (0, -L % size), (0, 0))).reshape(batch, -1, size, H)


def _valid(steps: Steps, L: int, size: int) -> Bool[Array, "batch windows size"]:
    """Return which members of the windows are valid steps; the batch has size 1 if all rows are equal."""
    mask = jnp.ones((1, L), bool) if steps.mask is None else steps.mask
    return jnp.pad(mask, ((0, 0), (0, -L % size))).reshape(mask.shape[0], -1, size)
