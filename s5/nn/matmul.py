"""The product of long sequences with a small matrix; its derivative copies no sequence."""

import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from s5.nn.derivatives import with_derivative


def matmul_transposed(
    x: Float[Array, "*axes d_in"], W: Float[Array, "d_out d_in"], dtype: DTypeLike | None = None
) -> Float[Array, "*axes d_out"]:
    """Return x Wᵀ, for a matrix with one output per row; see `matmul`."""
    return _matmul(x, W, True, jnp.dtype(dtype or x.dtype))


def matmul(
    x: Float[Array, "*axes d_in"], W: Float[Array, "d_in d_out"], dtype: DTypeLike | None = None
) -> Float[Array, "*axes d_out"]:
    """Return x W, multiplied in the precision of x and added up in float32.

    JAX's own derivative by W makes XLA write a transposed copy of a whole sequence, which on a CPU costs more than
    the product.

    Args:
        x: An array whose last axis is the features.
        W: The matrix. Its derivative has the precision of W, not of x.
        dtype: Type of the result; None for the type of x.

    Returns:
        The product.
    """
    return _matmul(x, W, False, jnp.dtype(dtype or x.dtype))


def _product(x, W, transposed):
    """Contract the last axis of x with the first axis of W, or with the second if it is transposed."""
    return _contract(x, W.astype(x.dtype), (x.ndim - 1,), (int(transposed),))


def _contract(left, right, left_axes, right_axes):
    wide = jnp.promote_types(left.dtype, jnp.float32)
    return lax.dot_general(left, right, ((left_axes, right_axes), ((), ())), preferred_element_type=wide)


def _forward(x, W, transposed, dtype):
    return _product(x, W, transposed).astype(dtype), (x, W)


def _backward(transposed, dtype, saved, y_bar):
    del dtype
    x, W = saved
    y_bar = y_bar.astype(x.dtype)
    x_rows, y_rows = x.reshape(-1, x.shape[-1]), y_bar.reshape(-1, y_bar.shape[-1])
    # With the narrower matrix on the left, a CPU takes half the time; the small result is transposed afterwards.
    narrow_y = y_rows.shape[1] < x_rows.shape[1]
    by_W = _contract(*((y_rows, x_rows) if narrow_y else (x_rows, y_rows)), (0,), (0,))
    by_W = by_W.T if narrow_y != transposed else by_W
    return _product(y_bar, W, not transposed).astype(x.dtype), by_W.astype(W.dtype)


@with_derivative(_forward, _backward, nondiff_argnums=(2, 3))
def _matmul(x, W, transposed, dtype):
    return _product(x, W, transposed).astype(dtype)
