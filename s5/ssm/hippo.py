"""HiPPO state matrices and their eigenvalues, in float64 NumPy.

Sources: Gu et al. 2020 (arXiv:2008.07669) for HiPPO-LegS; Smith et al. 2023 (arXiv:2208.04933) for
its block-diagonal use in S5.
"""

import numpy as np
from jaxtyping import Complex128, Float64


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
        d_state: P_full, the number of states before conjugate symmetry halves it.
        n_blocks: J, the number of equal blocks on the diagonal.
        conj_sym: Keep one of each conjugate pair (the one with negative imaginary part).

    Returns:
        Lambda and the block-diagonal V. The columns of V are orthonormal, so its inverse is its conjugate transpose.

    Raises:
        ValueError: If `d_state` cannot be divided into equal blocks, of even size under conjugate symmetry.
    """
    size, rest = divmod(d_state, n_blocks)
    if rest or (conj_sym and size % 2):
        fits = [n for n in range(1, d_state + 1) if d_state % n == 0 and not (conj_sym and d_state // n % 2)]
        raise ValueError(
            f"d_state={d_state} cannot be divided into n_blocks={n_blocks} equal blocks{' of even size' * conj_sym}; "
            + (f"n_blocks may be {', '.join(map(str, fits))}" if fits else "with conj_sym, d_state must be even")
        )
    Lambda, V = make_hippo_normal(size)
    if conj_sym:
        Lambda, V = Lambda[: size // 2], V[:, : size // 2]
    return np.tile(Lambda, n_blocks), np.kron(np.eye(n_blocks), V)
