"""Initial values of ordinary weights, drawn in float64 NumPy and stored as float32."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

# Standard deviation of a standard normal that is truncated to ±2.
_TRUNCATED_STD = 0.8796256610342398


def init_truncated_normal(rng: np.random.Generator, shape: Sequence[int], std: float) -> Float64[np.ndarray, "..."]:
    """Draw from a normal distribution cut at two standard deviations.

    Args:
        rng: The generator.
        shape: Shape of the result.
        std: Standard deviation of the result, after the cut.

    Returns:
        The draws.
    """
    draws = rng.standard_normal(shape)
    while (outside := np.abs(draws) > 2).any():
        draws[outside] = rng.standard_normal(int(outside.sum()))
    return draws * (std / _TRUNCATED_STD)


def init_lecun_normal(rng: np.random.Generator, shape: Sequence[int], fan_in: int) -> Float64[np.ndarray, "..."]:
    """Draw a truncated normal of variance 1/fan_in."""
    return init_truncated_normal(rng, shape, 1 / math.sqrt(fan_in))
