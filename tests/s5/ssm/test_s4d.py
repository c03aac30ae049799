import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from s5.config.choices import Discretization, S4DInit
from s5.config.families import S4DConfig
from s5.nn.steps import Steps
from s5.ssm import diagonal
from s5.ssm.discretize import bilinear, log_bilinear
from s5.ssm.s4d import S4D, init_system

batch, L, H, N = 2, 9, 4, 6


def layer(**options: Any) -> S4D:
    return S4D(H, N, rngs=np.random.default_rng(0), **{"dt_min": 0.01, "dt_max": 0.2, **options})


def inputs(steps: int = L) -> jax.Array:
    return jnp.asarray(np.random.default_rng(1).standard_normal((batch, steps, H)), jnp.float32)


def definition(s4d: S4D, u: Any, discretization: Discretization = Discretization.zoh, rate: float = 1.0) -> np.ndarray:
    """The paper's equations, one step after the other, in float64."""
    p = {name: np.asarray(value, np.float64) for name, value in nnx.to_pure_dict(nnx.state(s4d)).items()}
    u = np.asarray(u, np.float64)
    rows = np.arange(H) % len(p["log_decay"])
    Lambda, B = (-np.exp(p["log_decay"]) + 1j * p["Lambda_im"])[rows], (p["B_re"] + 1j * p["B_im"])[rows]
    step = rate * np.exp(p["log_step"])
    if discretization is Discretization.zoh:
        Lambda_bar = np.exp(Lambda * step)
        B_bar = (Lambda_bar - 1) / Lambda * B
    else:
        Lambda_bar = (1 + Lambda * step / 2) / (1 - Lambda * step / 2)
        B_bar = step / (1 - Lambda * step / 2) * B
    C = p["C_re"] + 1j * p["C_im"]
    y = p["D"] * u
    for direction, columns in enumerate(np.split(C, C.shape[1] // Lambda.shape[1], axis=1)):
        x = np.zeros((batch, *Lambda.shape), complex)
        for k in reversed(range(u.shape[1])) if direction else range(u.shape[1]):
            x = Lambda_bar * x + B_bar * u[:, k, :, None]
            y[:, k] += 2 * (columns * x).sum(-1).real
    return y


CASES: dict[str, dict[str, Any]] = {
    "legs": {},
    "bilinear in both directions": {"discretization": Discretization.bilinear, "bidirectional": True},
    "features share systems": {"n_ssm": 2, "init": S4DInit.random, "bidirectional": True},
    "each state has its step": {"dt_tie": False, "init": S4DInit.inv},
    # Real eigenvalues and a large step: the bilinear rule gives Lambda_bar of both signs.
    "real": {"init": S4DInit.real, "discretization": Discretization.bilinear, "dt_min": 0.9, "dt_max": 1.1},
}


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_kernel_and_recurrence_are_the_definition(options: dict[str, Any]) -> None:
    s4d, u = layer(**options), inputs()
    discretization = options.get("discretization", Discretization.zoh)
    want = definition(s4d, u, discretization)
    ones = Steps(intervals=jnp.ones((batch, L)))
    for steps in (Steps(), ones):
        np.testing.assert_allclose(jax.jit(s4d)(u, steps), want, rtol=1e-4, atol=1e-5)
    for rate in (0.5, 2.0):
        want = definition(s4d, u, discretization, rate)
        np.testing.assert_allclose(layer(**options, step_rescale=rate)(u), want, rtol=1e-4, atol=1e-5)


def test_both_forms_have_the_same_derivatives() -> None:
    graph, state = nnx.split(layer(bidirectional=True, discretization=Discretization.bilinear, dt_tie=False))

    @jax.jit
    def gradients(steps: Steps) -> Any:
        return jax.grad(lambda state, u: jnp.sin(nnx.merge(graph, state)(u, steps)).sum(), (0, 1))(state, inputs())

    recurrence = gradients(Steps(intervals=jnp.ones((batch, L))))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4), gradients(Steps()), recurrence)


def test_a_long_sequence_is_the_definition_in_float32_and_a_shorter_one_in_float64() -> None:
    s4d = S4D(H, 64, dt_min=1e-3, dt_max=1e-1, rngs=np.random.default_rng(0))
    u = inputs(4096)
    want = definition(s4d, u)
    assert np.abs(s4d(u) - want).max() < 1e-4 * np.abs(want).max()
    with jax.enable_x64(True):
        nnx.update(s4d, jax.tree.map(lambda value: jnp.asarray(value, jnp.float64), nnx.state(s4d)))
        u = jnp.asarray(u[:, :256], jnp.float64)
        want = definition(s4d, u)
        for steps in (Steps(), Steps(intervals=jnp.ones((batch, 256), jnp.float64))):
            assert np.abs(s4d(u, steps) - want).max() < 1e-8 * np.abs(want).max()


def test_a_band_limit_silences_states_by_their_frequency_at_this_rate() -> None:
    options: dict[str, Any] = {"init": S4DInit.lin, "dt_min": 0.1, "dt_max": 0.1}  # phases of 0, 0.1 π and 0.2 π a step
    s4d, u = layer(**options), inputs()

    def without_last(count: int) -> jax.Array:
        other = layer(**options)
        other.B_re[...] = other.B_re[...].at[:, N // 2 - count :].set(0)
        return other(u, Steps(rate=2.0))

    for limit, silent in ((0.45, 0), (0.35, 1), (0.15, 2)):
        np.testing.assert_allclose(
            layer(**options, bandlimit=limit)(u, Steps(rate=2.0)), without_last(silent), rtol=1e-5
        )
    assert (jnp.abs(without_last(1) - s4d(u, Steps(rate=2.0))) > 1e-3).any()


def test_logarithm_of_the_bilinear_rule() -> None:
    rng = np.random.default_rng(0)
    z = np.stack([-np.exp(rng.uniform(-12, 4, 200)), rng.uniform(-50, 50, 200)]).astype(np.float32)
    z[:, :3] = [[-2, -1.99, -2.5], [0, 0, 0]]  # at −2 Lambda_bar is 0
    log = np.asarray(log_bilinear(jnp.asarray(z)), np.float64)
    want, _ = bilinear(jnp.asarray(z), jnp.ones(200))
    np.testing.assert_allclose(np.exp(log[0] + 1j * log[1]), want[0] + 1j * np.asarray(want[1]), atol=2e-6)
    small = z.astype(np.float64)[:, np.abs(z).sum(0) < 1]
    exact = np.log((1 + (small[0] + 1j * small[1]) / 2) / (1 - (small[0] + 1j * small[1]) / 2))
    np.testing.assert_allclose(log[0][np.abs(z).sum(0) < 1], exact.real, rtol=1e-5)
    assert np.isfinite(jax.grad(lambda z: log_bilinear(z).sum())(jnp.asarray(z))).all()


def test_initial_systems_are_those_of_the_paper() -> None:
    rng = np.random.default_rng(0)
    n = np.arange(4)
    assert init_system(rng, S4DInit.lin, 8)[0] == pytest.approx(-0.5 + 1j * np.pi * n)
    assert init_system(rng, S4DInit.inv, 8)[0] == pytest.approx(-0.5 + 8j / np.pi * (8 / (2 * n + 1) - 1))
    assert init_system(rng, S4DInit.real, 8)[0] == pytest.approx(-1.0 - n)
    Lambda, B = init_system(rng, S4DInit.legs, 64)
    assert Lambda.real == pytest.approx(-0.5)
    assert (Lambda.imag > 0).all() and Lambda.imag.max() == pytest.approx(64**2 / np.pi, rel=0.05)
    assert (B.imag == 0).all() and (B.real > 0).all() and B.real.max() <= 2
    random, _ = init_system(rng, S4DInit.random, 8)
    assert (random.real == -0.5).all() and (random.imag > 0).all()


@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
def test_groups_of_features_are_like_all_at_once(bidirectional: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    s4d, u = layer(bidirectional=bidirectional), inputs()
    graph, state = nnx.split(s4d)
    steps = Steps.of(L, times=np.cumsum([[1, 2, 1, 3, 1, 1, 2, 2, 1]] * batch, axis=1))

    def run() -> Any:
        def outputs(state: Any, u: jax.Array) -> jax.Array:
            return nnx.merge(graph, state)(u, steps)

        def both(state: Any, u: jax.Array) -> Any:
            y, pull = jax.vjp(outputs, state, u)
            return y, pull(jnp.cos(y))

        return jax.jit(both)(state, u)

    want = run()
    monkeypatch.setattr(diagonal, "_STATES_AT_ONCE", L * 2 * (N // 2))  # two features at once
    near = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    jax.tree.map(near, run(), want)
    if not bidirectional:
        whole = s4d(u, steps)
        first, second = (Steps(intervals=steps.intervals[:, part]) for part in (slice(0, 5), slice(5, L)))
        carried, y = s4d.advance(s4d.initial_state(batch), u[:, :5], first)
        near(y, whole[:, :5])
        near(s4d.advance(carried, u[:, 5:], second)[1], whole[:, 5:])


def test_irregular_steps_take_memory_for_a_group_of_features_only() -> None:
    s4d = S4D(64, 64, rngs=np.random.default_rng(0))
    graph, state = nnx.split(s4d)
    gradient = jax.jit(jax.grad(lambda state, u, t: nnx.merge(graph, state)(u, Steps(intervals=t)).sum(), (0, 1)))
    shapes = jax.ShapeDtypeStruct((2, 4096, 64), jnp.float32), jax.ShapeDtypeStruct((2, 4096), jnp.float32)
    memory = gradient.lower(state, *shapes).compile().memory_analysis()
    assert memory is not None
    assert memory.temp_size_in_bytes < 0.5 * 8 * 2 * 4096 * 64 * 32


def test_the_kernel_needs_far_less_memory_than_the_states() -> None:
    s4d = S4D(64, 64, rngs=np.random.default_rng(0))
    graph, state = nnx.split(s4d)
    gradient = jax.jit(jax.grad(lambda state, u: nnx.merge(graph, state)(u).sum(), (0, 1)))
    memory = gradient.lower(state, jax.ShapeDtypeStruct((2, 4096, 64), jnp.float32)).compile().memory_analysis()
    assert memory is not None
    assert memory.temp_size_in_bytes < 0.25 * 8 * 2 * 4096 * 64 * 32


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"d_state": 63}, r"model\.d_state=63 must be even"),
        ({"d_model": 6, "n_ssm": 4}, r"model\.d_model=6 is not divisible by model\.n_ssm=4"),
        ({"n_ssm": 0}, r"model\.n_ssm=0 must be at least 1"),
        ({"bandlimit": -1.0}, r"model\.bandlimit=-1\.0 must be positive"),
        ({"dt_min": 0.2}, r"model\.dt_min=0\.2 must be above 0 and at most model\.dt_max=0\.1"),
    ],
)
def test_impossible_options_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        S4DConfig(**keys)


def test_a_layer_refuses_states_without_a_partner() -> None:
    with pytest.raises(ValueError, match="d_state=5 must be even, and d_model=4 divisible by n_ssm=2"):
        S4D(4, 5, n_ssm=2, rngs=np.random.default_rng(0))
