from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from s5.config.choices import Discretization
from s5.ssm.discretize import DISCRETIZE, bilinear, zoh

# From a HiPPO spectrum down to eigenvalues at which (e^z − 1)/z needs its series, and 0 itself.
LAMBDA = np.array([-0.5 + 300j, -0.5 - 2j, -4.0, -1e-2 + 1e-2j, -1e-5 - 3e-6j, 1e-9j, 0.0, 2.0 + 1j])
STEP = np.array([1e-3, 0.1, 1.0, 0.7, 0.01, 1.0, 0.3, 0.5])


def planes(values: Any) -> jax.Array:
    return jnp.asarray(np.stack([values.real, values.imag]), jnp.float32)


def numbers(planes) -> np.ndarray:
    return np.asarray(planes[0]) + 1j * np.asarray(planes[1])


def test_zoh_is_the_matrix_exponential() -> None:
    Lambda_bar, gain = (numbers(p) for p in zoh(planes(LAMBDA), jnp.asarray(STEP, jnp.float32)))
    for k, (eigenvalue, step) in enumerate(zip(LAMBDA, STEP, strict=True)):
        # The input, constant over the step, is a state whose derivative is zero.
        exact = scipy.linalg.expm(step * np.array([[eigenvalue, 1], [0, 0]]))
        assert Lambda_bar[k] == pytest.approx(exact[0, 0], rel=2e-5)
        assert gain[k] == pytest.approx(exact[0, 1], rel=2e-5)


def test_zoh_is_smooth_where_it_changes_to_its_series() -> None:
    z = np.geomspace(1e-4, 1, 400) * np.exp(1j * np.linspace(0, 50, 400))
    _, gain = zoh(planes(z), jnp.ones(z.size))
    np.testing.assert_allclose(numbers(gain), np.expm1(z) / z, rtol=1e-6)


def test_zoh_has_its_limit_and_its_derivative_at_zero() -> None:
    zero, step = jnp.zeros((2, 1)), jnp.full(1, 0.3)
    Lambda_bar, gain = zoh(zero, step)
    assert numbers(Lambda_bar) == 1
    assert numbers(gain) == pytest.approx(0.3)
    by_Lambda, by_step = jax.grad(lambda *args: zoh(*args)[1][0].sum(), (0, 1))(zero, step)
    np.testing.assert_allclose(by_Lambda[:, 0], [0.3**2 / 2, 0], rtol=1e-6)
    np.testing.assert_allclose(by_step, [1], rtol=1e-6)


def test_bilinear_is_the_trapezoidal_rule_of_the_matrix() -> None:
    Lambda_bar, gain = (numbers(p) for p in bilinear(planes(LAMBDA), jnp.asarray(STEP, jnp.float32)))
    A, step = np.diag(LAMBDA), np.diag(STEP)
    left = np.linalg.inv(np.eye(LAMBDA.size) - step @ A / 2)
    np.testing.assert_allclose(Lambda_bar, np.diag(left @ (np.eye(LAMBDA.size) + step @ A / 2)), rtol=1e-5)
    np.testing.assert_allclose(gain, np.diag(left @ step), rtol=1e-5)


@pytest.mark.parametrize("kind", Discretization)
def test_every_discretization_holds_the_steady_state(kind: Discretization) -> None:
    # A constant input of 1 settles at −1/Lambda, whatever the step.
    Lambda, step = planes(LAMBDA[:4]), jnp.asarray(STEP[:4], jnp.float32)
    Lambda_bar, gain = (numbers(p) for p in DISCRETIZE[kind](Lambda, step))
    np.testing.assert_allclose(gain / (1 - Lambda_bar), -1 / LAMBDA[:4], rtol=1e-3)
