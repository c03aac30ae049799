"""The kernel of a diagonal state space: at each lag l, the sum of c e^(a l) over the states.

It is the product of c with a Vandermonde matrix of size N × L for each feature, which is never made. With l = i M + j
and M near √L, e^(a l) is e^(a i M) times e^(a j). The sum over the states is then a product of two real matrices, of
L / M rows and of M columns. Their memory grows with N √L, and so does that of the hand-written derivative.
"""

import functools

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from s5.nn.derivatives import with_derivative

# By default accelerators multiply float32 in reduced precision, which is too coarse for a kernel.
_product = functools.partial(jnp.einsum, precision=lax.Precision.HIGHEST)


def vandermonde_product(a: Float[Array, "2 H N"], c: Float[Array, "2 K H N"], L: int) -> Float[Array, "K H {L}"]:
    """Return Re Σ_n c_n e^(a_n l) for l = 0 … L − 1.

    Args:
        a: Exponents of a step: real parts, none positive, and imaginary parts.
        c: Weights of K kernels with the same exponents: real and imaginary parts.
        L: Number of lags.

    Returns:
        K kernels for each feature.
    """
    return _kernels(a, c, L)


def unit_power(phase: Float[Array, "*axes"], n: int) -> Float[Array, "2 ..."]:
    """Return e^(i phase n), real and imaginary parts, without rounding phase n."""
    re, im = jnp.ones_like(phase), jnp.zeros_like(phase)
    for s in range(n.bit_length()):
        if n >> s & 1:
            cos, sin = jnp.cos(2**s * phase), jnp.sin(2**s * phase)
            re, im = re * cos - im * sin, re * sin + im * cos
    return jnp.stack([re, im])


def _forward(a, c, L):
    (high_re, high_im), (low_re, low_im) = _factors(a, L)
    c_re, c_im = c[0, ..., None], c[1, ..., None]
    left = jnp.concatenate([c_re * high_re - c_im * high_im, -c_re * high_im - c_im * high_re], axis=2)
    kernels = _product("khni,hnj->khij", left, jnp.concatenate([low_re, low_im], axis=1))
    return kernels.reshape(*c.shape[1:3], -1)[..., :L], (a, c)


def _backward(L, saved, kernels_bar):
    # The derivative by c_n is the sum of the weights times e^(a_n l), that by a_n the same sum times c_n l.
    a, c = saved
    (high_re, high_im), (low_re, low_im) = _factors(a, L)
    rows, M = high_re.shape[-1], low_re.shape[-1]
    weights = jnp.pad(kernels_bar, ((0, 0), (0, 0), (0, rows * M - L))).reshape(*c.shape[1:3], rows, M)
    high = jnp.concatenate([high_re, high_im], axis=1)
    i, j = M * jnp.arange(rows, dtype=a.dtype)[:, None], jnp.arange(M, dtype=a.dtype)
    plain_re, plain_im = jnp.split(_product("hni,khij->khnj", high, weights), 2, axis=2)
    by_i_re, by_i_im = jnp.split(_product("hni,khij->khnj", high, i * weights), 2, axis=2)

    def over_low(re, im):
        return (low_re * re - low_im * im).sum(-1), (low_re * im + low_im * re).sum(-1)

    re, im = over_low(plain_re, plain_im)
    late_re, late_im = over_low(by_i_re + j * plain_re, by_i_im + j * plain_im)
    a_bar = jnp.stack([c[0] * late_re - c[1] * late_im, -c[0] * late_im - c[1] * late_re]).sum(1)
    return a_bar, jnp.stack([re, -im])


def _factors(a, L):
    """Return the real and imaginary parts of e^(a i M), and of e^(a j)."""
    bits = (L - 1).bit_length()
    low_bits = (bits + 1) // 2
    # e^(a k) is a product of e^(a 2^s) over the bits s of k. In floating point 2^s a is exact, so no phase is rounded;
    # rounding a k would be an error of k times that of a.
    doubled = a[..., None] * jnp.asarray(2.0 ** np.arange(bits), a.dtype)
    growth = jnp.exp(doubled[0])
    squares = jnp.stack([growth * jnp.cos(doubled[1]), growth * jnp.sin(doubled[1])])
    return _powers(squares[..., low_bits:], -(-L >> low_bits)), _powers(squares[..., :low_bits], 1 << low_bits)


def _powers(squares, count):
    """Return the real and imaginary parts of z^k for k = 0 … count − 1, from z, z², z⁴ and so on."""
    k = np.arange(count)
    re, im = jnp.ones((1, 1, 1), squares.dtype), jnp.zeros((1, 1, 1), squares.dtype)
    for s in range(squares.shape[-1]):
        bit = (k >> s) % 2 == 1
        by_re, by_im = jnp.where(bit, squares[0, ..., s, None], 1), jnp.where(bit, squares[1, ..., s, None], 0)
        re, im = re * by_re - im * by_im, re * by_im + im * by_re
    shape = (*squares.shape[1:3], count)
    return jnp.broadcast_to(re, shape), jnp.broadcast_to(im, shape)


@with_derivative(_forward, _backward, nondiff_argnums=(2,))
def _kernels(a, c, L):
    return _forward(a, c, L)[0]
