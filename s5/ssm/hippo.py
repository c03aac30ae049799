"""HiPPO operators, their low-rank corrections and the eigenvalues of their normal parts, in float64 NumPy.

An operator is the system x'(t) = A x(t) + B u(t) whose state holds the coefficients of the input's past in a basis:
`s5.ssm.hippo_projection` has these bases. The operators of LegS alone depend on time: x'(t) = (A x(t) + B u(t)) / t.

Sources: Gu et al. 2020 (arXiv:2008.07669) for LegS, LegT, LagT; Voelker et al. 2019 for LMU; Gu et al. 2022
(arXiv:2111.00396) for the corrections; Gu et al. 2022 (arXiv:2206.12037) for FouT; Smith et al. 2023 (arXiv:2208.04933)
for the block-diagonal use in S5. The variants without a paper follow the code of S4 and of DSS (arXiv:2203.14343).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Complex128, Float64

from s5.config.choices import FOURIER, Measure


class Hippo(NamedTuple):
    """A HiPPO operator.

    Attributes:
        A: The state matrix.
        B: The input matrix.
        P: The low-rank correction: A + Σ_r P_r P_rᵀ is normal, a multiple of I plus a skew-symmetric matrix. It has no
            rows if A is already so, and is None if no such correction is known.
    """

    A: Float64[np.ndarray, "N N"]
    B: Float64[np.ndarray, " N"]
    P: Float64[np.ndarray, "rank N"] | None


def make_hippo(measure: Measure | str, N: int) -> Hippo:
    """Return a HiPPO operator of size N.

    Args:
        measure: The measure; the operators of Fourier bases need an even N.
        N: Number of coefficients.

    Raises:
        ValueError: If N is less than 1, or odd and the basis is a Fourier basis.
    """
    if N < 1:
        raise ValueError(f"a HiPPO operator needs at least one coefficient, not N={N}")
    measure = Measure(measure)
    if measure in FOURIER and N % 2:
        raise ValueError(f"the measure {measure.name} has pairs of coefficients, so N={N} must be even")
    return _OPERATORS[measure](N)


def make_hippo_legs(N: int) -> Float64[np.ndarray, "{N} {N}"]:
    """Return the HiPPO-LegS state matrix of size N, lower triangular."""
    p = np.sqrt(1 + 2 * np.arange(N, dtype=np.float64))
    return np.diag(np.arange(N, dtype=np.float64)) - np.tril(np.outer(p, p))


def make_hippo_normal(
    N: int, measure: Measure | str = Measure.legs
) -> tuple[Complex128[np.ndarray, " {N}"], Complex128[np.ndarray, "{N} {N}"]]:
    """Diagonalise the normal part of a HiPPO operator, A + Σ_r P_r P_rᵀ, which is c I plus a skew matrix.

    Two eigenvalues of the Fourier measures are equal, c itself. Their eigenvectors are conjugates of each other, as
    those of every other conjugate pair, so that the first half of the eigenvalues represents all.

    Args:
        N: Size of the matrix.
        measure: The operator. The real part c is −½ for LegS, and 0 for LegT, LagT and FouT.

    Returns:
        Eigenvalues, by ascending imaginary part, and the unitary matrix of eigenvectors in columns.

    Raises:
        ValueError: If the operator has no normal part.
    """
    measure = Measure(measure)
    A, _, P = make_hippo(measure, N)
    if P is None:
        raise ValueError(f"the measure {measure.name} has no low-rank correction that makes its state matrix normal")
    S = A + P.T @ P
    skew = (S - S.T) / 2
    imag, V = np.linalg.eigh(-1j * skew)
    if measure in FOURIER:
        imag, V = _pair_zeros(imag, V)
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


def _pair_zeros(
    imag: Float64[np.ndarray, " N"], V: Complex128[np.ndarray, "N N"]
) -> tuple[Float64[np.ndarray, " N"], Complex128[np.ndarray, "N N"]]:
    """Give the zero eigenvalues eigenvectors that are conjugates: any basis of their space is as good to `eigh`."""
    zero = np.flatnonzero(np.abs(imag) < 1e-9 * max(1.0, np.abs(imag).max()))
    space = V[:, zero]
    # The projection on the space is real; its leading eigenvectors are a real basis of the space.
    real = np.linalg.eigh(np.real(space @ space.conj().T))[1][:, -zero.size :]
    half = (real[:, ::2] - 1j * real[:, 1::2]) / math.sqrt(2)
    imag, V = imag.copy(), V.copy()
    imag[zero], V[:, zero] = 0.0, np.concatenate([half, half.conj()], axis=1)
    return imag, V


def _scale(N: int) -> Float64[np.ndarray, " {N}"]:
    """Return √(2n + 1), which makes the Legendre polynomials orthonormal."""
    return np.sqrt(1 + 2 * np.arange(N, dtype=np.float64))


def _parity_rows(values: Float64[np.ndarray, " N"]) -> Float64[np.ndarray, "2 N"]:
    """Return two rows: the values at even indices, and those at odd indices, with zeros elsewhere."""
    even = np.arange(values.size) % 2 == 0
    return np.stack([np.where(even, values, 0.0), np.where(even, 0.0, values)])


def _legs(N: int) -> Hippo:
    return Hippo(make_hippo_legs(N), _scale(N), np.sqrt(np.arange(N) + 0.5)[None])


def _legsd(N: int) -> Hippo:
    """Return the normal part of LegS as an operator of its own, with half of its input."""
    A, B, P = _legs(N)
    assert P is not None
    return Hippo(A + P.T @ P, B / 2, np.zeros((0, N)))


def _legt(N: int, window: float) -> Hippo:
    s, n = _scale(N), np.arange(N)
    signs = np.where(n[:, None] >= n, 1.0, (-1.0) ** (n[:, None] - n))
    P = _parity_rows(s) if window == 1 else _parity_rows(s / math.sqrt(2))
    return Hippo(-np.outer(s, s) * signs / window, s / window, P)


def _lmu(N: int) -> Hippo:
    """Return the Legendre memory unit with a window of 1: LegT in a basis that is not orthonormal."""
    n = np.arange(N)
    rows = (2 * n + 1.0)[:, None]
    A = rows * np.where(n[:, None] >= n, (-1.0) ** (n[:, None] - n + 1), -1.0)
    return Hippo(A, rows[:, 0] * (-1.0) ** n, None)


def _laguerre(N: int, diagonal: float, scale: float = 1.0) -> Hippo:
    lower = -np.tril(np.ones((N, N)), -1)
    return Hippo(lower + diagonal * np.eye(N), np.full(N, scale), np.full((1, N), math.sqrt(0.5)))


def _rotations(rates: Float64[np.ndarray, " pairs"]) -> Float64[np.ndarray, "N N"]:
    """Return a block-diagonal matrix that rotates each pair of coordinates, in radians per time."""
    return np.kron(np.diag(rates), np.array([[0.0, -1.0], [1.0, 0.0]]))


def _fourier(N: int, window: float, decay: bool = False) -> Hippo:
    """Return FouT. It forgets what leaves the window; with `decay` it forgets half as fast, and never all."""
    R, B = _rotations(2 * math.pi / window * np.arange(N // 2)), _fourier_input(N)
    strength = (1 if decay else 2) / window
    return Hippo(R - strength * np.outer(B, B), strength * B, math.sqrt(strength) * B[None])


def _fourier_input(N: int) -> Float64[np.ndarray, " {N}"]:
    B = np.tile([math.sqrt(2), 0.0], N // 2)
    B[0] = 1.0
    return B


def _foud(N: int) -> Hippo:
    """Return rotations at FouT's rates for a window of 1 that decay evenly."""
    A = _rotations(2 * math.pi * np.arange(N // 2)) - 0.5 * np.eye(N)
    return Hippo(A, _fourier_input(N), np.zeros((0, N)))


def _dss_fourier(N: int) -> Hippo:
    R = -_rotations(2 * math.pi * np.arange(N // 2))
    P = _parity_rows(np.ones(N))
    return Hippo(R - P.T @ P, P[0], P)


# GLagT in S4's code: the Laguerre polynomials of order 0 under a tilt of 0.01.
_GLAGT_TILT = 0.01
_OPERATORS: dict[Measure, Callable[[int], Hippo]] = {
    Measure.legs: _legs,
    Measure.legsd: _legsd,
    Measure.legt: lambda N: _legt(N, window=2.0),
    Measure.dss_legt: lambda N: _legt(N, window=1.0),
    Measure.lmu: _lmu,
    Measure.lagt: lambda N: _laguerre(N, -0.5),
    Measure.tlagt: lambda N: _laguerre(N, -1.0),
    Measure.glagt: lambda N: _laguerre(N, -(1 + _GLAGT_TILT) / 2, math.sqrt(_GLAGT_TILT)),
    Measure.fout: lambda N: _fourier(N, window=2.0),
    Measure.fourier_decay: lambda N: _fourier(N, window=2.0, decay=True),
    Measure.fourier2: lambda N: _fourier(N, window=1.0),
    Measure.foud: _foud,
    Measure.dss_fourier: _dss_fourier,
}
