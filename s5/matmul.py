"""The product of long sequences with a small matrix, with a derivative that copies nothing."""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float


def matmul(
    x: Float[Array, "*axes d_in"], W: Float[Array, "d_in d_out"], dtype: DTypeLike | None = None
) -> Float[Array, "*axes d_out"]:
    """Return x W, multiplied in the precision of x and added up in float32.

    JAX's own derivative by W makes XLA write a transposed copy of a whole sequence, which on a CPU costs more than
    the product.

    Args:
        x: Anything whose last axis is the features.
        W: The matrix; its derivative has its own precision, whatever that of x.
        dtype: Type of the result; None for that of x.

    Returns:
        The product.
    """
    return _matmul(x, W, jnp.dtype(dtype or x.dtype))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _matmul(x, W, dtype):
    return _product(x, W.astype(x.dtype)).astype(dtype)


def _product(x, W):
    return jnp.matmul(x, W, preferred_element_type=jnp.promote_types(x.dtype, jnp.float32))


def _forward(x, W, dtype):
    return _matmul(x, W, dtype), (x, W)


def _backward(dtype, saved, y_bar):
    del dtype
    x, W = saved
    y_bar = y_bar.astype(x.dtype)
    rows, y_rows = x.reshape(-1, x.shape[-1]), y_bar.reshape(-1, y_bar.shape[-1])
    wide = jnp.promote_types(x.dtype, jnp.float32)
    by_W = lax.dot_general(rows, y_rows, (((0,), (0,)), ((), ())), preferred_element_type=wide)
    return _product(y_bar, W.astype(x.dtype).T).astype(x.dtype), by_W.astype(W.dtype)


_matmul.defvjp(_forward, _backward)
