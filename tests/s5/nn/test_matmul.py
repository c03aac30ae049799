from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s5.nn.matmul import matmul, matmul_transposed


def draw(*shape: Any) -> jax.Array:
    return jnp.asarray(np.random.default_rng(len(shape)).standard_normal(shape), jnp.float32)


@pytest.mark.parametrize("transposed", [False, True], ids=["matmul", "transposed"])
def test_product_and_its_derivatives_are_those_of_jax(transposed: bool) -> None:
    x, W, y_bar = draw(3, 5, 4), draw(4, 2), draw(3, 5, 2)
    got, pull = jax.vjp(lambda x, W: matmul_transposed(x, W.T) if transposed else matmul(x, W), x, W)
    want, plain = jax.vjp(lambda x, W: x @ W, x, W)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    for one, other in zip(pull(y_bar), plain(y_bar), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_half_precision_is_added_up_in_float32_and_leaves_the_matrix_its_own() -> None:
    x, W = jnp.ones((1, 4096), jnp.bfloat16), jnp.ones((4096, 1))
    assert matmul(x, W).dtype == jnp.bfloat16
    # bfloat16 cannot hold 4097, and a sum of ones in bfloat16 stops at 256.
    y, pull = jax.vjp(lambda x, W: matmul(x, W, jnp.float32), jnp.ones((1, 4097), jnp.bfloat16), jnp.ones((4097, 1)))
    assert y == 4097
    by_x, by_W = pull(jnp.ones_like(y))
    assert (by_x.dtype, by_W.dtype) == (jnp.bfloat16, jnp.float32)
