"""Initial values, computed in float64 NumPy and stored as float32.

Sources: Gu et al. 2020 (arXiv:2008.07669) for HiPPO-LegS; Smith et al. 2023 (arXiv:2208.04933) for
its block-diagonal use in S5.
"""

import math

import numpy as np
from jaxtyping import Complex128, Float64

from s5.config.choices import CInit
from s5.nn.initializers import init_lecun_normal


def make_hippo_legs(N: int) -> Float64[np.ndarray, "{N} {N}"]:
    """Return the HiPPO-LegS state matrix of size N, lower triangular."""
    p = np.sqrt(1 + 2 * np.arange(N, dtype=np.float64))
    return np.diag(np.arange(N, dtype=np.float64)) - np.tril(np.outer(p, p))


def make_hippo_normal(N: int) -> tuple[Complex128[np.ndarray, " {N}"], Complex128[np.ndarray, "{N} {N}"]]:
    """Diagonalise the normal part of HiPPO-LegS: A + p pᵀ with p_n = √(n + ½), which is −½ I plus a skew matrix.

    Args:
        N: Size of the matrix.

    Returns:
        Eigenvalues, by ascending imaginary part, and the unitary matrix of eigenvectors in columns.
    """
    p = np.sqrt(np.arange(N) + 0.5)
    S = make_hippo_legs(N) + np.outer(p, p)
    skew = (S - S.T) / 2
    imag, V = np.linalg.eigh(-1j * skew)
    return np.diag(S).mean() + 1j * imag, V


def make_block_hippo(
    d_state: int, n_blocks: int, conj_sym: bool
) -> tuple[Complex128[np.ndarray, " P"], Complex128[np.ndarray, "P_full P"]]:
    """Return the eigenvalues and eigenvectors of a block-diagonal HiPPO matrix.

    Args:
        d_state: P_full, states before conjugate symmetry halves them.
        n_blocks: J, equal blocks on the diagonal.
        conj_sym: Keep one of each conjugate pair (the one with negative imaginary part).

    Returns:
        Lambda and the block-diagonal V; the columns of V are orthonormal, so that V_inv = V*.
    """
    size = d_state // n_blocks
    Lambda, V = make_hippo_normal(size)
    if conj_sym:
        Lambda, V = Lambda[: size // 2], V[:, : size // 2]
    return np.tile(Lambda, n_blocks), np.kron(np.eye(n_blocks), V)


def init_B(rng: np.random.Generator, V: Complex128[np.ndarray, "P_full P"], H: int) -> Complex128[np.ndarray, "P {H}"]:
    """Draw B_tilde = V_inv B with a real B of variance 1/P_full.

    Args:
        rng: The generator.
        V: Eigenvectors, with orthonormal columns.
        H: Features of the input.

    Returns:
        B_tilde.
    """
    return V.conj().T @ init_lecun_normal(rng, (V.shape[0], H), fan_in=V.shape[0])


def init_C(
    rng: np.random.Generator, kind: CInit, V: Complex128[np.ndarray, "P_full P"], H: int
) -> Complex128[np.ndarray, "{H} P"]:
    """Draw C_tilde.

    The names are those of the S5 repository and the statistics are those of its code: `trunc_standard_normal` has
    real and imaginary parts of variance 1/P_full, `lecun_normal` of 1/(H P_full) (both then multiplied by V), and
    `complex_normal` of ½, without V.

    Args:
        rng: The generator.
        kind: Which of the three.
        V: Eigenvectors, with orthonormal columns.
        H: Features of the output.

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
    """Draw the logarithm of each state's step, uniform between those of `dt_min` and `dt_max`."""
    return rng.uniform(math.log(dt_min), math.log(dt_max), P)
