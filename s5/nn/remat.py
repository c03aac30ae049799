"""Marks the values of a layer that are saved for the backward pass, so that they are not computed again there."""

from typing import Any

from jax.ad_checkpoint import checkpoint_name

SAVED = "saved"


def save_for_backward(values: Any) -> Any:
    """Mark the arrays of a tree for `Remat.states` to save: they are costly to compute, and small."""
    return checkpoint_name(values, SAVED)
