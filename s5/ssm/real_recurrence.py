"""The recurrence x_k = a_k x_{k-1} + b_k of real numbers, with a factor of its own at each step.

A CPU computes one step after the other, in place; other platforms combine neighbours in a tree of log L rounds. The
derivative is the same recurrence in the opposite direction, and only the states are saved for it. `s5.ssm.scan` has the
recurrence of complex numbers.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float

from s5.nn.derivatives import uses_jax_derivatives, with_derivative
from s5.nn.remat import save_for_backward
from s5.ssm.loops import put_step, run_loop, take_step
from s5.ssm.resets import resets_backward


def real_recurrence(
    a: Float[Array, "batch L P"],
    b: Float[Array, "batch L P"],
    reverse: bool = False,
    initial: Float[Array, "batch P"] | None = None,
    resets: Bool[Array, "batch L"] | None = None,
) -> Float[Array, "batch L P"]:
    """Return the states of a recurrence, in the form that suits the platform.

    Args:
        a: The factor of the state at each step.
        b: The input's part of each state.
        reverse: Run from the last step to the first.
        initial: The state before the first step; None for zero.
        resets: True at the first step of a segment: no state passes between this step and the one before it, in
            either direction. None if each row is one segment.

    Returns:
        The state after each step.
    """
    if resets is not None:
        cut = resets_backward(resets) if reverse else resets
        a = jnp.where(cut[..., None], 0, a)
    if initial is not None:
        k = b.shape[1] - 1 if reverse else 0
        b = b.at[:, k].add(a[:, k] * initial)
    return _recurrence(a, b, reverse)


def _sequential(a, b, reverse):
    L = b.shape[1]

    def body(i, carry):
        x, states = carry
        k = L - 1 - i if reverse else i
        x = take_step(a, k) * x + take_step(states, k)
        return x, put_step(states, x, k)

    return run_loop(L, body, (jnp.zeros_like(b[:, 0]), b))[1]


def _associative(a, b, reverse):
    def combine(first, second):
        return second[0] * first[0], second[0] * first[1] + second[1]

    return lax.associative_scan(combine, (a, b), reverse=reverse, axis=1)[1]


@functools.cache
def _jit(form: Callable[..., Array], reverse: bool) -> Callable[..., Array]:
    """Return the jitted form, cached: it is traced once per shape, not once per layer."""
    return jax.jit(functools.partial(form, reverse=reverse))


def _states(a, b, reverse):
    if uses_jax_derivatives():
        return _associative(a, b, reverse)
    forms = {"cpu": _sequential, "default": _associative}
    if jax.default_backend() == "cpu":  # the other form need not be traced
        forms = {"default": _sequential}
    return lax.platform_dependent(a, b, **{platform: _jit(form, reverse) for platform, form in forms.items()})


def _forward(a, b, reverse):
    x = save_for_backward(_recurrence(a, b, reverse))
    # The name makes a result of the argument: inside of lax.scan, JAX 0.10 mixes up saved arguments of a function whose
    # derivative calls it again. The compiled program does not change.
    return x, (checkpoint_name(a, "argument"), x)


def _backward(reverse, saved, x_bar):
    a, x = saved
    # Step k + 1 is the step that the recurrence takes after step k.
    ahead, behind = ((0, 0), (1, 0), (0, 0)), ((0, 0), (0, 1), (0, 0))
    if reverse:
        following, previous = jnp.pad(a[:, :-1], ahead), jnp.pad(x[:, 1:], behind)
    else:
        following, previous = jnp.pad(a[:, 1:], behind), jnp.pad(x[:, :-1], ahead)
    by_b = _recurrence(following, x_bar, not reverse)
    return previous * by_b, by_b


_recurrence = with_derivative(_forward, _backward, nondiff_argnums=(2,))(_states)
