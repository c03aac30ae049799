"""The recurrence of oscillators, (z_k, x_k) = M_k (z_{k-1} + w_k, x_{k-1}) with real 2 × 2 matrices M_k.

z is a velocity and x a position; inputs act on velocities, and outputs are positions. All matrices are real, so the
real and the imaginary part of the inputs are two systems with the same matrices: an axis of size 2.

The matrices are not diagonalised: where their eigenvalues meet, such as both at 1 for an oscillator without a restoring
force, eigenvectors do not exist, and near this place they lose all digits.

- `sequential` computes one step after the other, for CPUs.
- `associative` combines neighbours in a tree of log L rounds, and has derivatives of both modes.
- `chunked` turns the steps within a chunk into products with triangular matrices of powers, and combines chunks in a
  tree: for long sequences on other devices, if all steps share their matrices.

The derivative is the same recurrence in the opposite direction, with a and d of M = ((a, b), (c, d)) exchanged. Two
arrays are saved for it: p_k = z_{k-1} + w_k, and the positions.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float

from s5.nn.derivatives import uses_jax_derivatives, with_derivative
from s5.nn.remat import save_for_backward
from s5.ssm.loops import put_step, run_loop, take_step
from s5.ssm.resets import resets_backward

# Steps per chunk. Within chunks the work grows with them, in the tree over chunks it shrinks.
_CHUNK = 32

Form = Callable[..., tuple[Array, Array, Array]]


def block_recurrence(
    M: Float[Array, "*axes 2 2 P"],
    w: Float[Array, "batch L 2 P"],
    reverse: bool = False,
    initial: Float[Array, "batch 2 2 P"] | None = None,
    resets: Bool[Array, "batch L"] | None = None,
) -> tuple[Float[Array, "batch L 2 P"], Float[Array, "batch 2 2 P"]]:
    """Return the positions of oscillators after each step, and the last state.

    Args:
        M: The matrix of each oscillator: (2, 2, P), or (batch, L, 2, 2, P) if every step has its own.
        w: What the input adds to each velocity: real and imaginary parts.
        reverse: Run from the last step to the first.
        initial: Velocities and positions before the first step, each with real and imaginary parts; None for zero.
        resets: True at the first step of a segment: no state passes between this step and the one before it, in
            either direction. None if each row is one segment.
    """
    if resets is not None and reverse:
        resets = resets_backward(resets)
    if initial is None:
        initial = jnp.zeros((w.shape[0], 2, *w.shape[2:]), w.dtype)
    return _recurrence(M, w, initial, resets, reverse)


def sequential(
    M: Float[Array, "*axes 2 2 P"],
    w: Float[Array, "batch L 2 P"],
    start: Float[Array, "batch 2 2 P"],
    resets: Bool[Array, "batch L"] | None,
    reverse: bool,
) -> tuple[Float[Array, "batch L 2 P"], Float[Array, "batch L 2 P"], Float[Array, "batch 2 2 P"]]:
    """Compute one step after the other.

    In this and the other form, `resets` is True at steps that do not use the previous state, where "previous" follows
    the direction of the recurrence. For the other arguments see `block_recurrence`.

    Returns:
        p and the positions of each step, and the last state.
    """
    L, shared = w.shape[1], M.ndim == 3

    def body(i, carry):
        state, p_all, x_all = carry
        k = L - 1 - i if reverse else i
        z, x = state if resets is None else _cut(state, take_step(resets, k))
        (a, b), (c, d) = M if shared else jnp.moveaxis(take_step(M, k)[..., None, :], 0, 2)
        p = z + take_step(w, k)
        z, x = a * p + b * x, c * p + d * x
        # Not over w: XLA would copy an array that a step both reads and writes in two places.
        return (z, x), put_step(p_all, p, k), put_step(x_all, x, k)

    empty = jnp.zeros_like(w)
    end, p, x = run_loop(L, body, ((start[:, 0], start[:, 1]), empty, empty))
    return p, x, jnp.stack(end, axis=1)


def associative(
    M: Float[Array, "*axes 2 2 P"],
    w: Float[Array, "batch L 2 P"],
    start: Float[Array, "batch 2 2 P"],
    resets: Bool[Array, "batch L"] | None,
    reverse: bool,
) -> tuple[Float[Array, "batch L 2 P"], Float[Array, "batch L 2 P"], Float[Array, "batch 2 2 P"]]:
    """Combine neighbours in a tree of log L rounds. See `sequential`."""
    if M.ndim == 3:
        M = jnp.broadcast_to(M, (1, w.shape[1], *M.shape))
    driven = M[..., 0, None, :] * w[:, :, None]
    if resets is not None:
        M = _cut(M, resets)
    states = _tree(M, driven, start, reverse)
    before = _shift(states, start, reverse)
    if resets is not None:
        before = _cut(before, resets)
    return before[:, :, 0] + w, states[:, :, 1], states[:, 0 if reverse else -1]


def chunked(
    M: Float[Array, "2 2 P"],
    w: Float[Array, "batch L 2 P"],
    start: Float[Array, "batch 2 2 P"],
    resets: None,
    reverse: bool,
) -> tuple[Float[Array, "batch L 2 P"], Float[Array, "batch L 2 P"], Float[Array, "batch 2 2 P"]]:
    """Compute each chunk from a zero state, combine the last states in a tree, then add each chunk's initial state.

    All steps share M, and there are no resets. See `sequential`.
    """
    if reverse:
        p, x, end = chunked(M, jnp.flip(w, 1), start, resets, False)
        return jnp.flip(p, 1), jnp.flip(x, 1), end
    batch, L, _, P = w.shape
    chunks = -(-L // _CHUNK)
    each = jnp.pad(w, ((0, 0), (0, chunks * _CHUNK - L), (0, 0), (0, 0))).reshape(batch, chunks, _CHUNK, 2, P)
    powers = lax.associative_scan(lambda one, two: _product(two, one), jnp.broadcast_to(M, (_CHUNK, *M.shape)))
    lag = jnp.arange(_CHUNK)[:, None] - jnp.arange(_CHUNK)
    within = jnp.where((lag >= 0)[..., None, None], powers[jnp.maximum(lag, 0), :, 0], 0)
    # By default accelerators multiply float32 in reduced precision, which is too coarse for states.
    inside = jnp.einsum("tsip,bcsrp->bctirp", within, each, precision=lax.Precision.HIGHEST)
    across = jnp.broadcast_to(powers[-1], (1, chunks, *M.shape))
    entering = _shift(_tree(across, inside[:, :, -1], start, False), start, False)
    states = (inside + _product(powers, entering[:, :, None])).reshape(batch, -1, 2, 2, P)[:, :L]
    return _shift(states, start, False)[:, :, 0] + w, states[:, :, 1], states[:, -1]


def sequential_adjoint(
    M: Float[Array, "*axes 2 2 P"],
    start: Float[Array, "batch 2 2 P"],
    resets: Bool[Array, "batch L"] | None,
    p: Float[Array, "batch L 2 P"],
    x: Float[Array, "batch L 2 P"],
    x_bar: Float[Array, "batch L 2 P"],
    end_bar: Float[Array, "batch 2 2 P"],
    reverse: bool,
) -> tuple[Float[Array, "*axes 2 2 P"], Float[Array, "batch L 2 P"], Float[Array, "batch 2 2 P"]]:
    """Return the loss's derivatives by M, w and start, in one pass against the direction of the recurrence.

    With s_k = (s_z, s_x), the derivative by the state after step k, the derivative by M is the sum of
    s_k (p_k, x_{k-1})ᵀ, and that by w_k is (M_kᵀ s_k)_z, which is also the z of s_{k-1}.

    Args:
        M: The matrices, which all steps share or not.
        start: The state before the first step.
        resets: The resets of the recurrence.
        p: What the recurrence returned.
        x: The positions that the recurrence returned.
        x_bar: The derivative of the loss by the positions.
        end_bar: The derivative of the loss by the last state.
        reverse: Whether the recurrence ran from the last step to the first.
    """
    if M.ndim > 3:
        return make_adjoint(sequential)(M, start, resets, p, x, x_bar, end_bar, reverse)
    L, ((a, b), (c, d)) = x.shape[1], M

    def body(i, carry):
        s, later, (by_a, by_b, by_c, by_d), w_bar = carry
        k = i if reverse else L - 1 - i
        if resets is not None:
            # In the first iteration this index is out of range and clamped: there is no step after the last one.
            following = take_step(resets, k - 1 if reverse else k + 1) & (i > 0)
            s, later = _cut(s, following), _cut(later, following)
        s_z, s_x = s[0], s[1] + take_step(x_bar, k)
        now_p, now_x = take_step(p, k), take_step(x, k)
        # Summed here, while these are in the cache. `later` waits for x_{k-1}, which the next iteration reads.
        sums = by_a + s_z * now_p, by_b + later[0] * now_x, by_c + s_x * now_p, by_d + later[1] * now_x
        before = a * s_z + c * s_x
        return (before, b * s_z + d * s_x), (s_z, s_x), sums, put_step(w_bar, before, k)

    zero = jnp.zeros_like(x[:, 0])
    carry = ((end_bar[:, 0], end_bar[:, 1]), (zero, zero), (zero,) * 4, jnp.zeros_like(x))
    s, later, sums, w_bar = run_loop(L, body, carry)
    if resets is not None:
        first = resets[:, -1 if reverse else 0]
        s, later = _cut(s, first), _cut(later, first)
    by_a, by_b, by_c, by_d = sums
    by_M = jnp.stack([by_a, by_b + later[0] * start[:, 1], by_c, by_d + later[1] * start[:, 1]]).sum((1, 2))
    return by_M.reshape(M.shape), w_bar, jnp.stack(s, axis=1)


def make_adjoint(form: Form) -> Callable[..., tuple[Array, Array, Array]]:
    """Return a function that computes the result of `sequential_adjoint` with a form of the recurrence."""

    def adjoint(M, start, resets, p, x, x_bar, end_bar, reverse):
        first = -1 if reverse else 0
        against = None if resets is None else _shift(resets, jnp.zeros_like(resets[:, 0]), not reverse)
        swapped = jnp.swapaxes(jnp.flip(M, (-3, -2)), -3, -2)
        s_x, w_bar, s = form(swapped, x_bar, jnp.flip(end_bar, 1), against, not reverse)
        s_z, before = _shift(w_bar, end_bar[:, 0], not reverse), _shift(x, start[:, 1], reverse)
        if resets is not None and against is not None:
            s_z, before, s = _cut(s_z, against), _cut(before, resets), _cut(s, resets[:, first])
        left, right = jnp.stack([s_z, s_x], axis=2), jnp.stack([p, before], axis=2)
        axes = "blirp,bljrp->" + ("ijp" if M.ndim == 3 else "blijp")
        by_M = jnp.einsum(axes, left, right, precision=lax.Precision.HIGHEST)
        return by_M, w_bar, jnp.flip(s, 1)

    return adjoint


def _cut(values: Any, resets: Array) -> Any:
    """Return arrays with zeros at resets, whose axes are the first axes of the arrays."""

    # Not a product with zero: an overflow in one segment must not reach the next segment as nan.
    def cut(array):
        return jnp.where(resets.reshape(*resets.shape, *(1,) * (array.ndim - resets.ndim)), 0, array)

    return jax.tree.map(cut, values)


def _tree(M: Array, driven: Array, start: Array, reverse: bool) -> Array:
    """Return the states after each step of s_k = M_k s_{k-1} + driven_k."""
    first = -1 if reverse else 0
    driven = driven.at[:, first].add(_product(M[:, first], start))
    combine = lambda one, two: (_product(two[0], one[0]), _product(two[0], one[1]) + two[1])  # noqa: E731
    return lax.associative_scan(combine, (M, driven), reverse=reverse, axis=1)[1]


def _product(A: Float[Array, "*#axes 2 2 P"], B: Float[Array, "*#axes 2 n P"]) -> Float[Array, "*axes 2 n P"]:
    """Return the products of matrices, one for each of P."""
    return A[..., 0, None, :] * B[..., None, 0, :, :] + A[..., 1, None, :] * B[..., None, 1, :, :]


def _shift(steps: Array, start: Array, reverse: bool) -> Array:
    """Return the values of the step before each step; `start` before the first."""
    kept = steps[:, 1:] if reverse else steps[:, :-1]
    return jnp.concatenate([kept, start[:, None]] if reverse else [start[:, None], kept], axis=1)


def _as_results(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the arguments with names, which make results of them, to be saved for a derivative.

    Inside of lax.scan, JAX 0.10 mixes up saved arguments of a function whose derivative calls it again. The compiled
    program does not change.
    """
    return jax.tree.map(lambda array: checkpoint_name(array, "argument"), arguments)


def _with_derivative_of(plain: Callable[..., Any], fast: Callable[..., Any]) -> Callable[..., Any]:
    """Return `fast` with the derivatives of `plain`, an equal function that JAX can differentiate in every order."""
    function = jax.custom_vjp(lambda reverse, *arrays: fast(*arrays, reverse), nondiff_argnums=(0,))

    def backward(reverse, arrays, bars):
        return jax.vjp(lambda *arrays: plain(*arrays, reverse), *arrays)[1](bars)

    function.defvjp(lambda reverse, *arrays: (function(reverse, *arrays), _as_results(arrays)), backward)
    return lambda *arguments: function(arguments[-1], *arguments[:-1])


@functools.cache
def _jit(function: Callable[..., Any], reverse: bool) -> Callable[..., Any]:
    """Return the jitted function, cached: it is traced once per shape, not once per layer."""
    traced = functools.partial(_call, function, reverse)
    functools.update_wrapper(traced, function)  # its name is for the profiler
    return jax.jit(traced)


def _call(function, reverse, *arrays):
    return function(*arrays, reverse)


def _choose(forms: dict[str, Callable[..., Any]]) -> Callable[..., Any]:
    """Return the function of the arguments of a form that calls the form of the platform."""

    def chosen(*arguments):
        *arrays, reverse = arguments
        fits = {"default": forms["cpu"]} if jax.default_backend() == "cpu" else forms
        return lax.platform_dependent(*arrays, **{name: _jit(form, reverse) for name, form in fits.items()})

    return chosen


def _parallel(M, w, start, resets, reverse):
    """Compute the recurrence on an accelerator, in the form that suits the size; chosen without measurements."""
    long = M.ndim == 3 and resets is None and w.shape[1] >= 32 * _CHUNK
    return (chunked if long else associative)(M, w, start, resets, reverse)


_fast = _with_derivative_of(associative, _choose({"cpu": sequential, "default": _parallel}))
_adjoint = _with_derivative_of(
    make_adjoint(associative), _choose({"cpu": sequential_adjoint, "default": make_adjoint(_parallel)})
)


def _outputs(M, w, start, resets, reverse):
    _, x, end = (associative if uses_jax_derivatives() else _fast)(M, w, start, resets, reverse)
    return x, end


def _forward(M, w, start, resets, reverse):
    p, x, end = _fast(M, w, start, resets, reverse)
    p, x = save_for_backward((p, x))
    return (x, end), (*_as_results((M, start, resets)), p, x)


def _backward(reverse, saved, bars):
    by_M, by_w, by_start = _adjoint(*saved, *bars, reverse)
    return by_M, by_w, by_start, None


_recurrence = with_derivative(_forward, _backward, nondiff_argnums=(4,))(_outputs)
