"""Diagonal plus low rank (DPLR) state matrices A = diag(Lambda) − P P*, and their discretization.

One of each conjugate pair of states is stored, x = re + i im, as the real vector (re, im) of size N. On it, A acts as a
real matrix: diag(Lambda) as rotations that decay, and P P* as 2 Σ_r p_r p_rᵀ with the vectors p_r = (Re P_r, Im P_r).
A discrete system is the pair of E and B_bar in x_k = x_{k−1} + E x_{k−1} + B_bar u_k.

If the real parts of Lambda are negative, A is dissipative: the norm of a state does not grow, whatever P is. Rounding
errors of long products then do not grow either, in float32.

Source: Gu et al. 2022 (arXiv:2111.00396).
"""

from collections.abc import Callable

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from s5.config.choices import Discretization

# The exponential halves a matrix at most so often: enough for LegS with N = 256 and a step of 1.
_MOST_HALVINGS = 20
# Terms of its series, for a norm of at most ¼: the first that is left out is below 1e-14.
_TERMS = 10
_EXACT = lax.Precision.HIGHEST


def bilinear(
    Lambda: Float[Array, "H 2 M"], P: Float[Array, "H rank N"], B: Float[Array, "H N"], step: Float[Array, " H"]
) -> tuple[Float[Array, "H N N"], Float[Array, "H N"]]:
    """Discretize by the trapezoidal rule.

    A_bar = I + E = (I − step A/2)⁻¹ (I + step A/2), so E = 2 (R − I) with R = (I − step A/2)⁻¹. Without P, R is a
    closed form; each row of P then adds a matrix of rank 1 (Sherman and Morrison's formula).

    Args:
        Lambda: Eigenvalues of the diagonal part, in 1/time: real and imaginary parts.
        P: Rows of the low-rank part: real parts, then imaginary parts.
        B: Input vectors, in the same layout.
        step: Step sizes, in units of time.

    Returns:
        E = A_bar − I, and B_bar.
    """
    step = step[:, None]
    re, im = step * Lambda[:, 0], step * Lambda[:, 1]
    # z/(1 − z/2) for z = Lambda step, without the difference of two numbers that are nearly equal.
    real, imag = 1 - re / 2, im / 2
    square = real**2 + imag**2
    E = _rotation((re * real - im * imag) / square, (im * real + re * imag) / square)
    for p in jnp.moveaxis(P, 1, 0):
        by_R, by_R_transposed = p + _apply(E, p) / 2, p + jnp.einsum("hnm,hn->hm", E, p, precision=_EXACT) / 2
        scale = 2 * step / (1 + step * (p * by_R).sum(-1, keepdims=True))
        E -= (scale * by_R)[:, :, None] * by_R_transposed[:, None]
    return E, step * (B + _apply(E, B) / 2)


def zoh(
    Lambda: Float[Array, "H 2 M"], P: Float[Array, "H rank N"], B: Float[Array, "H N"], step: Float[Array, " H"]
) -> tuple[Float[Array, "H N N"], Float[Array, "H N"]]:
    """Discretize with a zero-order hold: the input is constant over each step. By dense matrix exponentials, so slower.

    Args:
        Lambda: As for `bilinear`.
        P: As for `bilinear`.
        B: As for `bilinear`.
        step: As for `bilinear`.

    Returns:
        E and B_bar.
    """
    N = B.shape[1]
    A = _rotation(Lambda[:, 0], Lambda[:, 1]) - 2 * jnp.einsum("hrn,hrm->hnm", P, P, precision=_EXACT)
    system = jnp.pad(
        jnp.concatenate([A, B[..., None]], axis=2), ((0, 0), (0, 1), (0, 0))
    )  # the input is one more state
    exact = _exponential(step[:, None, None] * system)
    return exact[:, :N, :N], exact[:, :N, N]


DISCRETIZE: dict[Discretization, Callable[..., tuple[Array, Array]]] = {
    Discretization.bilinear: bilinear,
    Discretization.zoh: zoh,
}


def _exponential(X: Float[Array, "H n n"]) -> Float[Array, "H n n"]:
    """Return e^X − I, by the series of a small part of X and squarings: differences to I lose no digits.

    JAX's own exponential returns e^X, and takes several times as long for many matrices, since it computes every order.
    """
    norm = lax.stop_gradient(jnp.abs(X).sum(-1).max(-1))
    halvings = jnp.clip(jnp.ceil(jnp.log2(4 * norm)), 0, _MOST_HALVINGS)[:, None, None]
    X = X * jnp.exp2(-halvings)
    E = X / _TERMS
    for k in range(_TERMS - 1, 0, -1):
        E = (X + jnp.matmul(X, E, precision=_EXACT)) / k

    def square(E: Array, done: Array) -> tuple[Array, None]:
        return jnp.where(done < halvings, 2 * E + jnp.matmul(E, E, precision=_EXACT), E), None

    return lax.scan(square, E, jnp.arange(_MOST_HALVINGS))[0]


def _apply(E: Float[Array, "H N N"], x: Float[Array, "H N"]) -> Float[Array, "H N"]:
    return jnp.einsum("hnm,hm->hn", E, x, precision=_EXACT)


def _rotation(re: Float[Array, "H M"], im: Float[Array, "H M"]) -> Float[Array, "H N N"]:
    """Return the real matrices that multiply (re, im) vectors by complex numbers."""
    eye = jnp.eye(re.shape[1], dtype=re.dtype)
    diagonal, off = re[..., None] * eye, im[..., None] * eye
    return jnp.concatenate(
        [jnp.concatenate([diagonal, -off], axis=2), jnp.concatenate([off, diagonal], axis=2)], axis=1
    )
