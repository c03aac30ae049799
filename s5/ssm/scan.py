"""The linear recurrence x_k = Lambda_bar_k x_{k-1} + Bu_k and its derivative, implemented in three forms.

Complex numbers are stored as real arrays with an axis of size 2: index 0 is the real part, index 1 the imaginary part.

- `sequential` computes one step after the other, in place. It needs the fewest operations. A CPU uses it for every
  size: an iteration of the loop takes half a microsecond, and the whole loop about as long as copying its input twice.
- `associative` combines neighbours in a tree of log L rounds.
- `chunked` turns the steps within a chunk into a product with a triangular matrix of powers, and combines chunks in a
  tree. Its operations are fewer and larger, for devices on which starting an operation is expensive.

The derivative is the same recurrence in the opposite direction; only the states are saved for it. Sources: Smith et
al. 2023 (arXiv:2208.04933) for the associative form; Dao and Gu 2024 (arXiv:2405.21060) for chunks as matrix products.
"""

import functools
from collections.abc import Callable
from typing import cast

import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float

from s5.nn.derivatives import uses_jax_derivatives, with_derivative
from s5.nn.remat import save_for_backward
from s5.ssm.loops import put_step, run_loop, take_step
from s5.ssm.resets import resets_backward

# Steps per chunk, n. Within chunks the work grows by a factor n / 2; in the tree over chunks it shrinks by a factor n.
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
        Lambda_bar: Discrete eigenvalues: (2, P), or (batch, L, 2, P) if every step has its own.
        Bu: B_bar u_k, the input's part of each state.
        reverse: Run from the last step to the first.
        initial: The state before the first step; None for zero.
        resets: True at the first step of a segment: no state passes between this step and the one before it, in
            either direction. None if each row is one segment.

    Returns:
        The state after each step.
    """
    if resets is not None and reverse:
        resets = resets_backward(resets)
    if initial is not None:
        k = Bu.shape[1] - 1 if reverse else 0
        entering = multiply(Lambda_bar if Lambda_bar.ndim == 2 else Lambda_bar[:, k], initial)
        Bu = Bu.at[:, k].add(entering if resets is None else _cut(entering, resets[:, k]))
    return _recurrence(Lambda_bar, Bu, resets, reverse)


def _forms(L: int) -> dict[str, "Form"]:
    """Return the form for each platform. The CPU's form was chosen by measurements, the others without measurements."""
    forms = {"cpu": sequential, "default": chunked if L >= 32 * _CHUNK else associative}
    # Without an accelerator, the other forms need not be traced.
    return {"default": sequential} if jax.default_backend() == "cpu" else forms


def multiply(a: Float[Array, "*#axes 2 P"], x: Float[Array, "*#axes 2 P"]) -> Float[Array, "*axes 2 P"]:
    """Return the complex product of a and x, real and imaginary parts.

    It exchanges the two parts of x instead of joining two results: XLA then compiles the product to one vector loop.
    """
    sign = jnp.array([[-1], [1]], a.dtype)
    return a[..., :1, :] * x + sign * a[..., 1:, :] * jnp.flip(x, -2)


def conjugate(a: Float[Array, "*axes 2 P"]) -> Float[Array, "*axes 2 P"]:
    """Return the complex conjugate of a, real and imaginary parts."""
    return a * jnp.array([[1], [-1]], a.dtype)


def sequential(
    Lambda_bar: Float[Array, "*axes 2 P"],
    Bu: Float[Array, "batch L 2 P"],
    reverse: bool = False,
    resets: Bool[Array, "batch L"] | None = None,
) -> Float[Array, "batch L 2 P"]:
    """Compute the states one step after the other; each state overwrites the input of its step.

    In this and the other forms, `resets` is True at steps that do not use the previous state, where "previous" follows
    the direction of the recurrence. For the other arguments see `linear_recurrence`.
    """
    L, shared = Bu.shape[1], Lambda_bar.ndim == 2

    # Not unrolled: XLA would fuse the steps of an iteration and compute each step again for every later step.
    def body(i, carry):
        x, states = carry
        k = L - 1 - i if reverse else i
        x = multiply(Lambda_bar if shared else take_step(Lambda_bar, k), x)
        if resets is not None:
            x = _cut(x, take_step(resets, k))
        x = x + take_step(states, k)
        return x, put_step(states, x, k)

    return run_loop(L, body, (jnp.zeros_like(Bu[:, 0]), Bu))[1]


def associative(
    Lambda_bar: Float[Array, "*axes 2 P"],
    Bu: Float[Array, "batch L 2 P"],
    reverse: bool = False,
    resets: Bool[Array, "batch L"] | None = None,
) -> Float[Array, "batch L 2 P"]:
    """Compute the states by combining neighbours in a tree of log L rounds. See `sequential`."""
    Lambda_bar = _with_resets(Lambda_bar, resets)
    return _tree(Lambda_bar if Lambda_bar.ndim > 2 else _per_step(Lambda_bar, Bu.shape[1]), Bu, reverse)[1]


def chunked(
    Lambda_bar: Float[Array, "*axes 2 P"],
    Bu: Float[Array, "batch L 2 P"],
    reverse: bool = False,
    resets: Bool[Array, "batch L"] | None = None,
) -> Float[Array, "batch L 2 P"]:
    """Compute each chunk from a zero state, combine the last states in a tree, then add each chunk's initial state.

    If all steps share Lambda_bar, a chunk is a product with a matrix of its powers. See `sequential`.
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
    """Return the loss's derivatives by Lambda_bar and Bu, in one pass against the direction of the recurrence.

    The derivative by Bu_k is s_k = x_bar_k + conj(Lambda_bar_{k+1}) s_{k+1}. The derivative by Lambda_bar_{k+1} is
    conj(x_k) s_{k+1}, summed over batch and time if all steps share Lambda_bar. Step k + 1 is the step that the
    recurrence takes after step k.

    Args:
        Lambda_bar: Discrete eigenvalues, per step or shared.
        x: The states that the recurrence returned.
        x_bar: The derivative of the loss by the states.
        reverse: Whether the recurrence ran from the last step to the first.
        resets: The resets of the recurrence.

    Returns:
        The derivative by Lambda_bar and the derivative by Bu.
    """
    L, shared = x.shape[1], Lambda_bar.ndim == 2

    def body(i, carry):
        s, by, states = carry
        k = i if reverse else L - 1 - i
        # In the first iteration this index is out of range. JAX clamps it, and s is still zero.
        following = k - 1 if reverse else k + 1
        if resets is not None:
            s = _cut(s, take_step(resets, following))
        now = take_step(x, k)
        if shared:
            # Summed here, while x and s are in the cache; another pass over both would take as long as the loop.
            by = (by[0] + now * s, by[1] + now * jnp.flip(s, 1))
        else:
            by = put_step(by, multiply(conjugate(now), s), following)
        a = Lambda_bar if shared else take_step(Lambda_bar, following)
        s = multiply(conjugate(a), s) + take_step(states, k)
        return s, by, put_step(states, s, k)

    zero = jnp.zeros_like(x[:, 0])
    start = (zero, zero) if shared else jnp.zeros_like(x)
    _, by, s = run_loop(L, body, (zero, start, x_bar))
    if not shared:
        return by, s
    same, crossed = by
    crossed = crossed.sum(0)
    return jnp.stack([same.sum((0, 1)), crossed[0] - crossed[1]]), s


def make_adjoint(form: "Form") -> "Adjoint":
    """Return a function that computes the result of `sequential_adjoint` with another form of the recurrence."""

    def adjoint(Lambda_bar, x, x_bar, reverse=False, resets=None):
        def shift(steps, by):
            """Shift by one step in the recurrence's direction (`by` = 1) or against it (−1); fill with zeros."""
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


def _cut(x, resets):
    """Return x, states or eigenvalues, with zeros at resets."""
    # Not a product with zero: an overflow in one segment must not reach the next segment as nan.
    return jnp.where(resets[..., None, None], 0, x)


def _with_resets(Lambda_bar, resets):
    """Return Lambda_bar with zeros at resets, so that each step has its own; without resets return it unchanged."""
    return Lambda_bar if resets is None else _cut(Lambda_bar, resets)


def _per_step(Lambda_bar, L):
    return jnp.broadcast_to(Lambda_bar, (1, L, *Lambda_bar.shape))


def _tree(a, b, reverse):
    """Return the cumulative products of a, and the states, along axis 1."""

    def combine(first, second):
        return multiply(second[0], first[0]), multiply(second[0], first[1]) + second[1]

    return lax.associative_scan(combine, (a, b), reverse=reverse, axis=1)


def _powers(a, count):
    """Return the complex powers 0 … count of a, (count + 1, 2, P)."""
    one = jnp.stack([jnp.ones_like(a[0]), jnp.zeros_like(a[0])])
    steps = jnp.concatenate([one[None], jnp.broadcast_to(a, (count, *a.shape))])
    return lax.associative_scan(multiply, steps)


def _times_powers(powers, b):
    """Return the states of chunks that start from zero: a triangular matrix of powers times each chunk."""
    length = b.shape[1]
    lag = jnp.arange(length)[:, None] - jnp.arange(length)
    re, im = jnp.moveaxis(jnp.where((lag >= 0)[..., None, None], powers[jnp.maximum(lag, 0)], 0), 2, 0)
    # By default accelerators multiply float32 in reduced precision, which is too coarse for states.
    product = functools.partial(jnp.einsum, "tsp,csp->ctp", precision=lax.Precision.HIGHEST)
    b_re, b_im = b[:, :, 0], b[:, :, 1]
    return jnp.stack([product(re, b_re) - product(im, b_im), product(re, b_im) + product(im, b_re)], axis=2)


Form = Callable[..., Array]
Adjoint = Callable[..., tuple[Array, Array]]

ADJOINTS: dict[Form, Adjoint] = {
    sequential: sequential_adjoint,
    associative: make_adjoint(associative),
    chunked: make_adjoint(chunked),
}


@functools.cache
def _jit(function, reverse):
    """Return the jitted function, cached: it is traced once per shape, not once per layer."""

    def traced(*arrays):
        *values, resets = arrays
        return function(*values, reverse, resets)

    traced.__name__ = function.__name__  # for the profiler, and for the tests that count recurrences in a program
    return jax.jit(traced)


def _states(Lambda_bar, Bu, resets, reverse):
    if uses_jax_derivatives():
        return associative(Lambda_bar, Bu, reverse, resets)
    forms = {platform: _jit(form, reverse) for platform, form in _forms(Bu.shape[1]).items()}
    return lax.platform_dependent(Lambda_bar, Bu, resets, **forms)


def _forward(Lambda_bar, Bu, resets, reverse):
    # Not _states: a second derivative differentiates this function too.
    x = save_for_backward(_recurrence(Lambda_bar, Bu, resets, reverse))
    # The names make results of the arguments: inside of lax.scan, JAX 0.10 mixes up saved arguments of a function whose
    # derivative calls it again. The compiled program does not change.
    saved = jax.tree.map(lambda array: checkpoint_name(array, "argument"), (Lambda_bar, resets))
    return x, (*saved, x)


def _backward(reverse, saved, x_bar):
    Lambda_bar, resets, x = saved
    by_Lambda_bar, by_Bu = cast("tuple[Array, Array]", _adjoint(Lambda_bar, x, resets, x_bar, reverse))
    return by_Lambda_bar, by_Bu, None


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _adjoint(Lambda_bar, x, resets, x_bar, reverse):
    adjoints = {platform: _jit(ADJOINTS[form], reverse) for platform, form in _forms(x_bar.shape[1]).items()}
    return lax.platform_dependent(Lambda_bar, x, x_bar, resets, **adjoints)


def _adjoint_forward(Lambda_bar, x, resets, x_bar, reverse):
    return _adjoint(Lambda_bar, x, resets, x_bar, reverse), (Lambda_bar, x, resets, x_bar)


def _adjoint_backward(reverse, saved, bars):
    """Differentiate the adjoint written with a recurrence, which has a derivative; the adjoint's loop has none."""
    Lambda_bar, x, resets, x_bar = saved
    again = make_adjoint(lambda Lambda_bar, Bu, reverse: _recurrence(Lambda_bar, Bu, None, reverse))
    _, backward = jax.vjp(lambda *values: again(*values, reverse, resets), Lambda_bar, x, x_bar)
    by_Lambda_bar, by_x, by_x_bar = backward(bars)
    return by_Lambda_bar, by_x, None, by_x_bar


_adjoint.defvjp(_adjoint_forward, _adjoint_backward)
_recurrence = with_derivative(_forward, _backward, nondiff_argnums=(3,))(_states)
