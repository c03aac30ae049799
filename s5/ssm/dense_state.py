"""Dense state matrices: their discretization, and the form in which a trained one is stored.

The form is A = −diag(p) (T⁻¹ + diag(c)) diag(q) with a tridiagonal T. The HiPPO operators of Legendre and Laguerre
polynomials have it, with 6 N numbers in place of N².

Source: Gu et al. 2021 (arXiv:2110.13985) and the code of its repository.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from s5.config.choices import TRIDIAGONAL, Measure
from s5.nn.derivatives import with_derivative
from s5.ssm.hippo import make_hippo

_EXACT = lax.Precision.HIGHEST
# Matrices of this size and below are inverted one row after the other.
_SMALL = 32


class TridiagonalInverse(NamedTuple):
    """The numbers of A = −diag(p) (T⁻¹ + diag(c)) diag(q).

    Attributes:
        lower: Below the diagonal of T.
        middle: The diagonal of T.
        upper: Above the diagonal of T.
        p: Factors of the rows.
        q: Factors of the columns.
        c: What is added to the inverse of T.
    """

    lower: Float[Array | np.ndarray, " N-1"]
    middle: Float[Array | np.ndarray, " N"]
    upper: Float[Array | np.ndarray, " N-1"]
    p: Float[Array | np.ndarray, " N"]
    q: Float[Array | np.ndarray, " N"]
    c: Float[Array | np.ndarray, " N"]


def make_tridiagonal_inverse(measure: Measure, N: int) -> TridiagonalInverse:
    """Return a HiPPO operator in this form, in float64 NumPy.

    Args:
        measure: The operator.
        N: Number of coefficients.

    Raises:
        ValueError: If the operator does not have this form.
    """
    if measure not in TRIDIAGONAL:
        raise ValueError(f"the state matrix of the measure {measure.name} is not a tridiagonal inverse")
    A = make_hippo(measure, N).A
    legendre = 2 * np.arange(N) + 1.0
    match measure:
        case Measure.lmu:
            p, q = legendre, np.ones(N)
        case Measure.lagt | Measure.tlagt | Measure.glagt:
            p = q = np.ones(N)
        case _:
            p = q = np.sqrt(legendre)
    inverse = -A / np.outer(p, q)
    # Below the diagonal the entries are u v and above it w z, for some vectors. With the value of both on the diagonal,
    # the inverse is tridiagonal. All entries of one triangle have the same modulus here.
    level = 0.5 if measure is Measure.legt else 1.0
    c = np.diag(inverse) - level
    T = np.linalg.inv(inverse - np.diag(c))
    return TridiagonalInverse(np.diag(T, -1), np.diag(T), np.diag(T, 1), p, q, c)


def to_matrix(form: TridiagonalInverse) -> Float[Array, "N N"]:
    """Return the state matrix A."""
    T = jnp.diag(form.middle) + jnp.diag(form.lower, -1) + jnp.diag(form.upper, 1)
    return -jnp.asarray(form.p)[:, None] * (jnp.linalg.inv(T) + jnp.diag(form.c)) * form.q


def gbt(
    A: Float[Array, "N N"], B: Float[Array, " N"], step: Float[Array, " H"], alpha: float
) -> tuple[Float[Array, "H N N"], Float[Array, "H N"]]:
    """Discretize by the generalised bilinear transform: ½ is the trapezoidal rule, 1 the backward Euler rule.

    I + E = (I − alpha step A)⁻¹ (I + (1 − alpha) step A) and B_bar = step (I − alpha step A)⁻¹ B.

    Args:
        A: State matrix, in 1/time.
        B: Input vector.
        step: Step sizes, in units of time.
        alpha: The weight of the step's end, above 0 and at most 1.

    Returns:
        E and B_bar, of each step size.
    """
    R, E = _resolvent(step[:, None, None] * A, alpha)
    return E, step[:, None] * jnp.einsum("hnm,m->hn", R, B, precision=_EXACT)


def _compute_resolvent(X, alpha):
    """Return R = (I − alpha X)⁻¹ and E = R X, which equals (R − I)/alpha but keeps its digits if X is small."""
    R = _inverse(jnp.eye(X.shape[-1], dtype=X.dtype) - alpha * X)
    return R, _product(R, X)


def _inverse(M: Float[Array, "H n n"]) -> Float[Array, "H n n"]:
    """Return the inverse of matrices with a positive definite symmetric part, which need no pivots, by halves.

    Nearly all operations are products. On a CPU, JAX's own solution of many small systems takes several times as long.
    """
    n = M.shape[-1]
    if n <= _SMALL:
        return lax.fori_loop(0, n, _eliminate, M)
    half = n // 2
    a, b, c, d = M[:, :half, :half], M[:, :half, half:], M[:, half:, :half], M[:, half:, half:]
    a = _inverse(a)
    right, below = _product(a, b), _product(c, a)
    d = _inverse(d - _product(c, right))
    corner = -_product(d, below)
    top = jnp.concatenate([a - _product(right, corner), -_product(right, d)], axis=2)
    return jnp.concatenate([top, jnp.concatenate([corner, d], axis=2)], axis=1)


def _eliminate(k: Array, M: Float[Array, "H n n"]) -> Float[Array, "H n n"]:
    """Exchange the kth unknown with the kth right side (Gauss and Jordan); after all steps, M is its own inverse."""
    row, column = M[:, k], M[:, :, k]
    pivot = 1 / row[:, k, None]
    here = jnp.arange(M.shape[-1]) == k
    row, left = jnp.where(here, 1, row) * pivot, jnp.where(here, 0, column)
    kept = jnp.where(here, 0, jnp.where(here[:, None], 0, M))
    return kept - left[:, :, None] * row[:, None] + here[:, None] * row[:, None]


def _product(a: Float[Array, "H rows n"], b: Float[Array, "H n columns"]) -> Float[Array, "H rows columns"]:
    return jnp.matmul(a, b, precision=_EXACT)


def _forward(X, alpha):
    R, E = _resolvent(X, alpha)
    return (R, E), R


def _backward(alpha, R, bars):
    # dE = R dX R and dR = alpha dE. No system needs to be solved again.
    R_bar, E_bar = bars
    R = jnp.swapaxes(R, 1, 2)
    return (_product(_product(R, E_bar + alpha * R_bar), R),)


_resolvent = with_derivative(_forward, _backward, nondiff_argnums=(1,))(_compute_resolvent)
