"""The convolution of long sequences with kernels of the same length, one kernel for each feature, by real FFTs.

The FFTs have the precision of the inputs, but at least float32. Their rounding errors are relative to the largest
values of a sequence: a large value changes the last digits of the outputs at all steps, also at earlier ones.
"""

import itertools

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from s5.nn.derivatives import with_derivative
from s5.nn.remat import save_for_backward

# The size of the groups of features that are convolved together: values of one padded sequence of each feature. The
# spectra of all features at once would take six times the memory of the inputs, and no less time.
_VALUES_AT_ONCE = 2**17


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


def _take(array, first, count, axis):
    return lax.dynamic_slice_in_dim(array, first, count, axis)


def _spectrum(u, first, count, n):
    """Return the real FFT of some features, (batch, count, n / 2 + 1)."""
    return jnp.fft.rfft(_take(u, first, count, 2).swapaxes(1, 2), n)


def _kernel_spectrum(kernel, reverse_kernel, first, count, n):
    spectrum = jnp.fft.rfft(_take(kernel, first, count, 0), n)
    if reverse_kernel is not None:  # a kernel that runs the other way has the conjugate spectrum
        spectrum += jnp.fft.rfft(_take(reverse_kernel, first, count, 0), n).conj()
    return spectrum


def _to_steps(spectrum, L, n):
    return jnp.fft.irfft(spectrum, n)[..., :L].swapaxes(1, 2)


def _by_groups(body, arrays, axes, n):
    """Fill arrays, group by group of features: `body` maps the first feature and the number to the parts."""
    features = arrays[0].shape[axes[0]]
    count = min(features, max(1, _VALUES_AT_ONCE // n))

    def put(i, filled):
        # The last group begins so early that it is complete, and computes some features twice.
        first = jnp.minimum(i * count, features - count)
        pairs = zip(filled, body(first, count), axes, strict=True)
        return tuple(lax.dynamic_update_slice_in_dim(array, part, first, axis) for array, part, axis in pairs)

    return body(0, count) if count == features else lax.fori_loop(0, -(-features // count), put, arrays)


def _forward(u, kernel, reverse_kernel):
    L = u.shape[1]
    n = good_length(2 * L - 1)

    def body(first, count):
        by_kernel = _kernel_spectrum(kernel, reverse_kernel, first, count, n)
        return (_to_steps(_spectrum(u, first, count, n) * by_kernel, L, n),)

    (y,) = _by_groups(body, (jnp.zeros_like(u),), (2,), n)
    return save_for_backward(y), (u, kernel, reverse_kernel)


def _backward(saved, y_bar):
    # JAX's own derivative of a real FFT is a complex FFT of the whole length: twice the work.
    u, kernel, reverse_kernel = saved
    L = u.shape[1]
    n = good_length(2 * L - 1)
    kernels = (kernel,) if reverse_kernel is None else (kernel, reverse_kernel)

    def body(first, count):
        by_y = _spectrum(y_bar, first, count, n)
        by_kernel = _kernel_spectrum(kernel, reverse_kernel, first, count, n)
        lags = jnp.fft.irfft((by_y * _spectrum(u, first, count, n).conj()).sum(0), n)
        # Lag −l has the index n − l.
        back = jnp.concatenate([lags[:, :1], jnp.flip(lags[:, n - L + 1 :], 1)], axis=1)
        return (_to_steps(by_y * by_kernel.conj(), L, n), *(lags[:, :L], back)[: len(kernels)])

    empty = tuple(map(jnp.zeros_like, (u, *kernels)))
    u_bar, *kernels_bar = _by_groups(body, empty, (2, 0, 0)[: len(empty)], n)
    return u_bar, kernels_bar[0], kernels_bar[1] if reverse_kernel is not None else None


@with_derivative(_forward, _backward)
def _convolution(u, kernel, reverse_kernel):
    return _forward(u, kernel, reverse_kernel)[0]
