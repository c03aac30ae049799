"""The linear recurrence x_k = Lambda_bar_k x_{k-1} + Bu_k on real planes, in three forms, with one derivative.

A complex number is a pair of real planes: index 0 of the axis of size 2 is the real part, 1 the imaginary part.

- `sequential` steps through time in place. It does the least work, and a CPU runs it at every size: an iteration of
  the loop costs half a microsecond, the whole pass about as much as copying its input twice.
- `associative` combines neighbours in a tree of log L rounds.
- `chunked` turns the steps within a chunk into a product with a triangular matrix of powers, and combines chunks in a
  tree: fewer and larger operations, for devices on which starting one is the cost.

The derivative is the same recurrence run backwards; only the states are saved for it. Sources: Smith et al. 2023
(arXiv:2208.04933) for the associative form; Dao and Gu 2024 (arXiv:2405.21060) for chunks as matrix products.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from s5.nn.remat import save_for_backward

# Steps of a chunk: its matrix of powers multiplies the work by half of this, and divides the tree's by all of it.
_CHUNK = 32


def linear_recurrence(
    Lambda_bar: Float[Array, "*axes 2 P"],
    Bu: Float[Array, "batch L 2 P"],
    reverse: bool = False,
    initial: Float[Array, "batch 2 P"] | None = None,
    resets: Bool[Array, "batch L"] | None = None,
) -> Float[Array, "batch L 2 P"]:
    """Return the states of a diagonal linear recurrence, in the form that suits the platform and the size.

    Args:
        Lambda_bar: Discrete eigenvalues, as planes: (2, P), or (batch, L, 2, P) if every step has its own.
        Bu: The driven input B_bar u_k, as planes.
        reverse: Run from the last step to the first.
        initial: The state before the first step, as planes; None for zero.
        resets: True at the first step of a segment: no state passes between it and the step before, in either
            direction. None if each row is one segment.

    Returns:
        The state after each step, as planes.
    """
    if resets is not None and reverse:
        resets = jnp.pad(resets[:, 1:], ((0, 0), (0, 1)))
    if initial is not None:
        k = Bu.shape[1] - 1 if reverse else 0
        entering = multiply(Lambda_bar if Lambda_bar.ndim == 2 else Lambda_bar[:, k], initial)
        Bu = Bu.at[:, k].add(entering if resets is None else _cut(entering, resets[:, k]))
    return _recurrence(Lambda_bar, Bu, resets, reverse)


def _forms(L: int) -> dict[str, "Form"]:
    """Return the form of each platform. Only the CPU's was chosen by timing, the others by reasoning."""
    forms = {"cpu": sequential, "default": chunked if L >= 32 * _CHUNK else associative}
    # Without an accelerator the other forms are not even traced.
    return {"default": sequential} if jax.default_backend() == "cpu" else forms


def multiply(a: Float[Array, "*#axes 2 P"], x: Float[Array, "*#axes 2 P"]) -> Float[Array, "*axes 2 P"]:
    """Return the complex product of planes.

    Written with the planes of x in exchanged order, not by joining two planes: XLA then makes one vector loop of it.
    """
    sign = jnp.array([[-1], [1]], a.dtype)
    return a[..., :1, :] * x + sign * a[..., 1:, :] * jnp.flip(x, -2)


def conjugate(a: Float[Array, "*axes 2 P"]) -> Float[Array, "*axes 2 P"]:
    """Return the complex conjugate of planes."""
    return a * jnp.array([[1], [-1]], a.dtype)


def sequential(
    Lambda_bar: Float[Array, "*axes 2 P"],
    Bu: Float[Array, "batch L 2 P"],
    reverse: bool = False,
    resets: Bool[Array, "batch L"] | None = None,
) -> Float[Array, "batch L 2 P"]:
    """Step through time, each state written over the input that drove it.

    In this and the other forms `resets` is True at steps that take no state over from the step that the recurrence
    took before them, in its own direction. See `linear_recurrence`.
    """
    L, shared = Bu.shape[1], Lambda_bar.ndim == 2

    # Not unrolled: XLA would fuse the steps of one iteration and compute each of them again for every later one.
    def body(i, carry):
        x, states = carry
        k = L - 1 - i if reverse else i
        x = multiply(Lambda_bar if shared else _row(Lambda_bar, k), x)
        if resets is not None:
            x = _cut(x, _row(resets, k))
        x = x + _row(states, k)
        return x, _put(states, x, k)

    return _loop(L, body, (jnp.zeros_like(Bu[:, 0]), Bu))[1]


def associative(
    Lambda_bar: Float[Array, "*axes 2 P"],
    Bu: Float[Array, "batch L 2 P"],
    reverse: bool = False,
    resets: Bool[Array, "batch L"] | None = None,
) -> Float[Array, "batch L 2 P"]:
    """Combine neighbours in a tree of log L rounds. See `linear_recurrence`."""
    Lambda_bar = _with_resets(Lambda_bar, resets)
    return _tree(Lambda_bar if Lambda_bar.ndim > 2 else _per_step(Lambda_bar, Bu.shape[1]), Bu, reverse)[1]


def chunked(
    Lambda_bar: Float[Array, "*axes 2 P"],
    Bu: Float[Array, "batch L 2 P"],
    reverse: bool = False,
    resets: Bool[Array, "batch L"] | None = None,
) -> Float[Array, "batch L 2 P"]:
    """Solve chunks from a zero state, pass their last states on in a tree, then add what enters each chunk.

    With equal steps a chunk is a product with a matrix of powers of Lambda_bar. See `linear_recurrence`.
    """
    Lambda_bar = _with_resets(Lambda_bar, resets)
    if reverse:
        flipped = Lambda_bar if Lambda_bar.ndim == 2 else jnp.flip(Lambda_bar, 1)
        return jnp.flip(chunked(flipped, jnp.flip(Bu, 1)), 1)
    batch, L, _, P = Bu.shape
    chunks = -(-L // _CHUNK)

    def split(steps):
        padded = jnp.pad(steps, ((0, 0), (0, chunks * _CHUNK - L), (0, 0), (0, 0)))
        return padded.reshape(-1, _CHUNK, 2, P)

    if Lambda_bar.ndim == 2:
        powers = _powers(Lambda_bar, _CHUNK)
        decay, inside = powers[1:], _times_powers(powers, split(Bu))
        across = jnp.broadcast_to(decay[-1], (1, chunks, 2, P))
        decay = decay[None, None]
    else:
        decay, inside = _tree(split(Lambda_bar), split(Bu), False)
        decay = decay.reshape(batch, chunks, _CHUNK, 2, P)
        across = decay[:, :, -1]
    inside = inside.reshape(batch, chunks, _CHUNK, 2, P)
    ends = _tree(across, inside[:, :, -1], False)[1]
    entering = jnp.pad(ends[:, :-1], ((0, 0), (1, 0), (0, 0), (0, 0)))[:, :, None]
    return (inside + multiply(decay, entering)).reshape(batch, -1, 2, P)[:, :L]


def sequential_adjoint(
    Lambda_bar: Float[Array, "*axes 2 P"],
    x: Float[Array, "batch L 2 P"],
    x_bar: Float[Array, "batch L 2 P"],
    reverse: bool = False,
    resets: Bool[Array, "batch L"] | None = None,
) -> tuple[Float[Array, "*axes 2 P"], Float[Array, "batch L 2 P"]]:
    """Return the derivatives by Lambda_bar and by Bu, in one pass against the direction of the recurrence.

    s_k = x_bar_k + conj(Lambda_bar_{k+1}) s_{k+1} is the derivative by Bu_k, and conj(x_k) s_{k+1} the one by
    Lambda_bar_{k+1}, summed over batch and time if all steps share it; k + 1 is the step that the recurrence takes
    after k.

    Args:
        Lambda_bar: Discrete eigenvalues, as planes; per step or shared.
        x: The states that the recurrence returned, as planes.
        x_bar: The derivative by the states, as planes.
        reverse: Whether the recurrence ran from the last step to the first.
        resets: Those of the recurrence.

    Returns:
        Both derivatives, as planes.
    """
    L, shared = x.shape[1], Lambda_bar.ndim == 2

    def body(i, carry):
        s, by, states = carry
        k = i if reverse else L - 1 - i
        # Beyond either end the step is that of the end, and s is zero.
        following = k - 1 if reverse else k + 1
        if resets is not None:
            s = _cut(s, _row(resets, following))
        now = _row(x, k)
        if shared:
            # Summed here, while x and s lie in the cache; another pass over both costs as much as the loop.
            by = (by[0] + now * s, by[1] + now * jnp.flip(s, 1))
        else:
            by = _put(by, multiply(conjugate(now), s), following)
        a = Lambda_bar if shared else _row(Lambda_bar, following)
        s = multiply(conjugate(a), s) + _row(states, k)
        return s, by, _put(states, s, k)

    zero = jnp.zeros_like(x[:, 0])
    start = (zero, zero) if shared else jnp.zeros_like(x)
    _, by, s = _loop(L, body, (zero, start, x_bar))
    if not shared:
        return by, s
    same, crossed = by
    crossed = crossed.sum(0)
    return jnp.stack([same.sum((0, 1)), crossed[0] - crossed[1]]), s


def adjoint_of(form: "Form") -> "Adjoint":
    """Return `sequential_adjoint` computed by another form of the recurrence."""

    def adjoint(Lambda_bar, x, x_bar, reverse=False, resets=None):
        def shift(steps, by):
            """Move steps by one, to later ones for `by` = 1, against the direction of the recurrence for −1."""
            kept = steps[:, 1:] if (by > 0) == reverse else steps[:, :-1]
            return jnp.pad(kept, ((0, 0), (0, 1) if (by > 0) == reverse else (1, 0), (0, 0), (0, 0)))

        shared = Lambda_bar.ndim == 2
        if resets is not None:
            by_steps, s = adjoint(_with_resets(Lambda_bar, resets), x, x_bar, reverse)
            by_steps = _cut(by_steps, resets)
            return by_steps.sum((0, 1)) if shared else by_steps, s
        s = form(conjugate(Lambda_bar if shared else shift(Lambda_bar, -1)), x_bar, not reverse)
        by = multiply(conjugate(shift(x, 1)), s)
        return by.sum((0, 1)) if shared else by, s

    return adjoint


def _loop(count, body, start) -> Any:
    """Return `fori_loop(0, count, body, start)` as a while loop: a scan's counters are saved for a backward pass."""
    carry = (jnp.zeros((), jnp.int32), start)
    return lax.while_loop(lambda carry: carry[0] < count, lambda carry: (carry[0] + 1, body(*carry)), carry)[1]


def _row(steps, k):
    return lax.dynamic_index_in_dim(steps, k, 1, keepdims=False, allow_negative_indices=False)


def _put(steps, row, k):
    return lax.dynamic_update_index_in_dim(steps, row, k, 1, allow_negative_indices=False)


def _cut(x, resets):
    """Return states, as planes, with zero at resets."""
    # Not a product with zero: what overflowed in one segment must not reach the next one as nan.
    return jnp.where(resets[..., None, None], 0, x)


def _with_resets(Lambda_bar, resets):
    """Return Lambda_bar with zero at the steps that take no state over, which gives each step its own."""
    return Lambda_bar if resets is None else _cut(Lambda_bar, resets)


def _per_step(Lambda_bar, L):
    return jnp.broadcast_to(Lambda_bar, (1, L, *Lambda_bar.shape))


def _tree(a, b, reverse):
    """Return the products of a and the states, over axis 1."""

    def combine(first, second):
        return multiply(second[0], first[0]), multiply(second[0], first[1]) + second[1]

    return lax.associative_scan(combine, (a, b), reverse=reverse, axis=1)


def _powers(a, count):
    """Return the powers 0 … count of planes, (count + 1, 2, P)."""
    one = jnp.stack([jnp.ones_like(a[0]), jnp.zeros_like(a[0])])
    steps = jnp.concatenate([one[None], jnp.broadcast_to(a, (count, *a.shape))])
    return lax.associative_scan(multiply, steps)


def _times_powers(powers, b):
    """Return the states of chunks that start at zero: for each state, a triangular matrix times the chunk."""
    length = b.shape[1]
    lag = jnp.arange(length)[:, None] - jnp.arange(length)
    re, im = jnp.moveaxis(jnp.where((lag >= 0)[..., None, None], powers[jnp.maximum(lag, 0)], 0), 2, 0)
    # Not in the reduced precision that accelerators multiply float32 in: these are states.
    product = functools.partial(jnp.einsum, "tsp,csp->ctp", precision=lax.Precision.HIGHEST)
    b_re, b_im = b[:, :, 0], b[:, :, 1]
    return jnp.stack([product(re, b_re) - product(im, b_im), product(re, b_im) + product(im, b_re)], axis=2)


Form = Callable[..., Array]
Adjoint = Callable[..., tuple[Array, Array]]

ADJOINTS: dict[Form, Adjoint] = {
    sequential: sequential_adjoint,
    associative: adjoint_of(associative),
    chunked: adjoint_of(chunked),
}


@functools.cache
def _jit(function, reverse):
    """Trace an implementation once per shape, not once per layer."""

    def traced(*arrays):
        *values, resets = arrays
        return function(*values, reverse, resets)

    traced.__name__ = function.__name__  # for the profiler, and for the tests that count recurrences in a program
    return jax.jit(traced)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _recurrence(Lambda_bar, Bu, resets, reverse):
    forms = {platform: _jit(form, reverse) for platform, form in _forms(Bu.shape[1]).items()}
    return lax.platform_dependent(Lambda_bar, Bu, resets, **forms)


def _forward(Lambda_bar, Bu, resets, reverse):
    x = save_for_backward(_recurrence(Lambda_bar, Bu, resets, reverse))
    return x, (Lambda_bar, x, resets)


def _backward(reverse, saved, x_bar):
    Lambda_bar, x, resets = saved
    adjoints = {platform: _jit(ADJOINTS[form], reverse) for platform, form in _forms(x_bar.shape[1]).items()}
    return *lax.platform_dependent(Lambda_bar, x, x_bar, resets, **adjoints), None


_recurrence.defvjp(_forward, _backward)
