"""Initial values of state space models, drawn in float64 NumPy and stored as float32.

Source: Smith et al. 2023 (arXiv:2208.04933) and its repository.
"""

import math

import numpy as np
from jaxtyping import Complex128, Float64

from s5.config.choices import CInit
from s5.nn.initializers import init_lecun_normal


def init_B(rng: np.random.Generator, V: Complex128[np.ndarray, "P_full P"], H: int) -> Complex128[np.ndarray, "P {H}"]:
    """Draw B_tilde = V_inv B with a real B of variance 1/P_full.

    Args:
        rng: The generator.
        V: Eigenvectors, with orthonormal columns.
        H: Number of input features.

    Returns:
        B_tilde.
    """
    return V.conj().T @ init_lecun_normal(rng, (V.shape[0], H), fan_in=V.shape[0])


def init_C(
    rng: np.random.Generator, kind: CInit, V: Complex128[np.ndarray, "P_full P"], H: int
) -> Complex128[np.ndarray, "{H} P"]:
    """Draw C_tilde from the given distribution.

    Names and variances are those of the S5 repository's code. The real and imaginary parts have the variance 1/P_full
    for `trunc_standard_normal` and 1/(H P_full) for `lecun_normal`; the result is then multiplied by V. For
    `complex_normal` the variance is ½, and V is not used.

    Args:
        rng: The generator.
        kind: The distribution.
        V: Eigenvectors, with orthonormal columns.
        H: Number of output features.

    Returns:
        C_tilde.
    """
    P_full, P = V.shape
    match kind:
        case CInit.complex_normal:
            re, im = rng.standard_normal((2, H, P)) * math.sqrt(0.5)
            return re + 1j * im
        case CInit.trunc_standard_normal:
            re, im = init_lecun_normal(rng, (2, H, P_full), fan_in=P_full)
        case CInit.lecun_normal:
            re, im = init_lecun_normal(rng, (2, H, P_full), fan_in=H * P_full)
    return (re + 1j * im) @ V


def init_log_step(rng: np.random.Generator, P: int, dt_min: float, dt_max: float) -> Float64[np.ndarray, " {P}"]:
    """Draw the logarithm of each state's step size, uniformly from log(`dt_min`) to log(`dt_max`)."""
    return rng.uniform(math.log(dt_min), math.log(dt_max), P)
