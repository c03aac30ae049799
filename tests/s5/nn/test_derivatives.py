"""Batch statistics under JAX's own derivatives; the layers' are in tests/s5/models/test_family_derivatives.py."""

import functools

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


@pytest.mark.parametrize(
    ("shared", "reverse", "cut"),
    [(True, False, False), (True, True, True), (False, False, True), (False, True, False)],
    ids=["shared-forward", "shared-backward-segments", "per-step-forward-segments", "per-step-backward"],
)
def test_a_recurrence_has_second_and_third_derivatives_in_reverse(shared: bool, reverse: bool, cut: bool) -> None:
    rng = np.random.default_rng(0)
    eigenvalues = jnp.asarray(rng.normal(size=(2, 3) if shared else (2, 5, 2, 3)) / 2, jnp.float32)
    inputs = jnp.asarray(rng.normal(size=(2, 5, 2, 3)), jnp.float32)
    resets = jnp.asarray(rng.random((2, 5)) < 0.3) if cut else None

    def states(eigenvalues, inputs):
        return jnp.sin(linear_recurrence(eigenvalues, inputs, reverse, resets=resets)).sum()

    def squared_slope(function):
        return lambda *values: sum((slope**2).sum() for slope in jax.grad(function, (0, 1))(*values))

    def third(eigenvalues, inputs):
        return jax.grad(squared_slope(squared_slope(states)), (0, 1))(eigenvalues, inputs)

    by_hand = jax.grad(squared_slope(states), (0, 1))(eigenvalues, inputs), third(eigenvalues, inputs)
    with jax_derivatives():
        own = jax.grad(squared_slope(states), (0, 1))(eigenvalues, inputs), third(eigenvalues, inputs)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-3), by_hand, own)
