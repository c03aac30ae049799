from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from s5.config.choices import TRIDIAGONAL, Measure
from s5.config.families import LSSLConfig
from s5.nn.derivatives import jax_derivatives
from s5.nn.steps import Steps
from s5.ssm import dense_state
from s5.ssm.dense_state import TridiagonalInverse, gbt, make_tridiagonal_inverse, to_matrix
from s5.ssm.hippo import make_hippo
from s5.ssm.lssl import LSSL

batch, L, H, N = 2, 13, 3, 6
BOTH: dict[str, Any] = {"measure": Measure.legt, "learn": True, "channels": 2, "alpha": 0.7, "bidirectional": True}


def layer(**options: Any) -> LSSL:
    return LSSL(H, N, rngs=np.random.default_rng(0), **{"dt_min": 0.01, "dt_max": 0.5, **options})


def draw(*shape: int, seed: int = 1) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def float64(state: Any) -> dict[str, np.ndarray]:
    flat = {".".join(map(str, path)): value for path, value in nnx.to_flat_state(state)}
    return {name: np.asarray(value[...], np.float64) for name, value in flat.items()}


def state_matrix(p: dict[str, np.ndarray]) -> np.ndarray:
    if "A" in p:
        return p["A"]
    T = np.diag(p["middle"]) + np.diag(p["lower"], -1) + np.diag(p["upper"], 1)
    return -np.diag(p["p"]) @ (np.linalg.inv(T) + np.diag(p["c"])) @ np.diag(p["q"])


def definition(lssl: LSSL, p: dict[str, np.ndarray], u: np.ndarray, rate: float = 1.0) -> np.ndarray:
    """The recurrence of each feature, one step after the other, in float64."""
    A, M, steps = state_matrix(p), lssl.channels, range(u.shape[1])
    y = p["D"] * u[..., None]
    for h, step in enumerate(rate * np.exp(p["log_step"])):
        inverse = np.linalg.inv(np.eye(N) - lssl.alpha * step * A)
        A_bar, B_bar = inverse @ (np.eye(N) + (1 - lssl.alpha) * step * A), step * inverse @ p["B"]
        for direction in range(1 + lssl.bidirectional):
            x = np.zeros((len(u), N))
            for k in reversed(steps) if direction else steps:
                x = x @ A_bar.T + u[:, k, h, None] * B_bar
                y[:, k, h] += x @ p["C"][h, direction * M : (direction + 1) * M].T
    if M == 1:
        return y[..., 0]
    y = y.swapaxes(2, 3).reshape(*u.shape[:2], -1)
    # JAX's gelu is the approximation by tanh.
    y = 0.5 * y * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)))
    return y @ p["mix.weight"] + p["mix.bias"]


@pytest.mark.parametrize("options", [{}, BOTH], ids=["fixed", "learned"])
def test_layer_is_the_definition_with_its_derivatives(options: Any) -> None:
    lssl, u, weight = layer(**options), draw(batch, L, H), draw(batch, L, H, seed=2)
    graph, params, rest = nnx.split(lssl, nnx.Param, ...)

    def loss(params: Any, u: jax.Array, steps: Steps) -> tuple[jax.Array, jax.Array]:
        y = nnx.merge(graph, params, rest)(u, steps)
        return (y * weight).sum(), y

    gradients = jax.jit(jax.grad(loss, (0, 1), has_aux=True))
    wide = float64(nnx.state(lssl)), np.asarray(u, np.float64)
    for steps in (Steps(rate=2.0), Steps(resets=jnp.zeros((batch, L), bool), rate=2.0)):
        (by_params, by_u), y = gradients(params, u, steps)
        np.testing.assert_allclose(y, definition(lssl, *wide, 2.0), rtol=1e-4, atol=1e-5)
        for name, slope in {**float64(by_params), "u": np.asarray(by_u, np.float64)}.items():
            direction = np.random.default_rng(4).standard_normal(slope.shape)
            ends = []
            for step in (1e-6, -1e-6):
                p, changed = dict(wide[0]), wide[1]
                if name == "u":
                    changed = changed + step * direction
                else:
                    p[name] = p[name] + step * direction
                ends.append((np.asarray(weight, np.float64) * definition(lssl, p, changed, 2.0)).sum())
            assert (slope * direction).sum() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=2e-3, abs=2e-3), name


def test_only_what_learns_is_trained_and_all_is_stored() -> None:
    names = {"C", "D", "B", "log_step"}
    assert set(float64(nnx.state(layer(), nnx.Param))) == {"C", "D"}
    assert set(float64(nnx.state(layer()))) == names | {"A"}
    assert set(float64(nnx.state(layer(learn=True), nnx.Param))) == names | set(TridiagonalInverse._fields)
    shapes = {name: value.shape for name, value in float64(nnx.state(layer(**BOTH))).items()}
    assert (shapes["C"], shapes["D"], shapes["lower"], shapes["mix.weight"]) == (
        (H, 4, N),
        (H, 2),
        (N - 1,),
        (2 * H, H),
    )


@pytest.mark.parametrize("measure", sorted(TRIDIAGONAL, key=lambda one: one.name), ids=lambda one: one.name)
def test_a_trained_matrix_begins_as_the_operator(measure: Measure) -> None:
    form, A = make_tridiagonal_inverse(measure, 33), make_hippo(measure, 33).A
    np.testing.assert_allclose(state_matrix(form._asdict()), A, rtol=1e-9, atol=1e-9 * np.abs(A).max())
    np.testing.assert_allclose(to_matrix(form), A, rtol=0, atol=1e-6 * np.abs(A).max())


def test_every_operator_is_discretized_as_by_its_inverse() -> None:
    step, discretize = np.geomspace(1e-3, 1, 5), jax.jit(gbt, static_argnums=3)
    for measure in Measure:
        A, B, _ = make_hippo(measure, 40)
        E, B_bar = discretize(*(jnp.asarray(one, jnp.float32) for one in (A, B, step)), 0.5)
        inverse = step[:, None, None] * np.linalg.inv(np.eye(40) - 0.5 * step[:, None, None] * A)
        for got, want in ((E, inverse @ A), (B_bar, inverse @ B)):
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * np.abs(want).max(), err_msg=measure.name)


def test_the_discretization_has_its_derivative_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense_state, "_SMALL", 3)
    A, B, _ = make_hippo(Measure.legt, 7)
    rng, values = np.random.default_rng(0), (A, B, np.geomspace(1e-3, 10, 4))
    weights = rng.standard_normal((4, 7, 7)), rng.standard_normal((4, 7))

    def slow(A: jax.Array, B: jax.Array, step: jax.Array, alpha: float) -> tuple[jax.Array, jax.Array]:
        X = step[:, None, None] * A
        both = jnp.linalg.inv(jnp.eye(7) - alpha * X)
        return both @ X, step[:, None] * (both @ B)

    def slopes(form: Any) -> Any:
        def loss(*values: jax.Array) -> jax.Array:
            E, B_bar = form(*values, 0.3)
            return (weights[0] * E).sum() + (weights[1] * B_bar).sum()

        return jax.grad(loss, (0, 1, 2))

    def by_jax(*values: jax.Array) -> Any:
        with jax_derivatives():
            return slopes(gbt)(*values)

    with jax.enable_x64(True):
        found = jax.jit(lambda *values: [make(*values) for make in (slopes(slow), slopes(gbt), by_jax)])(
            *map(jnp.asarray, values)
        )
    for want, *others in zip(*found, strict=True):
        for got in others:
            np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-8 * np.abs(want).max())


def test_a_long_kernel_is_right_in_float32() -> None:
    length, states = 4096, 64
    lssl = LSSL(2, states, rngs=np.random.default_rng(0))
    p = float64(nnx.state(lssl))
    kernel = jax.jit(lssl)(jnp.zeros((1, length, 2)).at[:, 0].set(1))[0]
    for h, step in enumerate(np.exp(p["log_step"])):
        inverse = np.linalg.inv(np.eye(states) - step / 2 * p["A"])
        A_bar, x, want = inverse @ (np.eye(states) + step / 2 * p["A"]), step * inverse @ p["B"], np.empty(length)
        for k in range(length):
            want[k] = p["C"][h, 0] @ x
            x = A_bar @ x
        want[0] += p["D"][h, 0]
        np.testing.assert_allclose(kernel[:, h], want, rtol=0, atol=1e-4 * np.abs(want).max())


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"learn": True, "measure": Measure.fout}, r"model\.measure=fout cannot be trained .*, or one of legs, legt,"),
        ({"measure": Measure.foud, "d_state": 7}, r"model\.d_state=7 must be even: model\.measure=foud has pairs"),
        ({"alpha": 0.0}, r"model\.alpha=0\.0 must be above 0 and at most 1"),
        ({"channels": 0}, r"model\.channels=0 must be at least 1"),
        ({"dt_min": 0.2}, r"model\.dt_min=0\.2 must be above 0 and at most model\.dt_max=0\.1"),
    ],
    ids=lambda value: "",
)
def test_an_impossible_model_is_refused(keys: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LSSLConfig(**keys)
    if "learn" in keys:
        with pytest.raises(ValueError, match="fout is not a tridiagonal inverse"):
            layer(**keys)
