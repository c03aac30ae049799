"""What a backward pass had better read than compute again, where the rest of a layer is computed again."""

from typing import Any

from jax.ad_checkpoint import checkpoint_name

KEPT = "kept"


def keep(values: Any) -> Any:
    """Mark arrays, of any tree, as what `Remat.states` keeps: dear to compute and smaller than a layer's features."""
    return checkpoint_name(values, KEPT)
