"""Pooling over time: the reduction of a sequence to one vector, at once or in a stream.

Source: Smith et al. 2023 (arXiv:2208.04933) and its repository; `first` and `sum` are those of the S4 repository.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from s5.config.choices import Pooling
from s5.nn.steps import Steps


def pool(x: Float[Array, "batch L H"], steps: Steps, pooling: Pooling) -> Float[Array, "batch H"]:
    """Reduce each sequence to one vector, in float32.

    Args:
        x: Sequences.
        steps: Mask and resets of the steps. If a row has resets, its last segment is pooled: in a stream this is the
            current sequence.
        pooling: The mean or the sum over the valid steps, or the first or last valid step.

    Returns:
        One vector per sequence; zero for a sequence without valid steps.
    """
    if pooling is Pooling.last:
        return _last(x, steps)
    mask = steps.last_segment()
    if pooling is Pooling.first:
        return x[:, 0].astype(jnp.float32) if mask is None else _at(x, jnp.argmax(mask, 1), mask.any(1))
    if mask is None:
        return (x.mean if pooling is Pooling.mean else x.sum)(1, dtype=jnp.float32)
    count = mask.sum(1, keepdims=True)
    total = jnp.where(mask[..., None], x, 0).sum(1, dtype=jnp.float32)
    return total / jnp.maximum(count, 1) if pooling is Pooling.mean else total


def empty_pool(batch: int, d_model: int, pooling: Pooling) -> PyTree:
    """Return the state of pooling before the first step of a stream.

    For `mean` and `sum`, it is the sum and the number of steps so far; for `first`, the first step and whether there
    was one; for `last`, nothing.
    """
    if pooling is Pooling.last:
        return ()
    return jnp.zeros((batch, d_model)), jnp.zeros((batch, 1), bool if pooling is Pooling.first else jnp.float32)


def update_pool(
    state: PyTree, x: Float[Array, "batch L H"], steps: Steps, pooling: Pooling
) -> tuple[PyTree, Float[Array, "batch H"]]:
    """Return the state after a chunk, and the pooled features of the sequence so far."""
    if pooling is Pooling.last:
        return (), pool(x, steps, pooling)
    total, count = state
    last, length = steps.last_segment(), x.shape[1]
    fresh = None if steps.resets is None else steps.resets.any(1, keepdims=True)
    if pooling is Pooling.first:
        known = count if fresh is None else count & ~fresh
        first = jnp.where(known, total, pool(x, steps, pooling))
        return (first, jnp.ones_like(count)), first
    if fresh is not None and last is not None:
        x, length = jnp.where(last[..., None], x, 0), last.sum(1, keepdims=True)
        total, count = (jnp.where(fresh, 0, before) for before in (total, count))
    total, count = total + x.sum(1, dtype=jnp.float32), count + length
    return (total, count), total / count if pooling is Pooling.mean else total


def _last(x: Float[Array, "batch L H"], steps: Steps) -> Float[Array, "batch H"]:
    if steps.mask is None:
        return x[:, -1].astype(jnp.float32)
    count = steps.mask.sum(1)
    return _at(x, jnp.maximum(count - 1, 0), count > 0)


def _at(x: Float[Array, "batch L H"], index: Array, found: Array) -> Float[Array, "batch H"]:
    """Return one step of each sequence; zero where none was found."""
    step = jnp.take_along_axis(x, index[:, None, None], axis=1)[:, 0]
    return jnp.where(found[:, None], step, 0).astype(jnp.float32)
