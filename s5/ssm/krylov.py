"""Kernels of dense systems: the numbers K_l = C (I + E)^l B, one system for each feature.

They are computed as products of two small sets of vectors: with l = i n + j, K_l = (C (I + E)^{i n}) ((I + E)^j B).
Both sets have about √L vectors, so no array of size N × L exists, and nearly all operations are products of matrices.

The paper of S4 has Cauchy sums at the roots of unity instead (Gu et al. 2022, arXiv:2111.00396). Computed by
broadcasting, with H = 256, N = 64 and L = 4,096 on two busy CPU cores, these and their gradients took 27 times as long
and 15 times the memory. They also need C (I − (I + E)^L) in place of C, which depends on the length.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def compute_kernel(
    E: Float[Array, "H N N"], B: Float[Array, "H N"], C: Float[Array, "H channels N"], L: int
) -> Float[Array, "H channels L"]:
    """Return K_l = C (I + E)^l B for l < L.

    E is the difference of the state matrix to the identity. Slow states change little in a step: their part of E is
    small, and rounding errors are relative to it. Powers are computed as (I + E)² = I + (2 E + E²).

    Args:
        E: What a step adds to the state, for each feature.
        B: Input vectors.
        C: Output vectors; those of several channels, such as two directions, share all powers.
        L: Length of the kernel, at least 1.
    """
    H, channels, N = C.shape
    doublings = (L - 1).bit_length() // 2
    right = B[..., None]
    for _ in range(doublings):
        right = jnp.concatenate([right, right + _product(E, right)], axis=-1)
        E = 2 * E + _product(E, E)

    def advance(left: Array, _: None) -> tuple[Array, Array]:
        return left + _product(left, E), left

    _, left = lax.scan(advance, C, None, length=-(-L // 2**doublings))
    left = jnp.moveaxis(left, 0, 2).reshape(H, -1, N)
    return _product(left, right).reshape(H, channels, -1)[..., :L]


def _product(a: Float[Array, "H rows n"], b: Float[Array, "H n columns"]) -> Float[Array, "H rows columns"]:
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)  # no TF32: errors grow with the power
