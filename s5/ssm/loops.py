"""A loop over the steps of sequences that XLA compiles to updates in place, and access to the arrays of one step."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int


def run_loop(count: int, body: Callable[[Any, Any], Any], start: Any) -> Any:
    """Return `fori_loop(0, count, body, start)`, as a while loop, since gradients would save the counters of a scan."""
    carry = (jnp.zeros((), jnp.int32), start)
    return lax.while_loop(lambda carry: carry[0] < count, lambda carry: (carry[0] + 1, body(*carry)), carry)[1]


def take_step(steps: Array, k: Int[Array, ""]) -> Array:
    """Return steps[:, k]; an index out of range is clamped."""
    return lax.dynamic_index_in_dim(steps, k, 1, keepdims=False, allow_negative_indices=False)


def put_step(steps: Array, values: Array, k: Int[Array, ""]) -> Array:
    """Return `steps` with other values at [:, k]."""
    return lax.dynamic_update_index_in_dim(steps, values, k, 1, allow_negative_indices=False)
