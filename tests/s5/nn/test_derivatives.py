"""Batch statistics under JAX's own derivatives; the layers' are in tests/s5/models/test_families.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s5.nn.derivatives import jax_derivatives, uses_jax_derivatives
from s5.nn.norm import normalize
from s5.ssm.scan import linear_recurrence

MASK = jnp.array([[True, True, True], [True, True, False]])


@pytest.mark.parametrize("mask", [None, MASK], ids=["full", "padded"])
def test_batch_statistics_have_the_same_derivative_in_both_ways(mask) -> None:
    rng = np.random.default_rng(0)
    x, weights = (jnp.asarray(rng.standard_normal((2, 3, 4)) + 5, jnp.float32) for _ in range(2))
    scale, bias = jnp.linspace(0.5, 2, 4), jnp.linspace(-1, 1, 4)

    def loss(x, scale, bias):
        y, mean, var = normalize(x, scale, bias, mask)
        valid = y if mask is None else jnp.where(mask[..., None], y, 0)
        return (jnp.sin(valid) * weights).sum() + mean.sum() + var.sum()

    by_hand = jax.grad(loss, (0, 1, 2))(x, scale, bias)
    with jax_derivatives():
        own = jax.grad(loss, (0, 1, 2))(x, scale, bias)
        hessian = jax.hessian(loss)(x, scale, bias)
    for one, other in zip(by_hand, own, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
    assert hessian.shape == (*x.shape, *x.shape) and jnp.isfinite(hessian).all()


def test_the_switch_is_off_again_after_an_error() -> None:
    with pytest.raises(RuntimeError), jax_derivatives():
        assert uses_jax_derivatives()
        raise RuntimeError
    assert not uses_jax_derivatives()


@pytest.mark.parametrize("shared", [True, False])
def test_a_second_derivative_without_the_switch_says_what_to_do(shared: bool) -> None:
    rng = np.random.default_rng(0)
    eigenvalues = jnp.asarray(rng.normal(size=(2, 3) if shared else (2, 5, 2, 3)), jnp.float32)
    inputs = jnp.asarray(rng.normal(size=(2, 5, 2, 3)), jnp.float32)

    def slope(inputs):
        return jax.grad(lambda inputs: (linear_recurrence(eigenvalues, inputs) ** 2).sum())(inputs)

    def penalty(inputs):
        return (slope(inputs) ** 2).sum()

    assert jnp.isfinite(slope(inputs)).all()
    with pytest.raises(ValueError, match=r"only once, in reverse: .* inside `with s5\.jax_derivatives\(\):`"):
        jax.grad(penalty)(inputs)
    with jax_derivatives():
        assert jnp.isfinite(jax.grad(penalty)(inputs)).all()
