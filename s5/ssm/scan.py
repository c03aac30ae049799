"""The linear recurrence x_k = Lambda_bar x_{k-1} + Bu_k, on real planes, with its adjoint as the derivative.

A complex number is a pair of real planes: index 0 of the axis of size 2 is the real part, 1 the imaginary part.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

# Steps per turn of the sequential loop; see benchmarks in the module's tests' neighbours.
_UNROLL = 4


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def linear_recurrence(
    Lambda_bar: Float[Array, "2 P"], Bu: Float[Array, "batch L 2 P"], reverse: bool = False
) -> Float[Array, "batch L 2 P"]:
    """Return the states of a diagonal linear recurrence that starts at zero.

    Args:
        Lambda_bar: Discrete eigenvalues, as planes.
        Bu: The driven input B_bar u_k, as planes.
        reverse: Run from the last step to the first.

    Returns:
        The state after each step, as planes.
    """
    return lax.platform_dependent(
        Lambda_bar,
        Bu,
        cpu=functools.partial(sequential, reverse=reverse),
        default=functools.partial(associative, reverse=reverse),
    )


def sequential(Lambda_bar: Float[Array, "2 P"], Bu: Float[Array, "batch L 2 P"], reverse: bool) -> Array:
    """Step through time: the least work, best where nothing runs in parallel."""
    re, im = Lambda_bar

    def step(x, b):
        x = (re * x[0] - im * x[1] + b[:, 0], re * x[1] + im * x[0] + b[:, 1])
        return x, jnp.stack(x, axis=1)

    zero = jnp.zeros_like(Bu[:, 0, 0])
    _, x = lax.scan(step, (zero, zero), Bu.swapaxes(0, 1), reverse=reverse, unroll=_UNROLL)
    return x.swapaxes(0, 1)


def associative(Lambda_bar: Float[Array, "2 P"], Bu: Float[Array, "batch L 2 P"], reverse: bool) -> Array:
    """Combine neighbours in a tree: log L rounds, best on accelerators."""

    def combine(first, second):
        (a_re, a_im, b_re, b_im), (c_re, c_im, d_re, d_im) = first, second
        return (
            c_re * a_re - c_im * a_im,
            c_re * a_im + c_im * a_re,
            c_re * b_re - c_im * b_im + d_re,
            c_re * b_im + c_im * b_re + d_im,
        )

    L = Bu.shape[1]
    re, im = (jnp.broadcast_to(plane, (1, L, plane.shape[0])) for plane in Lambda_bar)
    *_, x_re, x_im = lax.associative_scan(combine, (re, im, Bu[:, :, 0], Bu[:, :, 1]), reverse=reverse, axis=1)
    return jnp.stack([x_re, x_im], axis=2)


def _forward(Lambda_bar, Bu, reverse):
    x = linear_recurrence(Lambda_bar, Bu, reverse)
    return x, (Lambda_bar, x)


def _backward(reverse, saved, x_bar):
    """The adjoint s_k = x_bar_k + conj(Lambda_bar) s_{k+1} is the same recurrence, run the other way."""
    Lambda_bar, x = saved
    s = linear_recurrence(Lambda_bar * jnp.array([[1.0], [-1.0]], Lambda_bar.dtype), x_bar, not reverse)
    # The derivative by Lambda_bar is the sum of conj(x_{k-1}) s_k over batch and time.
    before, after = (x[:, 1:], s[:, :-1]) if reverse else (x[:, :-1], s[:, 1:])
    by_re = jnp.einsum("blcp,blcp->p", before, after)
    by_im = jnp.einsum("blp,blp->p", before[:, :, 0], after[:, :, 1]) - jnp.einsum(
        "blp,blp->p", before[:, :, 1], after[:, :, 0]
    )
    return jnp.stack([by_re, by_im]), s


linear_recurrence.defvjp(_forward, _backward)
