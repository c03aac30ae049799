import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from s5.api import evaluate, train
from s5.config.choices import DSSVersion
from s5.config.compose import compose
from s5.config.families import DSSConfig
from s5.errors import UserError
from s5.nn.steps import Steps
from s5.ssm.dss import DSS

batch, L, H, N = 2, 9, 3, 4


def layer(**options: Any) -> DSS:
    return DSS(H, N, rngs=np.random.default_rng(0), **{"dt_min": 0.01, "dt_max": 0.1, "l_max": 16, **options})


def inputs(steps: int = L) -> jax.Array:
    return jnp.asarray(np.random.default_rng(1).standard_normal((batch, steps, H)), jnp.float32)


def eigenvalues(version: DSSVersion, re: np.ndarray, im: np.ndarray) -> np.ndarray:
    match version:
        case DSSVersion.softmax:
            return re + 1j * im
        case DSSVersion.exp:
            return -np.exp(re) + 1j * im
        case DSSVersion.exp_re_im:
            return -np.exp(re) + 1j * np.exp(im)
        case DSSVersion.clip:
            return np.minimum(re, 1e-4) + 1j * im


def kernels(dss: DSS, length: int) -> list[np.ndarray]:
    """The paper's kernels, (H, length) for each direction, in float64."""
    p = {name: np.asarray(value, np.float64) for name, value in nnx.to_pure_dict(nnx.state(dss)).items()}
    Lambda = eigenvalues(dss.version, p["Lambda_re"], p["Lambda_im"])
    inverse = Lambda.conj() / (np.abs(Lambda) ** 2 + 1e-7)  # as the paper computes it
    step = np.exp(p["log_step"])
    a = (Lambda.real * step[:, :1] + 1j * Lambda.imag * step[:, -1:])[..., None]
    if dss.version is DSSVersion.softmax:
        exponents = a * np.arange(dss.l_max)
        powers = np.exp(exponents - exponents.real.max(-1, keepdims=True))  # as a softmax is computed
        basis = (powers / powers.sum(-1, keepdims=True) * inverse[:, None])[..., :length]
    else:
        basis = np.exp(a * np.arange(length)) * ((np.exp(a) - 1) * inverse[:, None] if dss.scale else 1)
    W = p["W_re"] + 1j * p["W_im"]
    return [np.einsum("hn,hnl->hl", one, basis).real for one in np.split(W, W.shape[1] // len(Lambda), axis=1)]


def definition(dss: DSS, u: Any) -> np.ndarray:
    """The paper's layer: the sums over the kernels, in float64."""
    u = np.asarray(u, np.float64)
    length = u.shape[1]
    y = np.asarray(dss.D[...], np.float64) * u
    for direction, kernel in enumerate(kernels(dss, length)):
        order = slice(None, None, -1 if direction else None)
        rows = u[:, order]
        n = 2 * length
        sums = np.fft.irfft(np.fft.rfft(rows, n, axis=1) * np.fft.rfft(kernel, n).T, n, axis=1)[:, :length]
        y += sums[:, order]
    return y


def grow(dss: DSS, *rates: float) -> DSS:
    """Give the first eigenvalues positive real parts."""
    dss.Lambda_re[...] = dss.Lambda_re[...].at[: len(rates)].set(jnp.asarray(rates))
    return dss


CASES: dict[str, DSS] = {
    "softmax": layer(),
    "softmax with states that grow": grow(layer(bidirectional=True), 0.5, 3.0),
    "exp, one step size": layer(version=DSSVersion.exp, sep_dt_re_im=False),
    "exp without scale": layer(version=DSSVersion.exp, scale=False, bidirectional=True),
    "exp_re_im": layer(version=DSSVersion.exp_re_im),
    "clip": grow(layer(version=DSSVersion.clip), 0.5),
}


@pytest.mark.parametrize("dss", CASES.values(), ids=CASES)
def test_kernel_and_recurrence_are_the_definition(dss: DSS) -> None:
    u = inputs()
    want = definition(dss, u)
    for steps in (Steps(), Steps(intervals=jnp.ones((batch, L)))):
        np.testing.assert_allclose(jax.jit(dss)(u, steps), want, rtol=2e-4, atol=2e-5)


def test_both_forms_have_the_same_derivatives() -> None:
    graph, state = nnx.split(grow(layer(bidirectional=True), 0.5, 3.0))

    @jax.jit
    def gradients(steps: Steps) -> Any:
        return jax.grad(lambda state, u: jnp.sin(nnx.merge(graph, state)(u, steps)).sum(), (0, 1))(state, inputs())

    recurrence = gradients(Steps(intervals=jnp.ones((batch, L))))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4), gradients(Steps()), recurrence)


def test_at_another_rate_the_window_is_the_same_time() -> None:
    dss, u, rate = grow(layer(l_max=20), 3.0), inputs(), Steps(rate=2.0)
    y = dss(u, rate)
    recurrence = jax.jit(dss)(u, Steps(intervals=jnp.ones((batch, L)), rate=2.0))
    np.testing.assert_allclose(y, recurrence, rtol=2e-4, atol=2e-5)
    # The input of a step is held for twice as long, as two steps of the finer grid hold it.
    held = jnp.repeat(u, 2, axis=1)
    np.testing.assert_allclose(y, dss(held)[:, 1::2], rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("version", [DSSVersion.softmax, DSSVersion.exp], ids=lambda version: version.name)
def test_long_sequences_are_the_definition(version: DSSVersion) -> None:
    dss = DSS(H, 32, version=version, l_max=16384, rngs=np.random.default_rng(0))
    if version is DSSVersion.softmax:
        grow(dss, 0.5, 5.0, 0.01)  # to e^(5 * 0.1 * 16384) in the window
    u = inputs(16384)
    y, pull = jax.vjp(jax.jit(lambda Lambda_re: with_eigenvalues(dss, Lambda_re)(u)), dss.Lambda_re[...])
    want = definition(dss, u)
    assert np.abs(y - want).max() < 1e-4 * np.abs(want).max()
    assert np.isfinite(pull(y)[0]).all()


def with_eigenvalues(dss: DSS, Lambda_re: jax.Array) -> DSS:
    other = nnx.clone(dss)
    other.Lambda_re[...] = Lambda_re
    return other


def test_double_precision_is_the_definition() -> None:
    dss = grow(layer(bidirectional=True, l_max=256), 0.5)
    with jax.enable_x64(True):
        nnx.update(dss, jax.tree.map(lambda value: jnp.asarray(value, jnp.float64), nnx.state(dss)))
        u = jnp.asarray(inputs(256), jnp.float64)
        want = definition(dss, u)
        error = np.abs(dss(u) - want).max() / np.abs(want).max()
    assert error < 1e-8


def test_a_sequence_longer_than_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match=r"sequences have 17 steps, more than l_max=16, .* l_max to at least 17"):
        layer()(inputs(17))
    with pytest.raises(ValueError, match=r"9 steps of 2 regular intervals, more than l_max=16, .* at least 18"):
        layer()(inputs(), Steps(rate=2.0))
    with pytest.raises(ValueError, match=r"9 steps of 2 regular intervals"):
        layer()(inputs(), Steps(rate=jnp.asarray(2.0)))
    layer(version=DSSVersion.exp)(inputs(17))


def test_data_longer_than_the_window_are_refused_before_the_training(tmp_path: Path) -> None:
    DSSConfig(l_max=64).check_length(64)
    DSSConfig(l_max=64, version=DSSVersion.exp).check_length(65)
    DSSConfig(l_max=64, step_rescale=0.5).check_length(128)
    with pytest.raises(ValueError, match=r"model\.l_max=64: .* the sequences have 65; train with model\.l_max=65"):
        DSSConfig(l_max=64).check_length(65)
    with pytest.raises(ValueError, match=r"the sequences have 80;"):
        DSSConfig(l_max=64).check_length(40, 2.0)
    with pytest.raises(UserError, match=r"model\.l_max=63: .* \(data\.name=digits\)"):
        train(compose(["experiment=digits/s5", "model=dss-digits", "model.l_max=63"]), tmp_path)


def test_a_trained_model_refuses_a_rate_at_which_sequences_are_longer_than_the_window(tmp_path: Path) -> None:
    sizes = ["model.n_layers=1", "model.d_model=4", "model.d_state=2", "train.epochs=1"]
    train(compose(["experiment=digits/s5", "model=dss-digits", *sizes]), tmp_path)
    with pytest.raises(UserError, match=r"--step-rescale 2, data\.name=digits: model\.l_max=64: .* have 128"):
        evaluate(tmp_path, "test", step_rescale=2.0)


def test_a_stream_of_states_that_grow_stays_finite_within_the_window() -> None:
    dss = grow(layer(l_max=400, dt_min=0.1, dt_max=0.1), 3.0, 20.0)  # to e^120 and e^800 in the window
    u = inputs(400)
    _, y = dss.advance(dss.initial_state(batch), u)
    want = definition(dss, u)
    assert np.isfinite(y).all()
    only = grow(layer(l_max=400, dt_min=0.1, dt_max=0.1), 3.0)
    want = definition(only, u)
    _, y = only.advance(only.initial_state(batch), u)
    assert np.abs(y - want).max() < 1e-3 * np.abs(want).max()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"scale": False}, r"model\.scale=false: model\.version=softmax always has the scale; choose another version"),
        ({"d_state": 0}, r"model\.d_state=0 must be at least 1"),
        ({"l_max": 0}, r"model\.l_max=0 must be at least 1"),
        ({"dt_min": 0.2}, r"model\.dt_min=0\.2 must be above 0 and at most model\.dt_max=0\.1"),
    ],
)
def test_impossible_options_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DSSConfig(**keys)
