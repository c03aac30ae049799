"""The convolution of long sequences with kernels of the same length, one kernel for each feature, by real FFTs.

The FFTs have the precision of the inputs, but at least float32. Their rounding errors are relative to the largest
values of a sequence: a large value changes the last digits of the outputs at all steps, also at earlier ones.
"""

import itertools

import jax.numpy as jnp
from jaxtyping import Array, Float

from s5.nn.derivatives import with_derivative


def causal_convolution(
    u: Float[Array, "batch L H"], kernel: Float[Array, "H L"], reverse_kernel: Float[Array, "H L"] | None = None
) -> Float[Array, "batch L H"]:
    """Return y_k = Σ_l kernel_l u_{k−l}, plus Σ_l reverse_kernel_l u_{k+l} if there is a second kernel.

    Both sums begin at l = 0, so each direction includes the step itself, and inputs outside of the sequence are zero.

    Args:
        u: Inputs; padded steps must be zero for the second sum.
        kernel: Weights of the present and of earlier inputs, by their distance.
        reverse_kernel: Weights of the present and of later inputs, by their distance; None for a causal convolution.

    Returns:
        The outputs, in the precision of `u`.
    """
    wide = jnp.promote_types(u.dtype, jnp.float32)
    kernels = (kernel, reverse_kernel)
    return _convolution(u.astype(wide), *(one if one is None else one.astype(wide) for one in kernels)).astype(u.dtype)


def good_length(least: int) -> int:
    """Return the smallest even product of powers of 2, 3 and 5 that is not below `least`: FFTs of it are fast."""
    return next(n for n in itertools.count(least + least % 2, 2) if _rest(n) == 1)


def _rest(n: int) -> int:
    for prime in (2, 3, 5):
        while n % prime == 0:
            n //= prime
    return n


def _forward(u, kernel, reverse_kernel):
    L = u.shape[1]
    n = good_length(2 * L - 1)
    by_u, by_kernel = jnp.fft.rfft(u.swapaxes(1, 2), n), jnp.fft.rfft(kernel, n)
    if reverse_kernel is not None:  # a kernel that runs the other way has the conjugate spectrum
        by_kernel += jnp.fft.rfft(reverse_kernel, n).conj()
    return _to_steps(by_u * by_kernel, L, n), (by_u, by_kernel, None if reverse_kernel is None else ())


def _backward(saved, y_bar):
    # JAX's own derivative of a real FFT is a complex FFT of the whole length: twice the work.
    by_u, by_kernel, both = saved
    L = y_bar.shape[1]
    n = good_length(2 * L - 1)
    by_y = jnp.fft.rfft(y_bar.swapaxes(1, 2), n)
    lags = jnp.fft.irfft((by_y * by_u.conj()).sum(0), n)
    # Lag −l has the index n − l.
    reverse_bar = None if both is None else jnp.concatenate([lags[:, :1], jnp.flip(lags[:, n - L + 1 :], 1)], axis=1)
    return _to_steps(by_y * by_kernel.conj(), L, n), lags[:, :L], reverse_bar


def _to_steps(spectrum, L, n):
    return jnp.fft.irfft(spectrum, n)[..., :L].swapaxes(1, 2)


@with_derivative(_forward, _backward)
def _convolution(u, kernel, reverse_kernel):
    return _forward(u, kernel, reverse_kernel)[0]
