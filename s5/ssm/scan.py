"""The linear recurrence x_k = Lambda_bar x_{k-1} + Bu_k on real planes, and its derivative: the same, run backwards.

A complex number is a pair of real planes: index 0 of the axis of size 2 is the real part, 1 the imaginary part. Only
the states are kept for the derivative. Source: Smith et al. 2023 (arXiv:2208.04933) for the associative form.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def linear_recurrence(
    Lambda_bar: Float[Array, "*axes 2 P"],
    Bu: Float[Array, "batch L 2 P"],
    reverse: bool = False,
    initial: Float[Array, "batch 2 P"] | None = None,
) -> Float[Array, "batch L 2 P"]:
    """Return the states of a diagonal linear recurrence.

    Args:
        Lambda_bar: Discrete eigenvalues, as planes: (2, P), or (batch, L, 2, P) where every step has its own.
        Bu: The driven input B_bar u_k, as planes.
        reverse: Run from the last step to the first.
        initial: The state before the first step, as planes; None for zero.

    Returns:
        The state after each step, as planes.
    """
    if initial is not None:
        Bu = _enter(Lambda_bar, Bu, initial, -1 if reverse else 0)
    if Lambda_bar.ndim > 2:
        return _irregular(Lambda_bar, Bu, reverse)
    return _regular(Lambda_bar, Bu, reverse)


def _enter(Lambda_bar, Bu, initial, k):
    """Add what is left of the initial state to the first driven input."""
    re, im = jnp.moveaxis(Lambda_bar if Lambda_bar.ndim == 2 else Lambda_bar[:, k], -2, 0)
    x_re, x_im = initial[:, 0], initial[:, 1]
    return Bu.at[:, k].add(jnp.stack([re * x_re - im * x_im, re * x_im + im * x_re], axis=1))


def _irregular(Lambda_bar, Bu, reverse):
    def combine(first, second):
        (a_re, a_im, b_re, b_im), (c_re, c_im, d_re, d_im) = first, second
        return (
            c_re * a_re - c_im * a_im,
            c_re * a_im + c_im * a_re,
            c_re * b_re - c_im * b_im + d_re,
            c_re * b_im + c_im * b_re + d_im,
        )

    start = (*jnp.moveaxis(Lambda_bar, 2, 0), *jnp.moveaxis(Bu, 2, 0))
    *_, x_re, x_im = lax.associative_scan(combine, start, reverse=reverse, axis=1)
    return jnp.stack([x_re, x_im], axis=2)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _regular(
    Lambda_bar: Float[Array, "2 P"], Bu: Float[Array, "batch L 2 P"], reverse: bool
) -> Float[Array, "batch L 2 P"]:
    cpu, default = _jit(sequential, reverse), _jit(associative, reverse)
    return lax.platform_dependent(Lambda_bar, Bu, cpu=cpu, default=default)


def sequential(
    Lambda_bar: Float[Array, "2 P"], Bu: Float[Array, "batch L 2 P"], reverse: bool = False
) -> Float[Array, "batch L 2 P"]:
    """Step through time: the least work, best where little runs in parallel. See `linear_recurrence`."""
    re, im = Lambda_bar

    # Not unrolled: XLA would fuse the steps of one turn and compute each of them again for every later one.
    def step(x, b):
        x = (re * x[0] - im * x[1] + b[:, 0], re * x[1] + im * x[0] + b[:, 1])
        return x, jnp.stack(x, axis=1)

    zero = jnp.zeros_like(Bu[:, 0, 0])
    _, x = lax.scan(step, (zero, zero), Bu.swapaxes(0, 1), reverse=reverse)
    return x.swapaxes(0, 1)


def associative(
    Lambda_bar: Float[Array, "2 P"], Bu: Float[Array, "batch L 2 P"], reverse: bool = False
) -> Float[Array, "batch L 2 P"]:
    """Combine neighbours in a tree of log L rounds, best on accelerators. See `linear_recurrence`."""

    def combine(first, second):
        (a_re, a_im, b_re, b_im), (c_re, c_im, d_re, d_im) = first, second
        return (
            c_re * a_re - c_im * a_im,
            c_re * a_im + c_im * a_re,
            c_re * b_re - c_im * b_im + d_re,
            c_re * b_im + c_im * b_re + d_im,
        )

    re, im = (jnp.broadcast_to(plane, (1, Bu.shape[1], plane.shape[0])) for plane in Lambda_bar)
    *_, x_re, x_im = lax.associative_scan(combine, (re, im, Bu[:, :, 0], Bu[:, :, 1]), reverse=reverse, axis=1)
    return jnp.stack([x_re, x_im], axis=2)


def sequential_adjoint(
    Lambda_bar: Float[Array, "2 P"],
    x: Float[Array, "batch L 2 P"],
    x_bar: Float[Array, "batch L 2 P"],
    reverse: bool = False,
) -> tuple[Float[Array, "2 P"], Float[Array, "batch L 2 P"]]:
    """Return the derivatives by Lambda_bar and by Bu, in one pass against the direction of the recurrence.

    s_k = x_bar_k + conj(Lambda_bar) s_{k+1} is the derivative by Bu_k, and sum_k conj(x_k) s_{k+1} over batch and
    time the one by Lambda_bar, where k + 1 is the step that the recurrence takes after k.

    Args:
        Lambda_bar: Discrete eigenvalues, as planes.
        x: The states that the recurrence returned, as planes.
        x_bar: The derivative by the states, as planes.
        reverse: Whether the recurrence ran from the last step to the first.

    Returns:
        Both derivatives, as planes.
    """
    re, im = Lambda_bar

    def step(carry, now):
        (s_re, s_im), (by_re, by_im) = carry
        x, b = now
        # Summed here, where x and s lie in the cache; a pass of its own over both costs as much as the loop.
        by_re += (x[:, 0] * s_re + x[:, 1] * s_im).sum(0)
        by_im += (x[:, 0] * s_im - x[:, 1] * s_re).sum(0)
        s = (re * s_re + im * s_im + b[:, 0], re * s_im - im * s_re + b[:, 1])
        return (s, (by_re, by_im)), jnp.stack(s, axis=1)

    zero = jnp.zeros_like(x[:, 0, 0])
    start = ((zero, zero), (zero[0], zero[0]))
    (_, by), s = lax.scan(step, start, (x.swapaxes(0, 1), x_bar.swapaxes(0, 1)), reverse=not reverse)
    return jnp.stack(by), s.swapaxes(0, 1)


def associative_adjoint(
    Lambda_bar: Float[Array, "2 P"],
    x: Float[Array, "batch L 2 P"],
    x_bar: Float[Array, "batch L 2 P"],
    reverse: bool = False,
) -> tuple[Float[Array, "2 P"], Float[Array, "batch L 2 P"]]:
    """Return what `sequential_adjoint` returns, by the associative scan."""
    s = associative(jnp.stack([Lambda_bar[0], -Lambda_bar[1]]), x_bar, not reverse)
    (x_re, x_im), (s_re, s_im) = (
        jnp.moveaxis(planes, 2, 0) for planes in ((x[:, 1:], s[:, :-1]) if reverse else (x[:, :-1], s[:, 1:]))
    )
    by = jnp.stack([(x_re * s_re + x_im * s_im).sum((0, 1)), (x_re * s_im - x_im * s_re).sum((0, 1))])
    return by, s


@functools.cache
def _jit(function, reverse):
    """Trace an implementation once per shape, not once per layer."""
    return jax.jit(functools.partial(function, reverse=reverse))


def _forward(Lambda_bar, Bu, reverse):
    x = _regular(Lambda_bar, Bu, reverse)
    return x, (Lambda_bar, x)


def _backward(reverse, saved, x_bar):
    cpu, default = _jit(sequential_adjoint, reverse), _jit(associative_adjoint, reverse)
    return lax.platform_dependent(*saved, x_bar, cpu=cpu, default=default)


_regular.defvjp(_forward, _backward)
