import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.extend.core import jaxprs_in_params

from s5.config.choices import CInit, Discretization
from s5.nn.steps import Steps
from s5.ssm.s5 import S5SSM

SMALL = {"d_model": 6, "d_state": 8, "n_blocks": 2, "dt_min": 0.01, "dt_max": 0.5}
batch, L, H = 3, 11, 6
TIMES = jnp.asarray(np.cumsum(np.random.default_rng(5).integers(1, 4, (3, 11)), axis=1), jnp.float32)


def layer(seed=0, **changes):
    return S5SSM(**SMALL | changes, rngs=np.random.default_rng(seed))


def inputs(seed=0, steps=L):
    return jnp.asarray(np.random.default_rng(seed).standard_normal((batch, steps, H)), jnp.float32)


whole = nnx.jit(lambda ssm, u: ssm(u))


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


def test_recurrence_is_the_convolution_with_its_kernel():
    ssm, u = layer(), np.asarray(inputs(), np.float64)
    Lambda_bar, B_bar, C, D = system(ssm)
    powers = Lambda_bar ** np.arange(L)[:, None]
    kernel = 2 * np.einsum("hp,lp,pg->lhg", C, powers, B_bar).real
    y = np.stack([sum(u[:, k - lag] @ kernel[lag].T for lag in range(k + 1)) for k in range(L)], axis=1) + D * u
    np.testing.assert_allclose(ssm(inputs()), y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("discretization", "irregular"), [(Discretization.zoh, True), (Discretization.bilinear, False)], ids=str
)
def test_step_by_step_and_chunk_by_chunk_are_the_whole_sequence(discretization, irregular):
    ssm, u = layer(discretization=discretization, step_rescale=0.5), inputs()
    times = TIMES if irregular else None
    intervals = jnp.diff(TIMES, axis=1, prepend=TIMES[:, :1] - 1) if irregular else None
    whole = ssm(u, Steps.of(L, times=times, rate=1.5))
    step = nnx.jit(lambda ssm, x, u, interval: ssm.step(x, u, Steps(intervals=interval, rate=1.5)))
    advance = nnx.jit(lambda ssm, x, u, intervals: ssm.advance(x, u, Steps(intervals=intervals, rate=1.5)))
    x, outputs = ssm.initial_state(batch), []
    for k in range(L):
        x, y = step(ssm, x, u[:, k], None if intervals is None else intervals[:, k])
        outputs.append(y)
    np.testing.assert_allclose(jnp.stack(outputs, axis=1), whole, rtol=1e-4, atol=1e-5)
    x, outputs = ssm.initial_state(batch), []
    for chunk in (slice(4), slice(4, 8), slice(8, L)):
        own = None if intervals is None else intervals[:, chunk]
        x, y = advance(ssm, x, u[:, chunk], own)
        outputs.append(y)
    np.testing.assert_allclose(jnp.concatenate(outputs, axis=1), whole, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def cut_in_two():
    """Return a compiled function (u, cut) -> outputs of two chunks, and a layer. Each chunk is padded to L steps."""
    ssm, k = layer(), jnp.arange(L)[:, None]

    @nnx.jit
    def run(ssm, u, cut):
        # Zeros before the first chunk leave the state at zero; those after the second come after all that counts.
        x, first = ssm.advance(ssm.initial_state(batch), jnp.roll(jnp.where(k < cut, u, 0), L - cut, axis=1))
        _, second = ssm.advance(x, jnp.roll(jnp.where(k < cut, 0, u), -cut, axis=1))
        return jnp.where(k < cut, jnp.roll(first, cut - L, axis=1), jnp.roll(second, cut, axis=1))

    return run, ssm


@settings(max_examples=20, deadline=None)
@given(cut=st.integers(1, L - 1), seed=st.integers(0, 2**32 - 1))
def test_a_stream_may_be_cut_anywhere(cut_in_two, cut, seed):
    run, ssm = cut_in_two
    u = inputs(seed)
    np.testing.assert_allclose(run(ssm, u, cut), whole(ssm, u), rtol=1e-4, atol=1e-4)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_reversal_exchanges_the_directions(both_ways, seed):
    ssm, mirrored = both_ways
    u = inputs(seed)
    np.testing.assert_allclose(whole(mirrored, u[:, ::-1])[:, ::-1], whole(ssm, u), rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def both_ways():
    """Return a bidirectional layer, and the same layer with the two directions' columns of C exchanged."""
    ssm, mirrored = layer(bidirectional=True), layer(bidirectional=True)
    for name in ("C_re", "C_im"):
        getattr(mirrored, name)[...] = jnp.roll(getattr(ssm, name)[...], SMALL["d_state"] // 2, axis=1)
    return ssm, mirrored


@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
def test_irregular_steps_are_the_definition(bidirectional):
    ssm, u = layer(bidirectional=bidirectional), np.asarray(inputs(), np.float64)
    values = {name: np.asarray(getattr(ssm, name)[...], np.float64) for name in ("B_re", "B_im", "C_re", "C_im", "D")}
    Lambda = np.asarray(ssm.Lambda_re[...], np.float64) + 1j * np.asarray(ssm.Lambda_im[...], np.float64)
    B, C = values["B_re"] + 1j * values["B_im"], values["C_re"] + 1j * values["C_im"]
    gaps, ones = np.diff(np.asarray(TIMES), axis=1), np.ones((batch, 1))
    y = values["D"] * u
    for reverse in (False, True)[: 1 + bidirectional]:
        z = Lambda * np.exp(np.asarray(ssm.log_step[...], np.float64))
        delta = np.concatenate([gaps, ones] if reverse else [ones, gaps], axis=1)[..., None]
        columns = C[:, Lambda.size :] if reverse else C[:, : Lambda.size]
        x = np.zeros((batch, Lambda.size), complex)
        for k in reversed(range(L)) if reverse else range(L):
            Lambda_bar = np.exp(z * delta[:, k])
            x = Lambda_bar * x + (Lambda_bar - 1) / Lambda * (u[:, k] @ B.T)
            y[:, k] += 2 * (x @ columns.T).real
    np.testing.assert_allclose(ssm(inputs(), Steps.of(L, times=TIMES)), y, rtol=1e-4, atol=1e-4)


def test_step_rescale_is_a_factor_on_every_step():
    ssm, u = layer(), inputs()
    scaled = ssm(u, Steps(rate=2.0))
    np.testing.assert_allclose(layer(step_rescale=2.0)(u), scaled, rtol=1e-6)
    np.testing.assert_allclose(
        ssm(u, Steps.of(L, times=2.0 * jnp.broadcast_to(jnp.arange(L), (batch, L))))[:, 0], ssm(u)[:, 0], 1e-5
    )
    ssm.log_step[...] += np.log(2)
    np.testing.assert_allclose(ssm(u), scaled, rtol=1e-4, atol=1e-5)


def test_observations_at_one_time_and_a_step_of_zero_hold_the_state():
    ssm, u = layer(), inputs()
    steps = Steps.of(L, times=jnp.zeros((batch, L)))
    gradients = nnx.grad(lambda ssm: (ssm(u, steps) ** 2).sum())(ssm)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    _, first = ssm.step(ssm.initial_state(batch), u[:, 0])
    x_last = ssm(u, steps)[:, -1] - ssm.D[...] * u[:, -1]
    np.testing.assert_allclose(x_last, first - ssm.D[...] * u[:, 0], rtol=1e-4, atol=1e-5)
    ssm.log_step[...] = jnp.full_like(ssm.log_step[...], -jnp.inf)
    np.testing.assert_array_equal(ssm(u), ssm.D[...] * u)


def test_half_precision_inputs_keep_a_float32_state():
    ssm, u = layer(bidirectional=True), inputs()
    y = ssm(u.astype(jnp.bfloat16))
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y.astype(jnp.float32), ssm(u), rtol=0.05, atol=0.05)
    jaxpr = jax.make_jaxpr(ssm)(u.astype(jnp.bfloat16)).jaxpr
    scanned = [aval for aval in arrays_of(jaxpr) if getattr(aval, "shape", None) == (batch, L, 2, 4)]
    assert scanned
    assert {aval.dtype for aval in scanned} == {jnp.dtype("float32")}


def test_a_bidirectional_layer_refuses_to_stream():
    ssm = layer(bidirectional=True)
    with pytest.raises(ValueError, match="no streaming form"):
        ssm.step(ssm.initial_state(batch), inputs()[:, 0])


@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
def test_outputs_look_ahead_only_where_they_may(bidirectional):
    ssm, k = layer(bidirectional=bidirectional), 4
    by_input = np.asarray(jax.grad(lambda u: ssm(u)[:, k].sum())(inputs()))
    assert (np.abs(by_input).sum((0, 2)) > 0).tolist() == [step <= k or bidirectional for step in range(L)]


@pytest.mark.parametrize("irregular", [False, True], ids=["regular", "irregular"])
def test_padding_changes_no_valid_output_and_no_gradient(irregular):
    ssm, u, weight = layer(bidirectional=True), inputs(), inputs(seed=2)
    graph, state = nnx.split(ssm)
    padded = jnp.concatenate([u, 1e3 * inputs(seed=1, steps=5)], axis=1)
    mask = jnp.broadcast_to(jnp.arange(L + 5) < L, (batch, L + 5))
    # The times of padded steps are whatever stands there.
    padded_times = jnp.concatenate([TIMES, -1e4 * jnp.ones((batch, 5))], axis=1)

    def loss(state, u, mask, times):
        steps = Steps.of(u.shape[1], times=times if irregular else None)._replace(mask=mask)
        y = nnx.merge(graph, state)(u, steps)[:, :L]
        return (y * weight).sum(), y

    run = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))
    (_, want), (by_state, by_u) = run(state, u, None, TIMES)
    (_, got), (by_state_padded, by_u_padded) = run(state, padded, mask, padded_times)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(by_u_padded[:, :L], by_u, rtol=1e-4, atol=1e-4)
    assert not by_u_padded[:, L:].any()
    for one, other in zip(jax.tree.leaves(by_state_padded), jax.tree.leaves(by_state), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


def test_a_row_of_padding_alone_and_a_sequence_of_one_step():
    ssm, u = layer(bidirectional=True), inputs()
    mask = jnp.ones((batch, L), bool).at[1].set(False)
    y = ssm(u, Steps(mask))
    np.testing.assert_allclose(y[1], ssm.D[...] * u[1], rtol=1e-6)  # the state never leaves zero
    np.testing.assert_allclose(y[0], ssm(u)[0], rtol=1e-5, atol=1e-5)
    one = ssm(u[:, :1])
    np.testing.assert_allclose(one, ssm(u, Steps.of(L, jnp.ones(batch, int)))[:, :1], rtol=1e-5, atol=1e-5)


def test_a_row_of_padding_alone_moves_no_parameter_of_the_states():
    ssm, u, weight = layer(bidirectional=True), inputs(), inputs(seed=2)
    graph, state = nnx.split(ssm)
    run = jax.jit(jax.grad(lambda state, u, mask: (nnx.merge(graph, state)(u, Steps(mask)) * weight).sum(), (0, 1)))
    mask = jnp.ones((batch, L), bool).at[1].set(False)
    by_state, by_u = run(state, u, mask)
    np.testing.assert_allclose(by_u[1], ssm.D[...] * weight[1], rtol=1e-6)
    # Whatever stands in the row, though its outputs are asked for.
    other = run(state, u.at[1].set(1e3), mask)[0]
    for (path, one), two in zip(jax.tree.leaves_with_path(by_state), jax.tree.leaves(other), strict=True):
        assert np.isfinite(one).all()
        if "'D'" not in jax.tree_util.keystr(path):
            np.testing.assert_array_equal(one, two)


def test_clipped_eigenvalues_decay():
    free, clipped = layer(clip_eigs=False), layer(clip_eigs=True)
    for ssm in (free, clipped):
        ssm.Lambda_re[...] = jnp.full_like(ssm.Lambda_re[...], 5.0)
    u = jnp.zeros((batch, 400, H)).at[:, 0].set(1.0)
    assert not jnp.isfinite(free(u)).all() or jnp.abs(free(u)[:, -1]).max() > 1e3
    assert jnp.abs(clipped(u)[:, -1]).max() < 10
    free.Lambda_re[...] = jnp.full_like(free.Lambda_re[...], -1e-4)
    np.testing.assert_allclose(clipped(u), free(u), rtol=1e-5, atol=1e-6)


def test_parameters_are_real_and_shaped_as_documented():
    ssm = layer(bidirectional=True)
    shapes = {name: value.shape for name, value in nnx.to_pure_dict(nnx.state(ssm)).items()}
    H, P = 6, 4
    assert shapes == {
        "Lambda_re": (P,), "Lambda_im": (P,), "log_step": (P,), "D": (H,),
        "B_re": (P, H), "B_im": (P, H), "C_re": (H, 2 * P), "C_im": (H, 2 * P),
    }  # fmt: skip
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(ssm))} == {jnp.dtype("float32")}


def test_a_bare_layer_is_built_from_plain_arguments_and_says_what_fits():
    ssm = S5SSM(16, 20, rngs=nnx.Rngs(0))
    assert ssm(jnp.ones((2, 5, 16))).shape == (2, 5, 16)
    with pytest.raises(ValueError, match=r"n_blocks=8 equal blocks of even size; n_blocks may be 1, 2, 5, 10$"):
        S5SSM(16, 20, n_blocks=8, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"d_state=7 .* with conj_sym, d_state must be even"):
        S5SSM(16, 7, rngs=nnx.Rngs(0))
    for key in ("params", "default"):  # a key of either stream, and another each time
        rngs = nnx.Rngs(**{key: 0})
        one, other = S5SSM(16, 20, rngs=rngs), S5SSM(16, 20, rngs=rngs)
        assert (one.D[...] != other.D[...]).all()


def test_a_bare_layer_trains_in_a_loop_of_flax():
    class Model(nnx.Module):
        def __init__(self, rngs):
            self.ssm, self.out = S5SSM(16, 32, rngs=rngs), nnx.Linear(16, 1, rngs=rngs)

        def __call__(self, u):
            return self.out(self.ssm(u).mean(1))

    model = Model(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adam(1e-2), wrt=nnx.Param)
    u = jnp.asarray(np.random.default_rng(0).standard_normal((8, L, 16)), jnp.float32)

    @nnx.jit
    def step(model, optimizer):
        loss, grads = nnx.value_and_grad(lambda model: ((model(u)[:, 0] - u[:, 0, 0]) ** 2).mean())(model)
        optimizer.update(model, grads)
        return loss

    losses = [float(step(model, optimizer)) for _ in range(30)]
    assert losses[-1] < 0.5 * losses[0]


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
