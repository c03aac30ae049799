import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from s5.config.choices import LinOSSDiscretization
from s5.config.families import LinOSSConfig
from s5.nn.steps import Steps
from s5.ssm.linoss import LinOSS

batch, L, H, P = 2, 9, 3, 4
IM, IMEX = LinOSSDiscretization.im, LinOSSDiscretization.imex
KINDS: dict[str, dict[str, Any]] = {
    "im": {"discretization": IM},
    "imex": {"discretization": IMEX},
    "damped": {"discretization": IMEX, "damping": True},
}
TIMES = np.cumsum(np.random.default_rng(5).uniform(0.3, 1.7, (batch, L)), axis=1)


def layer(oscillators: int = P, **options: Any) -> LinOSS:
    return LinOSS(H, oscillators, rngs=np.random.default_rng(0), **options)


def inputs() -> jax.Array:
    return jnp.asarray(np.random.default_rng(1).standard_normal((batch, L, H)), jnp.float32)


def float64(linoss: LinOSS) -> dict[str, np.ndarray]:
    return {name: np.asarray(value, np.float64) for name, value in nnx.to_pure_dict(nnx.state(linoss)).items()}


def definition(linoss: LinOSS, u: Any, gaps: Any, changed: Any = None, direction: int = 0) -> np.ndarray:
    """The equations of the papers, one oscillator and one step after the other, solved as linear systems in float64."""
    p, u = float64(linoss) | (changed or {}), np.asarray(u, np.float64)
    G, regular = np.maximum(p.get("G", np.zeros(P)), 0), 1 / (1 + np.exp(-p["step_logit"]))
    A = np.maximum(p["A"], (2 + regular * G - 2 * np.sqrt(1 + regular * G)) / regular**2)
    Bu = u @ (p["B_re"] + 1j * p["B_im"]).T
    C = (p["C_re"] + 1j * p["C_im"])[:, direction * P : (direction + 1) * P]
    y = p["D"] * u
    for row in range(len(u)):
        z, x = np.zeros(P, complex), np.zeros(P, complex)
        for k, n in np.ndindex(u.shape[1], P):
            dt = regular[n] * gaps[row, k]
            if linoss.discretization is IM:
                left, right = [[1, dt * A[n]], [-dt, 1]], [z[n] + dt * Bu[row, k, n], x[n]]
            else:
                a = min(A[n], (2 + dt * G[n] + 2 * np.sqrt(1 + dt * G[n])) / dt**2)
                left, right = [[1 + dt * G[n], 0], [-dt, 1]], [z[n] - dt * a * x[n] + dt * Bu[row, k, n], x[n]]
            z[n], x[n] = np.linalg.solve(np.array(left), np.array(right))
            if n == P - 1:
                y[row, k] += (C @ x).real
    return y


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_layer_is_the_definition(options: dict[str, Any]) -> None:
    linoss, u, gaps = layer(**options), inputs(), np.pad(np.diff(TIMES), ((0, 0), (1, 0)), constant_values=1)
    apply = jax.jit(lambda u, steps: linoss(u, steps))
    np.testing.assert_allclose(apply(u, Steps()), definition(linoss, u, np.ones((batch, L))), rtol=1e-4, atol=1e-5)
    got = apply(u, Steps.of(L, times=TIMES, rate=1.5))
    np.testing.assert_allclose(got, definition(linoss, u, 1.5 * gaps), rtol=1e-4, atol=1e-5)
    rescaled = jax.jit(layer(step_rescale=1.5, **options))(u)
    np.testing.assert_allclose(rescaled, apply(u, Steps(rate=1.5)), rtol=1e-4, atol=1e-4)


def test_two_directions_read_their_own_steps_and_no_padding() -> None:
    linoss, u = layer(bidirectional=True, **KINDS["damped"]), inputs()
    lengths, gaps = (9, 5), np.pad(np.diff(TIMES), ((0, 0), (1, 0)), constant_values=1)
    steps = Steps.of(L, jnp.array(lengths), times=TIMES)
    got = jax.jit(linoss)(u.at[1, 5:].set(1e3), steps)
    for row, length in enumerate(lengths):
        ahead, behind = u[row : row + 1, :length], u[row : row + 1, :length][:, ::-1]
        back = np.append(gaps[row, 1:length], 1)[None, ::-1]
        want = definition(linoss, ahead, gaps[row : row + 1]) + definition(linoss, behind, back, direction=1)[:, ::-1]
        np.testing.assert_allclose(got[row : row + 1, :length], want - linoss.D[...] * ahead, rtol=1e-4, atol=1e-5)


def test_outputs_and_gradients_are_exact_where_matrices_have_no_eigenvectors() -> None:
    """A free particle, the limit of `imex`, and values on each side of it; a step of a half."""
    linoss, u = layer(discretization=IMEX), inputs()
    linoss.A[...], linoss.step_logit[...] = jnp.array([0.0, 16.0, 15.999, 17.0]), jnp.zeros(P)
    graph, params = nnx.split(linoss)

    def total(params: Any) -> tuple[jax.Array, jax.Array]:
        y = nnx.merge(graph, params)(u)
        return y.sum(), y

    gradient, y = jax.jit(jax.grad(total, has_aux=True))(params)
    np.testing.assert_allclose(y, definition(linoss, u, np.ones((batch, L))), rtol=1e-4, atol=1e-4)

    found = np.asarray(gradient["A"][...])

    def outputs(A: float) -> float:
        return definition(linoss, u, np.ones((batch, L)), {"A": np.array([0, 16, A, 17])}).sum()

    assert found[2] == pytest.approx((outputs(15.999 + 1e-5) - outputs(15.999 - 1e-5)) / 2e-5, rel=1e-3)
    assert found[3] == 0  # beyond the limit
    for leaf in jax.tree.leaves(gradient):
        assert np.isfinite(leaf).all()


values = st.floats(-5, 5, width=32)


@functools.cache
def one_step(kind: str) -> Any:
    """Return a jitted function of A, G, step_logit and the rate: the matrix of one oscillator, from unit states."""
    graph, params = nnx.split(layer(1, **KINDS[kind]))

    @jax.jit
    def matrix(new: dict[str, jax.Array], rate: jax.Array) -> jax.Array:
        filled = nnx.clone(params)
        nnx.replace_by_pure_dict(filled, nnx.to_pure_dict(params) | new)
        units = jnp.eye(2)[:, :, None, None] * jnp.ones((2, 2, 2, 1))
        state, _ = nnx.merge(graph, filled).advance(units, jnp.zeros((2, 1, H)), Steps(rate=rate))
        return state[:, :, 0, 0].T

    return matrix


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    A=st.floats(-5, 1000, width=32),
    G=values,
    logit=values,
    rate=st.floats(0.125, 4, width=32),
)
def test_no_parameters_make_states_grow(kind: str, A: float, G: float, logit: float, rate: float) -> None:
    new = {"A": jnp.array([A]), "step_logit": jnp.array([logit])} | ({"G": jnp.array([G])} if kind == "damped" else {})
    M = np.asarray(one_step(kind)(new, jnp.float32(rate)), np.float64)
    step = rate / (1 + np.exp(-logit))
    if kind == "im":  # the energy of every state, z² + A x², does not grow
        energy = np.diag([1, max(A, 0)])
        assert np.linalg.eigvalsh(energy - M.T @ energy @ M).min() >= -1e-5 * (1 + max(A, 0))
        return
    det, trace = np.linalg.det(M), np.trace(M)
    assert det == pytest.approx(1 / (1 + step * max(G, 0)) if kind == "damped" else 1, abs=2e-5)
    assert abs(trace) <= 1 + det + 2e-5  # both eigenvalues are in the unit disk
    assert rate < 1 or trace**2 <= 4 * det + 1e-4  # and a complex pair at the rate of the training data


def test_initial_values_are_those_of_the_papers() -> None:
    p = float64(LinOSS(H, 20_000, rngs=np.random.default_rng(0)))
    for name, low, high in (("A", 0, 1), ("step_logit", 0, 1), ("B_im", -(H**-0.5), H**-0.5)):
        assert np.percentile(p[name], [0, 50, 100]) == pytest.approx([low, (low + high) / 2, high], abs=0.02)
    assert np.abs(p["C_re"]).max() == pytest.approx(20_000**-0.5, rel=0.01)
    ring = {"discretization": IMEX, "damping": True, "r_min": 0.6, "r_max": 0.9, "max_phase": 1.5}
    p = float64(LinOSS(H, 20_000, **ring, rngs=np.random.default_rng(0)))
    step = 1 / (1 + np.exp(-p["step_logit"]))
    S = 1 + step * p["G"]
    trace = 1 / S + 1 - step**2 * p["A"] / S
    assert np.percentile(1 / S, [0, 50, 100]) == pytest.approx([0.36, (0.36 + 0.81) / 2, 0.81], abs=0.01)
    phase = np.arccos(np.clip(trace * np.sqrt(S) / 2, -1, 1))
    assert np.percentile(phase, [0, 50, 100]) == pytest.approx([0, 0.75, 1.5], abs=0.03)


def test_keys_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.damping=true: needs model\.discretization=imex, not im"):
        LinOSSConfig(damping=True)
    with pytest.raises(ValueError, match=r"must be 0 < r_min < r_max <= 1"):
        LinOSSConfig(r_min=0.0)
    with pytest.raises(ValueError, match=r"model\.max_phase=4\.0 must be above 0 and at most pi"):
        LinOSSConfig(max_phase=4.0)
