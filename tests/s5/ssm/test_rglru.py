from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from s5.config.families import RGLRUConfig
from s5.nn.steps import REGULAR, Steps
from s5.ssm.rglru import RGLRU

batch, L, H, P = 3, 11, 6, 4
LENGTHS = jnp.array([L, 7, 2])
IRREGULAR = Steps.of(
    L,
    LENGTHS,
    times=np.cumsum(np.random.default_rng(5).integers(1, 4, (batch, L)), axis=1),
    resets=jnp.zeros((batch, L), bool).at[:, jnp.array([1, 5])].set(True),
    rate=0.5,
)


def layer(**options: Any) -> RGLRU:
    rglru = RGLRU(H, P, rngs=np.random.default_rng(0), **{"n_blocks": 2, "r_min": 0.2, "r_max": 0.9, **options})
    rglru.gate_bias[...] = draw(2, P, seed=2)
    return rglru


def draw(*shape: int, seed: int = 1) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def float64(rglru) -> dict[str, np.ndarray]:
    return {name: np.asarray(value, np.float64) for name, value in nnx.to_pure_dict(nnx.state(rglru)).items()}


def definition(p: dict[str, np.ndarray], u: np.ndarray, steps: Steps) -> np.ndarray:
    """The paper's equations, one step after the other and one block after the other, in float64."""
    masks, begins = (np.zeros(u.shape[:2], bool) if one is None else np.asarray(one) for one in steps[::2][:2])
    last = u.shape[1] - 1 if steps.mask is None else masks.sum(1) - 1
    gaps = np.ones(u.shape[:2]) if steps.intervals is None else np.where(begins, 1, np.asarray(steps.intervals))
    y, size = np.zeros_like(u), p["gate_weight"].shape[1]
    for direction, C in enumerate(np.split(p["C"], p["C"].shape[1] // P, axis=1)):
        h = np.zeros((len(u), P))
        for k in reversed(range(u.shape[1])) if direction else range(u.shape[1]):
            x, gates = u[:, k] @ p["B"].T, np.empty((2, len(u), P))
            for block, weight in enumerate(p["gate_weight"]):
                own = slice(block * size, (block + 1) * size)
                gates[:, :, own] = np.stack(np.split(x[:, own] @ weight, 2, axis=1))
            r, i = 1 / (1 + np.exp(-gates - p["gate_bias"][:, None]))
            ends = np.full(len(u), k + 1 == u.shape[1]) if k + 1 == u.shape[1] else begins[:, k + 1]
            starts, gap = begins[:, k], gaps[:, k]
            if direction:
                starts = ends | (k >= last)
                gap = np.where(starts, 1, gaps[:, min(k + 1, u.shape[1] - 1)])
            a = (1 / (1 + np.exp(-p["Lambda"]))) ** (8 * r * float(steps.rate) * gap[:, None])
            h = a * np.where(starts[:, None], 0, h) + np.sqrt(1 - a**2) * i * x
            y[:, k] += h @ C.T
    return y


@pytest.mark.parametrize("steps", [REGULAR, IRREGULAR], ids=["regular", "irregular"])
def test_layer_is_the_definition_with_its_derivatives(steps: Steps) -> None:
    rglru, u = layer(bidirectional=True), draw(batch, L, H)
    valid = np.ones((batch, L, 1)) if steps.mask is None else np.asarray(steps.mask)[..., None]
    weight = valid * np.asarray(draw(batch, L, H, seed=3), np.float64)
    graph, state = nnx.split(rglru)

    def loss(state: Any, u: jax.Array) -> tuple[jax.Array, jax.Array]:
        y = nnx.merge(graph, state)(u, steps)
        return (y * weight.astype(np.float32)).sum(), y

    (by_state, by_u), y = jax.jit(jax.grad(loss, (0, 1), has_aux=True))(state, u)
    p = {**float64(rglru), "u": np.asarray(u, np.float64)}

    def slow(p: dict[str, np.ndarray]) -> np.ndarray:
        return definition(p, p["u"], steps)

    np.testing.assert_allclose(valid * y, valid * slow(p), rtol=1e-4, atol=1e-5)
    for name, slope in {**nnx.to_pure_dict(by_state), "u": by_u}.items():
        direction = np.random.default_rng(4).standard_normal(p[name].shape)
        ahead, behind = ((weight * slow({**p, name: p[name] + step * direction})).sum() for step in (1e-5, -1e-5))
        assert (np.asarray(slope) * direction).sum() == pytest.approx((ahead - behind) / 2e-5, rel=1e-3, abs=1e-3), name


def test_noise_gives_states_its_own_variance_at_every_interval() -> None:
    rglru, u = layer(r_min=0.5), draw(64, 300, H)
    rglru.B[...], rglru.C[...] = jnp.eye(P, H), jnp.eye(H, P)
    rglru.gate_weight[...], rglru.gate_bias[...] = jnp.zeros((2, 2, 4)), jnp.array([[0.0] * P, [50.0] * P])
    for rate in (0.5, 3.0):
        assert np.var(rglru(u, Steps(rate=rate))[:, 100:, :P]) == pytest.approx(1, abs=0.05)
    np.testing.assert_allclose(layer(step_rescale=2.0)(u), layer()(u, Steps(rate=2.0)), rtol=1e-6, atol=1e-7)


def test_a_shut_gate_keeps_the_state_and_finite_derivatives() -> None:
    rglru, u = layer(), draw(batch, L, H)
    rglru.gate_bias[...] = jnp.stack([jnp.full(P, -200.0), jnp.zeros(P)])
    state, _ = jax.jit(rglru.advance)(jnp.ones((batch, P)), u)
    np.testing.assert_allclose(state, 1, rtol=1e-6)

    def loss(rglru: RGLRU, u: jax.Array) -> jax.Array:
        return (rglru(u) ** 2).sum()

    for leaf in jax.tree.leaves(nnx.jit(nnx.grad(loss, argnums=(0, 1)))(rglru, u)):
        assert np.isfinite(leaf).all()


def test_states_begin_in_their_range() -> None:
    p = float64(RGLRU(H, 20_000, n_blocks=1000, rngs=np.random.default_rng(0)))
    power = (1 / (1 + np.exp(-p["Lambda"]))) ** 8
    assert power.min() == pytest.approx(0.9, rel=1e-4) and power.max() == pytest.approx(0.999, rel=1e-4)
    assert np.mean(power) == pytest.approx((0.9 + 0.999) / 2, rel=1e-3)
    assert p["gate_weight"].var() == pytest.approx(1 / 20, rel=0.02)
    shapes = {name: value.shape for name, value in float64(layer(bidirectional=True)).items()}
    assert shapes == {"Lambda": (P,), "B": (P, H), "gate_weight": (2, 2, 4), "gate_bias": (2, P), "C": (H, 2 * P)}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RGLRUConfig(d_state=12), r"model\.d_state=12 is not divisible by model\.n_blocks=8"),
        (lambda: RGLRUConfig(r_max=1.0), r"model\.r_max=1\.0 must be 0 < r_min <= r_max < 1"),
        (lambda: layer(n_blocks=3), "d_state=4 must be divisible by n_blocks=3"),
    ],
    ids=["blocks", "range", "layer"],
)
def test_an_impossible_layer_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
