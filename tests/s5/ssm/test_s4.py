import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from s5.config.choices import Discretization, Head, Measure, Times
from s5.config.families import S4Config
from s5.config.model import ModelConfig
from s5.nn.steps import Steps
from s5.ssm import dplr
from s5.ssm.hippo import make_hippo
from s5.ssm.krylov import compute_kernel, recurrence
from s5.ssm.s4 import S4

batch, L, H, N = 2, 13, 4, 8
MEASURES = [one for one in Measure if one not in (Measure.lmu, Measure.legsd, Measure.foud)]
near = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
measures = pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)


def layer(**options: Any) -> S4:
    return S4(H, options.pop("d_state", N), rngs=np.random.default_rng(0), **{"dt_min": 0.01, "dt_max": 0.5, **options})


def inputs(steps=L) -> jax.Array:
    return jnp.asarray(np.random.default_rng(1).standard_normal((batch, steps, H)), jnp.float32)


def float64(s4) -> dict[str, np.ndarray]:
    return {name: np.asarray(value, np.float64) for name, value in nnx.to_pure_dict(nnx.state(s4)).items()}


def systems(s4):
    """Yield each feature's A, B, C for every direction and step, with all states, in complex float64."""

    def both(p, name, at) -> np.ndarray:
        half = p[f"{name}_re"][at] + 1j * p[f"{name}_im"][at]
        return np.concatenate([half, half.conj()], axis=-1)

    p = float64(s4)
    p["Lambda_re"] = -np.exp(p["log_decay"])
    directions = p["C_re"].shape[1] // p["Lambda_im"].shape[1]
    for name in ("C_re", "C_im"):
        p[name] = p[name].reshape(H, directions, -1)
    for h in range(H):
        group = h % len(p["Lambda_im"])
        P = both(p, "P", group)
        A = np.diag(both(p, "Lambda", group)) - P.T @ P.conj()
        yield A, both(p, "B", group), both(p, "C", h), np.exp(p["log_step"])[h % p["log_step"].size]


def discretize(A, B, step, rule: Discretization) -> tuple[np.ndarray, np.ndarray]:
    if rule is Discretization.bilinear:
        inverse = np.linalg.inv(np.eye(len(B)) - step / 2 * A)
        return inverse @ (np.eye(len(B)) + step / 2 * A), step * inverse @ B
    exact = scipy.linalg.expm(step * np.block([[A, B[:, None]], [np.zeros((1, len(B) + 1))]]))
    return exact[:-1, :-1], exact[:-1, -1]


def definition(s4, u: Any, rate: float = 1.0) -> np.ndarray:
    """The recurrence of each feature with its dense state matrix, one step after the other, in float64."""
    u = np.asarray(u, np.float64)
    y = float64(s4)["D"] * u
    for h, (A, B, C, step) in enumerate(systems(s4)):
        A_bar, B_bar = discretize(A, B, rate * step, s4.discretization)
        for direction, vector in enumerate(C):
            x = np.zeros((len(u), len(B)), complex)
            late = bool(direction) and s4.late_backward
            for k in reversed(range(u.shape[1])) if direction else range(u.shape[1]):
                before, x = x, x @ A_bar.T + u[:, k, h, None] * B_bar
                y[:, k, h] += ((before if late else x) @ vector).real
    return y


@measures
@pytest.mark.parametrize("rule", Discretization, ids=lambda rule: rule.name)
def test_layer_is_the_definition(measure: Measure, rule: Discretization) -> None:
    s4 = layer(measure=measure, discretization=rule, bidirectional=rule is Discretization.bilinear, n_ssm=2)
    near(s4(inputs()), definition(s4, inputs()))


@pytest.mark.parametrize("steps", [1, 2, 5, 64])
def test_a_layer_has_no_length(steps: int) -> None:
    s4, u = layer(bidirectional=True, dt_tie=True, late_backward=steps in (1, 5)), inputs(steps)
    want = definition(s4, u)
    near(s4(u), want)
    by_recurrence = s4(u, Steps(resets=jnp.zeros(u.shape[:2], bool)))
    near(by_recurrence, want)


@pytest.mark.parametrize("rate", [0.5, 2.0])
def test_a_rate_is_a_factor_on_the_step(rate: float) -> None:
    s4, u = layer(), inputs()
    near(s4(u, Steps(rate=rate)), definition(s4, u, rate))
    np.testing.assert_allclose(layer(step_rescale=rate)(u), s4(u, Steps(rate=rate)), rtol=1e-6)


@measures
def test_a_layer_begins_as_the_operator(measure: Measure) -> None:
    s4 = layer(measure=measure)
    A, B, _ = make_hippo(measure, N)
    decay = np.exp(float64(s4)["log_decay"]).min()  # at least 1e-4, where the operator may have none
    shift = min(0.0, decay - 1e-4) if decay > 1.1e-4 else -1e-4
    for dplr_A, dplr_B, _, step in systems(s4):
        expected = scipy.linalg.expm(step * (A + shift * np.eye(N)))
        # The two are the same system in other coordinates.
        got = scipy.linalg.expm(step * dplr_A)
        for power in range(1, 5):
            P, Q = (np.linalg.matrix_power(one, power) for one in (got, expected))
            np.testing.assert_allclose(np.trace(P), np.trace(Q), rtol=1e-4)
            near(dplr_B.conj() @ P @ dplr_B, B @ Q @ B)


@pytest.mark.parametrize("length", [12, 13])
@pytest.mark.parametrize("measure", [Measure.legs, Measure.legt], ids=lambda measure: measure.name)
def test_kernel_is_the_inverse_transform_of_the_papers_generating_function(measure: Measure, length: int) -> None:
    s4 = layer(measure=measure, n_ssm=H)
    impulse = jnp.zeros((1, length, H)).at[:, 0].set(1)
    kernel = s4(impulse)[0].T - float64(s4)["D"][:, None] * np.eye(length)[0]
    p, rank = float64(s4), 1 if measure is Measure.legs else 2
    for h, (A, B, (C,), step) in enumerate(systems(s4)):
        Lambda = -np.exp(p["log_decay"][h]) + 1j * p["Lambda_im"][h]
        Lambda = np.concatenate([Lambda, Lambda.conj()])
        P = (p["P_re"][h] + 1j * p["P_im"][h]).reshape(rank, -1)
        P = np.concatenate([P, P.conj()], axis=1)
        A_bar, _ = discretize(A, B, step, Discretization.bilinear)
        truncated = C - C @ np.linalg.matrix_power(A_bar, length)
        hat = []
        for omega in np.exp(-2j * np.pi * np.arange(length) / length):
            if abs(1 + omega) < 1e-9:  # the limit
                hat.append(step / 2 * truncated @ B)
                continue
            cauchy = 1 / (2 / step * (1 - omega) / (1 + omega) - Lambda)
            low = np.linalg.solve(np.eye(rank) + (P.conj() * cauchy) @ P.T, (P.conj() * cauchy) @ B)
            hat.append(2 / (1 + omega) * ((truncated * cauchy) @ B - (truncated * cauchy) @ P.T @ low))
        near(kernel[h], np.fft.ifft(hat).real)


def slow_kernel(Lambda, P, B, C, step, length) -> jax.Array:
    """The kernel by one dense power after the other; JAX derives it."""
    zeros = jnp.zeros(Lambda.shape[-1])

    def rotation(re, im) -> jax.Array:
        return jnp.block([[jnp.diag(re), jnp.diag(zeros - im)], [jnp.diag(im), jnp.diag(re)]])

    A = jax.vmap(rotation)(Lambda[:, 0], Lambda[:, 1]) - 2 * jnp.einsum("hrn,hrm->hnm", P, P)
    eye = jnp.eye(A.shape[1])
    inverse = jnp.linalg.inv(eye - step[:, None, None] / 2 * A)
    A_bar, x = inverse @ (eye + step[:, None, None] / 2 * A), step[:, None] * (inverse @ B[..., None])[..., 0]

    def advance(x: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        return (A_bar @ x[..., None])[..., 0], (C * x[:, None]).sum(-1)

    return jnp.moveaxis(jax.lax.scan(advance, x, None, length=length)[1], 0, -1)


@pytest.mark.parametrize("rank", [1, 2])
def test_kernel_and_its_gradients_are_those_of_the_powers_in_float64(rank: int) -> None:
    rng, M, length = np.random.default_rng(rank), 6, 256
    draws = (
        np.stack([-rng.uniform(0.1, 1, (3, M)), rng.uniform(0, 30, (3, M))], axis=1),
        rng.standard_normal((3, rank, 2 * M)),
        rng.standard_normal((3, 2 * M)),
        rng.standard_normal((3, 2, 2 * M)),
        rng.uniform(0.01, 0.1, 3),
    )
    weight = rng.standard_normal((3, 2, length))

    def fast(Lambda, P, B, C, step, length) -> jax.Array:
        return compute_kernel(*dplr.bilinear(Lambda, P, B, step), C, length)

    with jax.enable_x64(True):
        values = tuple(map(jnp.asarray, draws))

        def both(function: Any) -> tuple[jax.Array, Any]:
            def loss(*values: Any) -> tuple[jax.Array, jax.Array]:
                kernel = function(*values, length)
                return (weight * kernel).sum(), kernel

            (_, kernel), gradients = jax.jit(jax.value_and_grad(loss, range(5), has_aux=True))(*values)
            return kernel, gradients

        (want, want_grads), (got, grads) = both(slow_kernel), both(fast)
    for a, b in zip((got, *grads), (want, *want_grads), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8 * np.abs(b).max())


@settings(max_examples=4, deadline=None)
@given(length=st.integers(1, 40), rest=st.integers(0, 40))
def test_a_kernel_begins_as_every_longer_one_and_powers_add_up(length: int, rest: int) -> None:
    s4 = layer(measure=Measure.legt)
    E, B_bar = s4._discretize(Steps())
    C = s4._output_vectors()
    longer = compute_kernel(E, B_bar, C, length + rest)
    near(compute_kernel(E, B_bar, C, length), longer[..., :length])
    # The outputs that follow an impulse are the kernel, and a stream that goes on from any step is the rest of it.
    impulse = jnp.zeros((1, length + rest, H)).at[:, 0].set(1)
    state, first = recurrence(E, B_bar, C[:, 0], impulse[:, :length])
    near(first[0].T, longer[:, 0, :length])
    if rest:
        _, then = recurrence(E, B_bar, C[:, 0], impulse[:, length:], state)
        near(then[0].T, longer[:, 0, length:])


def test_a_long_kernel_is_right_in_float32_and_needs_little_memory() -> None:
    length, features, states = 4096, 8, 64
    s4 = S4(features, states, rngs=np.random.default_rng(0))
    values = s4._discretize(Steps()), s4._output_vectors()

    def kernel(system: Any, C: jax.Array) -> jax.Array:
        E, B_bar = system
        return compute_kernel(E, B_bar, C, length)

    compiled = jax.jit(jax.grad(lambda system, C: (kernel(system, C) ** 2).sum(), (0, 1))).lower(*values).compile()
    C = np.asarray(values[1], np.float64)
    p = float64(s4)
    re, im = -np.exp(p["log_decay"][0]), p["Lambda_im"][0]
    P = np.concatenate([p["P_re"][0, 0], p["P_im"][0, 0]])
    A = np.block([[np.diag(re), -np.diag(im)], [np.diag(im), np.diag(re)]]) - 2 * np.outer(P, P)
    got = np.asarray(kernel(values[0], values[1]))[:, 0]
    for h, step in enumerate(np.exp(p["log_step"])):
        A_bar, x = discretize(A, np.concatenate([p["B_re"][0], p["B_im"][0]]), step, Discretization.bilinear)
        want = np.empty(length)
        for k in range(length):
            want[k] = C[h, 0] @ x
            x = A_bar @ x
        np.testing.assert_allclose(got[h], want, rtol=0, atol=1e-4 * np.abs(want).max())
    assert compiled.memory_analysis().temp_size_in_bytes < 0.25 * 4 * features * states * length


def test_zoh_is_exact_for_slow_and_for_fast_systems_and_its_gradient_for_all() -> None:
    rng, M = np.random.default_rng(3), 3
    Lambda = np.stack([-rng.uniform(0.1, 1, (4, M)), rng.uniform(0, 50, (4, M))], axis=1)
    P, B = rng.standard_normal((4, 2, 2 * M)), rng.standard_normal((4, 2 * M))
    step, direction = np.array([1e-7, 1e-3, 0.1, 30.0]), rng.standard_normal((4, 2, M))
    with jax.enable_x64(True):
        E, B_bar = dplr.zoh(*map(jnp.asarray, (Lambda, P, B, step)))

        def total(Lambda: Any) -> jax.Array:
            E, B_bar = dplr.zoh(Lambda, jnp.asarray(P), jnp.asarray(B), jnp.asarray(step))
            return (E.sum((1, 2)) + B_bar.sum(1)) / step

        ahead, behind = (total(jnp.asarray(Lambda + sign * 1e-6 * direction)) for sign in (1, -1))
        slope = jax.grad(lambda Lambda: total(Lambda).sum())(jnp.asarray(Lambda))
    for h in range(4):
        re, im = map(np.diag, Lambda[h])
        A = np.block([[re, -im], [im, re]]) - 2 * sum(np.outer(row, row) for row in P[h])
        want_A, want_B = discretize(A, B[h], step[h], Discretization.zoh)
        np.testing.assert_allclose(E[h], want_A - np.eye(2 * M), rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(B_bar[h], want_B, rtol=1e-9, atol=1e-11)
        if step[h] < 1e-6:  # E itself keeps its digits, where a difference to I has lost them
            np.testing.assert_allclose(np.asarray(E[h]) / step[h], A + step[h] / 2 * A @ A, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        (np.asarray(ahead) - np.asarray(behind)) / 2e-6,
        (np.asarray(slope) * direction).sum((1, 2)),
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize("length", [1, 7, 21])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_a_recurrence_in_chunks_is_one_step_after_the_other(length: int, reverse: bool) -> None:
    rng, features = np.random.default_rng(length), 3
    skew = rng.standard_normal((features, N, N))
    E = 0.2 * (skew - skew.swapaxes(1, 2)) - 0.3 * np.eye(N)
    B, C = rng.standard_normal((2, features, N))
    u, x = rng.standard_normal((batch, length, features)), rng.standard_normal((batch, features, N))
    resets = rng.random((batch, length)) < 0.2
    with jax.enable_x64(True):
        E_, B_, C_, u_, x_ = (jnp.asarray(value) for value in (E, B, C, u, x))
        ends = [recurrence(E_, B_, C_, u_, x_, each, reverse) for each in (None, jnp.asarray(resets))]
    for (last, y), cuts in zip(ends, (np.zeros_like(resets), resets), strict=True):
        state, cuts = x, np.pad(cuts[:, 1:], ((0, 0), (0, 1))) if reverse else cuts
        for k in reversed(range(length)) if reverse else range(length):
            state = np.where(cuts[:, k, None, None], 0, state)
            state = state + np.einsum("hnm,bhm->bhn", E, state) + B * u[:, k, :, None]
            np.testing.assert_allclose(y[:, k], (C * state).sum(-1), atol=1e-10)
        np.testing.assert_allclose(last, state, atol=1e-10)


def test_parameters_are_real_and_shaped_as_documented() -> None:
    s4 = layer(bidirectional=True, n_ssm=2, measure=Measure.legt)
    assert {name: value.shape for name, value in float64(s4).items()} == {
        "log_decay": (2, N // 2), "Lambda_im": (2, N // 2), "P_re": (2, 2, N // 2), "P_im": (2, 2, N // 2),
        "B_re": (2, N // 2), "B_im": (2, N // 2), "C_re": (H, N), "C_im": (H, N), "D": (H,), "log_step": (H,),
    }  # fmt: skip
    assert layer(dt_tie=True).log_step.shape == (1,)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"late_backward": True}, "there is no second direction"),
        ({"measure": Measure.lmu}, r"model\.measure=lmu has no known low-rank part; S4 can begin as legs, legt,"),
        ({"measure": Measure.foud}, r"model\.measure=foud has a diagonal state matrix, without P; S4 can begin as"),
        ({"d_state": 7}, r"model\.d_state=7 must be even"),
        ({"d_model": 6, "n_ssm": 4}, r"model\.d_model=6 is not divisible by model\.n_ssm=4"),
        ({"dt_min": 0.2}, r"model\.dt_min=0\.2 must be above 0 and at most model\.dt_max=0\.1"),
    ],
    ids=lambda value: "",
)
def test_an_impossible_model_is_refused(keys: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        S4Config(**keys)
    if not keys.keys() & {"dt_min", "late_backward"}:
        with pytest.raises(ValueError, match=r"must be even, and d_model|no low-rank"):
            S4(**{"d_model": H, "d_state": N, "rngs": np.random.default_rng(0), **keys})


def test_data_with_times_are_refused_by_name() -> None:
    with pytest.raises(
        ValueError, match=r"model\.times=steps: the family s4 needs regular steps, .*model\.times=append"
    ):
        S4Config().check_fits(3, Head.regression, times=True)
    S4Config().check_fits(3, Head.regression)
    S4Config(times=Times.append).check_fits(3, Head.regression, times=True)
    assert ModelConfig.takes_times
