"""Resets as a recurrence from the last step to the first sees them."""

import jax.numpy as jnp
from jaxtyping import Array, Bool


def resets_backward(resets: Bool[Array, "batch L"]) -> Bool[Array, "batch L"]:
    """Return the steps that do not use the state of the step after them: the last steps of segments.

    Args:
        resets: True at the first step of a segment. The last step of a row needs no mark: no state comes before it.
    """
    return jnp.pad(resets[:, 1:], ((0, 0), (0, 1)))
