"""Hand-written derivatives, and a switch to the derivatives that JAX itself derives.

The hand-written ones are fast and save memory, and have every order, but only in reverse mode: penalties on gradients
and `jax.jacrev(jax.jacrev(f))` work. `jax.jvp`, `jax.jacfwd` and `jax.hessian` use forward mode, and need those of JAX.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax

_uses_jax = ContextVar("uses_jax_derivatives", default=False)


@contextmanager
def jax_derivatives() -> Iterator[None]:
    """Trace models with derivatives of both modes, which are slower than the hand-written ones.

    Use it inside the function that is differentiated. A function that `jax.jit` has traced before is not traced again,
    and keeps the derivatives that it has:

        def loss(params):
            with s5.jax_derivatives():
                return nnx.merge(graphdef, params, rest)(inputs, train=False).sum()

        jax.hessian(loss)(params)
    """
    before = _uses_jax.set(True)
    try:
        yield
    finally:
        _uses_jax.reset(before)


def uses_jax_derivatives() -> bool:
    """Return whether the code is inside `jax_derivatives`."""
    return _uses_jax.get()


def with_derivative(
    forward: Callable[..., Any], backward: Callable[..., Any], nondiff_argnums: tuple[int, ...] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that gives a function a hand-written derivative, used outside of `jax_derivatives`.

    Args:
        forward: As for `jax.custom_vjp.defvjp`.
        backward: As for `jax.custom_vjp.defvjp`.
        nondiff_argnums: As for `jax.custom_vjp`.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        fast = jax.custom_vjp(function, nondiff_argnums=nondiff_argnums)
        fast.defvjp(forward, backward)

        @functools.wraps(function)
        def call(*arguments: Any) -> Any:
            return function(*arguments) if uses_jax_derivatives() else fast(*arguments)

        return call

    return decorate
