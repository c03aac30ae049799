from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from s5.nn.steps import Steps
from s5.ssm.lru import LRU

batch, L, H, P = 3, 11, 6, 4
TIMES = np.cumsum(np.random.default_rng(5).integers(1, 4, (batch, L)), axis=1)


def layer(**options: Any) -> LRU:
    return LRU(H, P, rngs=np.random.default_rng(0), **options)


def inputs(steps=L):
    return jnp.asarray(np.random.default_rng(1).standard_normal((batch, steps, H)), jnp.float32)


def float64(lru) -> dict[str, np.ndarray]:
    return {name: np.asarray(value, np.float64) for name, value in nnx.to_pure_dict(nnx.state(lru)).items()}


def definition(lru, u: jax.Array | np.ndarray) -> np.ndarray:
    """The paper's equations, one step after the other, in float64."""
    p, u = float64(lru), np.asarray(u, np.float64)
    Lambda = np.exp(-np.exp(p["nu"]) + 1j * np.exp(p["theta"]))
    B, C = np.exp(p["gamma_log"])[:, None] * (p["B_re"] + 1j * p["B_im"]), p["C_re"] + 1j * p["C_im"]
    y = p["D"] * u
    for direction, columns in enumerate(np.split(C, C.shape[1] // P, axis=1)):
        x = np.zeros((batch, P), complex)
        for k in reversed(range(u.shape[1])) if direction else range(u.shape[1]):
            x = Lambda * x + u[:, k] @ B.T
            y[:, k] += (x @ columns.T).real
    return y


@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
def test_layer_is_the_definition(bidirectional: bool) -> None:
    lru, u = layer(bidirectional=bidirectional, r_min=0.5, r_max=0.99), inputs()
    np.testing.assert_allclose(lru(u), definition(lru, u), rtol=1e-4, atol=1e-5)


def test_an_interval_is_as_many_steps_of_which_the_last_has_an_input() -> None:
    lru, u = layer(), inputs()
    within = TIMES - TIMES[:, :1]
    regular = np.zeros((batch, within.max() + 1, H), np.float32)
    rows = np.arange(batch)[:, None]
    regular[rows, within] = u
    got = lru(u, Steps.of(L, times=jnp.asarray(TIMES, jnp.float32)))
    np.testing.assert_allclose(got, definition(lru, regular)[rows, within], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer(step_rescale=2.0)(u), lru(u, Steps(rate=2.0)), rtol=1e-6)


def test_eigenvalues_begin_in_their_ring_with_states_of_equal_variance() -> None:
    p = float64(LRU(H, 20_000, r_min=0.6, r_max=0.9, max_phase=0.3, rngs=np.random.default_rng(0)))
    modulus, phase = np.exp(-np.exp(p["nu"])), np.exp(p["theta"])
    assert 0.6 <= modulus.min() < modulus.max() <= 0.9
    assert np.mean(modulus**2) == pytest.approx((0.6**2 + 0.9**2) / 2, rel=0.01)  # uniform on the ring's area
    assert np.percentile(phase, [50, 100]) == pytest.approx([0.15, 0.3], rel=0.03)
    np.testing.assert_allclose(np.exp(p["gamma_log"]), np.sqrt(1 - modulus**2), rtol=1e-5)
    assert p["B_re"].var() == pytest.approx(1 / (2 * H), rel=0.02)
    assert p["C_im"].var() == pytest.approx(1 / 20_000, rel=0.02)


def test_parameters_are_real_and_shaped_as_documented() -> None:
    shapes = {name: value.shape for name, value in float64(layer(bidirectional=True)).items()}
    assert shapes == {
        "nu": (P,), "theta": (P,), "gamma_log": (P,), "D": (H,),
        "B_re": (P, H), "B_im": (P, H), "C_re": (H, 2 * P), "C_im": (H, 2 * P),
    }  # fmt: skip
