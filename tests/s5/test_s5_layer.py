import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.extend.core import jaxprs_in_params

from s5.choices import CInit, Discretization
from s5.config import ModelConfig
from s5.ssm.s5 import S5SSM

SMALL = ModelConfig(d_model=6, d_state=8, n_blocks=2, dt_min=0.01, dt_max=0.5)
batch, L = 3, 11


def layer(seed=0, **changes):
    return S5SSM(dataclasses.replace(SMALL, **changes), np.random.default_rng(seed))


def inputs(seed=0, steps=L):
    return jnp.asarray(np.random.default_rng(seed).standard_normal((batch, steps, SMALL.d_model)), jnp.float32)


def system(ssm):
    """The layer's discrete system as complex matrices, by zero-order hold, in float64."""
    values = {name: np.asarray(getattr(ssm, name)[...], np.float64) for name in ("B_re", "B_im", "C_re", "C_im", "D")}
    Lambda = np.asarray(ssm.Lambda_re[...], np.float64) + 1j * np.asarray(ssm.Lambda_im[...], np.float64)
    step = np.exp(np.asarray(ssm.log_step[...], np.float64))
    Lambda_bar = np.exp(Lambda * step)
    B_bar = ((Lambda_bar - 1) / Lambda)[:, None] * (values["B_re"] + 1j * values["B_im"])
    return Lambda_bar, B_bar, values["C_re"] + 1j * values["C_im"], values["D"]


def definition(ssm, u, factor):
    """y_k = factor Re(C x_k) + D u_k with x_k = Lambda_bar x_{k−1} + B_bar u_k, one step after the other."""
    Lambda_bar, B_bar, C, D = system(ssm)
    states, P = [], Lambda_bar.size
    for order in [range(L)] if C.shape[1] == P else [range(L), range(L - 1, -1, -1)]:
        x, out = np.zeros((batch, P), complex), np.zeros((batch, L, P), complex)
        for k in order:
            x = Lambda_bar * x + u[:, k] @ B_bar.T
            out[:, k] = x
        states.append(out)
    return factor * (np.concatenate(states, axis=-1) @ C.T).real + D * u


@pytest.mark.parametrize("kind", CInit)
@pytest.mark.parametrize("conj_sym", [True, False], ids=["half", "full"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
def test_layer_is_the_definition(conj_sym, bidirectional, kind):
    ssm = layer(conj_sym=conj_sym, bidirectional=bidirectional, C_init=kind)
    u = inputs()
    np.testing.assert_allclose(ssm(u), definition(ssm, np.asarray(u), 2 if conj_sym else 1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("discretization", Discretization)
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
def test_half_spectrum_is_the_full_spectrum(bidirectional, discretization):
    half = layer(bidirectional=bidirectional, discretization=discretization)
    full = layer(bidirectional=bidirectional, discretization=discretization, conj_sym=False)
    sign = {"Lambda_im": -1, "B_im": -1, "C_im": -1}
    for name in ("Lambda_re", "Lambda_im", "B_re", "B_im", "C_re", "C_im", "log_step"):
        value = getattr(half, name)[...]
        parts = jnp.split(value, 1 + bidirectional, axis=1) if name.startswith("C") else [value]
        mirrored = [jnp.concatenate([p, sign.get(name, 1) * p], axis=int(name.startswith("C"))) for p in parts]
        getattr(full, name)[...] = jnp.concatenate(mirrored, axis=-1)
    full.D[...] = half.D[...]
    u = inputs()
    np.testing.assert_allclose(half(u), full(u), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("discretization", Discretization)
def test_step_by_step_is_the_whole_sequence(discretization):
    ssm, u = layer(discretization=discretization), inputs()
    x, outputs = ssm.initial_state(batch), []
    for k in range(L):
        x, y = ssm.step(x, u[:, k])
        outputs.append(y)
    np.testing.assert_allclose(jnp.stack(outputs, axis=1), ssm(u), rtol=1e-4, atol=1e-5)


def test_a_bidirectional_layer_refuses_to_stream():
    ssm = layer(bidirectional=True)
    with pytest.raises(ValueError, match="no streaming form"):
        ssm.step(ssm.initial_state(batch), inputs()[:, 0])


@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
def test_outputs_look_ahead_only_where_they_may(bidirectional):
    ssm, k = layer(bidirectional=bidirectional), 4
    by_input = np.asarray(jax.grad(lambda u: ssm(u)[:, k].sum())(inputs()))
    assert (np.abs(by_input).sum((0, 2)) > 0).tolist() == [step <= k or bidirectional for step in range(L)]


@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
def test_padding_changes_no_valid_output(bidirectional):
    ssm, u = layer(bidirectional=bidirectional), inputs()
    padded = jnp.concatenate([u, 1e3 * inputs(seed=1, steps=5)], axis=1)
    mask = jnp.broadcast_to(jnp.arange(L + 5) < L, (batch, L + 5))
    np.testing.assert_allclose(ssm(padded, mask)[:, :L], ssm(u), rtol=1e-5, atol=1e-5)


def test_clipped_eigenvalues_decay():
    free, clipped = layer(clip_eigs=False), layer(clip_eigs=True)
    for ssm in (free, clipped):
        ssm.Lambda_re[...] = jnp.full_like(ssm.Lambda_re[...], 5.0)
    u = jnp.zeros((batch, 400, SMALL.d_model)).at[:, 0].set(1.0)
    assert not jnp.isfinite(free(u)).all() or jnp.abs(free(u)[:, -1]).max() > 1e3
    assert jnp.abs(clipped(u)[:, -1]).max() < 10


def test_parameters_are_real_and_shaped_as_documented():
    ssm = layer(bidirectional=True)
    shapes = {name: value.shape for name, value in nnx.to_pure_dict(nnx.state(ssm)).items()}
    H, P = 6, 4
    assert shapes == {
        "Lambda_re": (P,), "Lambda_im": (P,), "log_step": (P,), "D": (H,),
        "B_re": (P, H), "B_im": (P, H), "C_re": (H, 2 * P), "C_im": (H, 2 * P),
    }  # fmt: skip
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(ssm))} == {jnp.dtype("float32")}


def arrays_of(jaxpr):
    for equation in jaxpr.eqns:
        yield from (out.aval for out in equation.outvars)
        for inner in jaxprs_in_params(equation.params):
            yield from arrays_of(inner)


def test_no_array_is_as_large_as_length_times_states_times_features():
    H, P_full, steps = 64, 64, 128
    ssm = layer(d_model=H, d_state=P_full)
    jaxpr = jax.make_jaxpr(jax.grad(lambda u: ssm(u).sum()))(jnp.ones((1, steps, H))).jaxpr
    largest = max(aval.size for aval in arrays_of(jaxpr) if hasattr(aval, "size"))
    assert steps * H <= largest <= 4 * steps * H < steps * H * P_full // 2
