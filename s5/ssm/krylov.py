"""Kernels and recurrences of dense systems x_k = (I + E) x_{k−1} + B u_k, y_k = C x_k, one for each feature, by powers.

Kernels K_l = C (I + E)^l B are computed as products of two small sets of vectors: with l = i n + j,
K_l = (C (I + E)^{i n}) ((I + E)^j B). Both sets have about √L vectors, so no array of size N × L exists, and nearly all
operations are products of matrices. E is the difference of the state matrix to the identity: slow states change little
in a step, so their part of E is small, and rounding errors are relative to it. (I + E)² = I + (2 E + E²).

The paper of S4 has Cauchy sums at the roots of unity instead (Gu et al. 2022, arXiv:2111.00396). Computed by
broadcasting these take many times as long and as much memory (`python -m benchmarks.models --family s4`). They also
need C (I − (I + E)^L) in place of C, which depends on the length.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from s5.ssm.resets import resets_backward

# Steps that a recurrence processes at once, at most; a power of 2. With resets, each row has its own n × n matrix for
# each feature, so larger chunks are slower: 16 takes twice the time of 8, and 8 a tenth of the time of single steps.
_CHUNK = 8
_EXACT = lax.Precision.HIGHEST  # no TF32: errors grow with the power


def compute_kernel(
    E: Float[Array, "H N N"], B: Float[Array, "H N"], C: Float[Array, "H channels N"], L: int
) -> Float[Array, "H channels L"]:
    """Return K_l = C (I + E)^l B for l < L.

    Args:
        E: What a step adds to the state, for each feature.
        B: Input vectors.
        C: Output vectors; those of several channels, such as two directions, share all powers.
        L: Length of the kernel, at least 1.
    """
    H, channels, N = C.shape
    right = B[..., None]
    for _ in range((L - 1).bit_length() // 2):
        right = _double(right, E)
        E = _square(E)

    def advance(left: Array, _: None) -> tuple[Array, Array]:
        return left + _product(left, E), left

    _, left = lax.scan(advance, C, None, length=-(-L // right.shape[-1]))
    left = jnp.moveaxis(left, 0, 2).reshape(H, -1, N)
    return _product(left, right).reshape(H, channels, -1)[..., :L]


class _Powers(NamedTuple):
    """What n steps need: (I + E)^n − I, (I + E)^j B and C (I + E)^{j+1} for j < n."""

    E: Float[Array, "H N N"]
    right: Float[Array, "H N n"]
    left: Float[Array, "H n N"]


def recurrence(
    E: Float[Array, "H N N"],
    B: Float[Array, "H N"],
    C: Float[Array, "H N"],
    u: Float[Array, "batch L H"],
    initial: Float[Array, "batch H N"] | None = None,
    resets: Bool[Array, "batch L"] | None = None,
    reverse: bool = False,
) -> tuple[Float[Array, "batch H N"], Float[Array, "batch L H"]]:
    """Run the systems over the steps, in chunks. The remaining steps are chunks of smaller powers of 2.

    Args:
        E: What a step adds to the state, for each feature.
        B: Input vectors.
        C: Output vectors.
        u: Inputs.
        initial: The state before the first step; None for zero.
        resets: True at the first step of a segment; no state passes between it and the step before it.
        reverse: Run from the last step to the first.

    Returns:
        The last state, and the outputs C x_k.
    """
    if reverse:
        resets = None if resets is None else jnp.flip(resets_backward(resets), 1)
        x, y = recurrence(E, B, C, jnp.flip(u, 1), initial, resets)
        return x, jnp.flip(y, 1)
    batch, L, H = u.shape
    sizes = [1 << bit for bit in range(_CHUNK.bit_length()) if (1 << bit) <= L]
    powers = [_Powers(E, B[..., None], C[:, None] + _product(C[:, None], E))]
    for _ in sizes[1:]:
        E, right, left = powers[-1]
        powers.append(_Powers(_square(E), _double(right, E), jnp.concatenate([left, left + _product(left, E)], axis=1)))

    x = jnp.zeros((batch, *B.shape), B.dtype) if initial is None else initial
    outputs, start = [], 0
    for n, each in zip(reversed(sizes), reversed(powers), strict=True):
        end = L - (L - start) % n
        if end > start:
            chunks = jax.tree.map(
                lambda array: jnp.moveaxis(array[:, start:end].reshape(batch, -1, n, *array.shape[2:]), 1, 0),  # noqa: B023
                (u.astype(B.dtype), resets),
            )
            # Products of a chunk are larger than its inputs, and cheap: the backward pass computes them again.
            x, y = lax.scan(jax.checkpoint(_make_chunk(each, C), prevent_cse=False), x, chunks)
            outputs.append(jnp.moveaxis(y, 0, 1).reshape(batch, -1, H))
        start = end
    return x, jnp.concatenate(outputs, axis=1)


def _make_chunk(powers: _Powers, C: Float[Array, "H N"]):
    """Return the function of a state and a chunk of inputs and resets that returns the next state and the outputs."""
    n = powers.right.shape[-1]
    lag = jnp.arange(n)[:, None] - jnp.arange(n)
    kernel = _product(C[:, None], powers.right)[:, 0]
    within = jnp.where(lag >= 0, kernel[:, jnp.maximum(lag, 0)], 0)
    entering = jnp.flip(powers.right, -1)

    def advance(x: Array, chunk: tuple[Array, Array | None]) -> tuple[Array, Array]:
        u, resets = chunk
        before = jnp.einsum("hkn,bhn->bkh", powers.left, x, precision=_EXACT)
        x = x + jnp.einsum("hnm,bhm->bhn", powers.E, x, precision=_EXACT)
        if resets is None:
            own = jnp.einsum("hkl,blh->bkh", within, u, precision=_EXACT)
            return x + jnp.einsum("hnl,blh->bhn", entering, u, precision=_EXACT), before + own
        segment = jnp.cumsum(resets, axis=1)
        same = segment[:, :, None] == segment[:, None]
        own = jnp.einsum("bhkl,blh->bkh", jnp.where(same[:, None], within, 0), u, precision=_EXACT)
        y = jnp.where((segment == 0)[..., None], before, 0) + own
        x = jnp.where((segment[:, -1] == 0)[:, None, None], x, 0)
        return x + jnp.einsum("hnl,blh->bhn", entering, jnp.where(same[:, -1, :, None], u, 0), precision=_EXACT), y

    return advance


def _double(right: Float[Array, "H N n"], E: Float[Array, "H N N"]) -> Float[Array, "H N twice"]:
    return jnp.concatenate([right, right + _product(E, right)], axis=-1)


def _square(E: Float[Array, "H N N"]) -> Float[Array, "H N N"]:
    """Return (I + E)² − I."""
    return 2 * E + _product(E, E)


def _product(a: Float[Array, "H rows n"], b: Float[Array, "H n columns"]) -> Float[Array, "H rows columns"]:
    return jnp.matmul(a, b, precision=_EXACT)
