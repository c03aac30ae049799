"""Which values of a layer the backward pass reads instead of computing them again."""

from typing import Any

from jax.ad_checkpoint import checkpoint_name

SAVED = "saved"


def save_for_backward(values: Any) -> Any:
    """Mark arrays, of any tree, that `Remat.states` saves: costly to compute and smaller than a layer's features."""
    return checkpoint_name(values, SAVED)
