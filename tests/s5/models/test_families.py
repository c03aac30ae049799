"""Properties of every model family. A new family, and an option that changes its computation, adds a line to CASES."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from flax import nnx
from jax import export

from s5.config import families as families_module
from s5.config.choices import Head, Norm, Pooling, Precision
from s5.config.model import ModelConfig
from s5.config.training import OptimConfig
from s5.models import mixers
from s5.models.mixers import MIXERS, make_mixer, register_family
from s5.models.sequence_model import SequenceModel, make_model
from s5.nn.sequence_mixer import SequenceMixer
from s5.nn.steps import REGULAR, Steps
from s5.training.checkpoints import flatten, newest, save, unflatten
from s5.training.optimizer import make_optimizer
from tests.s5.models.family_cases import BATCH, CASES, D_INPUT, D_OUTPUT, L, draw, families, model, near, with_each

pytestmark = pytest.mark.slow

TIMES = jnp.asarray(np.cumsum(np.random.default_rng(5).integers(1, 4, (BATCH, L)), axis=1), jnp.float32)
SEGMENTS = (slice(0, 4), slice(4, 8), slice(8, 12))
RESETS = jnp.zeros((BATCH, L), bool).at[:, jnp.array([4, 8])].set(True)
LENGTHS = jnp.array([L, 4, 1])


def observe(config: ModelConfig, L: int, lengths: Any = None, *, times: Any = TIMES, **more: Any) -> Steps:
    """Return steps with times, or without for a family that needs regular steps."""
    return Steps.of(L, lengths, times=times if config.takes_times else None, **more)


def with_gradients(net: SequenceModel) -> Callable[[jax.Array, Steps, jax.Array], tuple[jax.Array, Any]]:
    """Return a function (inputs, steps, weight) -> (outputs, gradients of their weighted sum).

    The gradients are those by every parameter and by the inputs; the weight may lack steps at the end.
    """
    graph, params, stats = nnx.split(net, nnx.Param, ...)

    def loss(params: Any, x: jax.Array, steps: Steps, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
        y = nnx.merge(graph, params, stats, copy=True)(x, steps, train=True)
        return (y[:, : weight.shape[1]] * weight).sum(), y

    run = jax.jit(jax.grad(loss, (0, 1), has_aux=True))

    def gradients(x: jax.Array, steps: Steps, weight: jax.Array) -> tuple[jax.Array, Any]:
        grads, y = run(params, x, steps, weight)
        return y, grads

    return gradients


def all_near(one: Any, other: Any) -> None:
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        near(a, b, atol=2e-4)


def test_every_family_is_tested_here():
    assert {config.kind for config in CASES.values()} == set(MIXERS)


def test_a_family_from_outside_is_registered_with_its_mixer(monkeypatch: pytest.MonkeyPatch):
    @dataclasses.dataclass(kw_only=True)
    class ScaledConfig(ModelConfig):
        kind: str = "scaled"
        factor: float = 2.0

    class Scaled(SequenceMixer):
        """A mixer whose output at a step depends on this step only."""

        def __init__(self, d_model: int, factor: float, bidirectional: bool, rngs: Any) -> None:
            self.d_model, self.factor, self.bidirectional = d_model, factor, bidirectional

        def __call__(self, u: jax.Array, steps: Steps = REGULAR) -> jax.Array:
            return self.factor * u

        def initial_state(self, batch: int) -> Any:
            return ()

        def advance(self, state: Any, u: jax.Array, steps: Steps = REGULAR) -> tuple[Any, jax.Array]:
            return state, self(u)

    monkeypatch.setattr(mixers, "MIXERS", dict(MIXERS))
    monkeypatch.setattr(families_module, "FAMILIES", dict(families_module.FAMILIES))
    register_family(ScaledConfig, Scaled)
    register_family(ScaledConfig, Scaled)  # a module may be imported twice
    net, x = model(ScaledConfig(n_layers=2, d_model=6, factor=3.0)), draw(BATCH, L, D_INPUT)
    assert net.layers.layer.ssm.factor == 3.0
    _, first = net.advance(net.initial_state(BATCH), x[:, :5])
    near(first, net(x, train=False)[:, :5])
    with pytest.raises(ValueError, match=r"model family 's5': S5Config has this name already"):
        register_family(dataclasses.make_dataclass("Other", [("kind", str, "s5")], bases=(ModelConfig,)), Scaled)


@with_each("head", [Head.classification, Head.regression])
def test_outputs_have_their_shape_and_every_parameter_a_gradient_and_a_rule(config: ModelConfig, head: Head):
    net = model(config, head)
    axes = (BATCH, L) if head.per_step else (BATCH,)
    gradients = with_gradients(net)
    y, (by_params, _) = gradients(draw(BATCH, L, D_INPUT), Steps.of(L, LENGTHS), draw(*axes, D_OUTPUT, seed=1))
    assert y.shape == (*axes, D_OUTPUT)
    assert y.dtype == jnp.float32
    for path, leaf in jax.tree.leaves_with_path(by_params):
        assert np.isfinite(leaf).all(), path
        assert np.abs(leaf).max() > 0, path
    params = nnx.state(net, nnx.Param)
    make_optimizer(OptimConfig(), params, steps_per_epoch=1, epochs=1).init(params)  # refuses a parameter without rule


@families
def test_training_without_dropout_is_evaluation(config: ModelConfig):
    net, dropping, x = model(config), model(config, dropout=0.5), draw(BATCH, L, D_INPUT)
    evaluated = net(x, train=False)
    near(net(x, train=True), evaluated, rtol=1e-6)
    near(dropping(x, train=False, key=jax.random.key(0)), evaluated, rtol=1e-6)
    assert (jnp.abs(dropping(x, train=True, key=jax.random.key(0)) - evaluated) > 1e-3).any()


@with_each("head", [Head.regression, Head.classification], streams=True)
def test_a_stream_in_chunks_or_steps_is_the_whole(config: ModelConfig, head: Head):
    net, x = model(config, head), draw(BATCH, L, D_INPUT)
    steps = observe(config, L, resets=RESETS, rate=1.5)
    whole = net(x, steps, train=False)
    state, outputs = net.initial_state(BATCH), []
    for leaf in jax.tree.leaves(state.layers):
        assert leaf.shape[:2] == (config.n_layers, BATCH)

    def at(part: Any) -> Steps:
        return jax.tree.map(lambda array: array[:, part] if jnp.ndim(array) else array, steps)

    for chunk in (slice(0, 5), slice(5, 7)):
        state, y = net.advance(state, x[:, chunk], at(chunk))
        outputs.append(y)
    step = jax.jit(net.step)
    for k in range(7, L):
        state, y = step(state, x[:, k], at(k))
        outputs.append(y[:, None] if head.per_step else y)
    near(jnp.concatenate(outputs, axis=1) if head.per_step else outputs[-1], whole)


@families
def test_segments_of_a_row_are_sequences_of_their_own(config: ModelConfig):
    net, x, weight = model(config), draw(BATCH, L, D_INPUT), draw(BATCH, L, D_OUTPUT, seed=1)
    gradients = with_gradients(net)
    y, grads = gradients(x, observe(config, L, resets=RESETS), weight)
    apart = [gradients(x[:, own], observe(config, 4, times=TIMES[:, own]), weight[:, own]) for own in SEGMENTS]
    near(y, jnp.concatenate([y for y, _ in apart], axis=1))
    all_near(grads[0], jax.tree.map(lambda *each: sum(each), *(by_params for _, (by_params, _) in apart)))
    near(grads[1], jnp.concatenate([by_x for _, (_, by_x) in apart], axis=1))
    assert (jnp.abs(y - net(x, observe(config, L), train=False)) > 1e-3).any()


@with_each("pooling", list(Pooling))
def test_a_pooled_answer_is_that_of_the_last_segment(config: ModelConfig, pooling: Pooling):
    net, x = model(config, Head.classification, pooling=pooling), draw(BATCH, L, D_INPUT)
    near(net(x, Steps(resets=RESETS), train=False), net(x[:, SEGMENTS[-1]], train=False))
    padded = Steps.of(L, jnp.full(BATCH, 8), resets=RESETS)  # padding begins where the last segment would
    near(net(x, padded, train=False), net(x[:, SEGMENTS[1]], train=False))


@with_each("norm", [Norm.batch, Norm.layer, Norm.instance])
def test_padding_changes_nothing(config: ModelConfig, norm: Norm):
    net, x = model(config, norm=norm), draw(BATCH, L, D_INPUT)
    valid = jnp.arange(L) < LENGTHS[:, None]
    weight = jnp.where(valid[..., None], draw(BATCH, L, D_OUTPUT, seed=1), 0)
    longer = jnp.where(jnp.pad(valid, ((0, 0), (0, 4)))[..., None], jnp.pad(x, ((0, 0), (0, 4), (0, 0))), 1e2)
    times = jnp.pad(jnp.where(valid, TIMES, -1e4), ((0, 0), (0, 4)))
    gradients = with_gradients(net)
    want, want_grads = gradients(x, observe(config, L, LENGTHS), weight)
    got, grads = gradients(longer, observe(config, L + 4, LENGTHS, times=times), weight)
    near(jnp.where(valid[..., None], got[:, :L], 0), jnp.where(valid[..., None], want, 0))
    all_near(grads[0], want_grads[0])
    assert not jnp.where(jnp.pad(valid, ((0, 0), (0, 4)))[..., None], 0, grads[1]).any()


@families
def test_what_is_saved_is_loaded(config: ModelConfig, tmp_path: Path):
    net, other, x = model(config), model(config), draw(BATCH, L, D_INPUT)
    state = nnx.state(net)
    attempt = tmp_path / "attempts" / "0"
    attempt.mkdir(parents=True)
    save(attempt, 1, flatten(state, "model"), {}, {}, keep=1)
    nnx.update(other, jax.tree.map(jnp.zeros_like, nnx.state(other)))
    checkpoint = newest(tmp_path)
    assert checkpoint is not None
    nnx.update(other, unflatten(nnx.state(other), checkpoint.arrays, "model"))
    np.testing.assert_array_equal(other(x, train=False), net(x, train=False))


@families
def test_what_is_exported_is_the_live_model(config: ModelConfig, monkeypatch: pytest.MonkeyPatch):
    net, x = model(config), draw(BATCH, L, D_INPUT)
    batch = export.symbolic_shape(f"batch, {L}, {D_INPUT}")
    # Type checks of shapes, which only tests have, do not know symbols.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    exported = export.export(jax.jit(lambda x: net(x, train=False)))(jax.ShapeDtypeStruct(batch, x.dtype))
    loaded = export.deserialize(exported.serialize())
    for rows in (x, x[:1]):
        near(loaded.call(rows), net(rows, train=False), rtol=1e-5)


@families
def test_jax_transforms_a_model(config: ModelConfig):
    net, x = model(config), draw(2, BATCH, L, D_INPUT)
    steps = observe(config, L, LENGTHS, resets=RESETS)

    def loss(rows: jax.Array) -> tuple[jax.Array, jax.Array]:
        y = net(rows, steps, train=False)
        return jnp.sin(y).sum(), y

    alone = jax.jit(jax.grad(loss, has_aux=True))
    slopes, outputs = jax.tree.map(lambda *each: jnp.stack(each), *(alone(rows) for rows in x))
    slopes_at_once, outputs_at_once = jax.jit(jax.vmap(alone))(x)
    near(outputs_at_once, outputs)
    near(slopes_at_once, slopes)
    _, scanned = jax.jit(lambda x: jax.lax.scan(lambda carry, rows: (carry, loss(rows)[1]), (), x))(x)
    near(scanned, outputs)


@families
def test_half_precision_stays_near(config: ModelConfig):
    x = draw(BATCH, L, D_INPUT)
    half = model(config, precision=Precision.bfloat16)(x, train=False)
    assert half.dtype == jnp.float32
    np.testing.assert_allclose(half, model(config)(x, train=False), atol=0.15)


@families
def test_a_layer_says_what_it_takes(config: ModelConfig):
    mixer = make_mixer(config, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"takes inputs of shape \(batch, L, 6\), not \(3, 12, 5\)$"):
        mixer(draw(BATCH, L, 5))
    with pytest.raises(ValueError, match=r"takes floats, not int32: u\.astype\(jnp\.float32\)$"):
        mixer.check_inputs(draw(BATCH, L, 6).astype(jnp.int32), REGULAR)
    with pytest.raises(ValueError, match=r"Steps\.mask has shape \(3, 11\), .* steps of shape \(3, 12\); Steps\.of"):
        mixer(draw(BATCH, L, 6), Steps.of(L - 1, LENGTHS - 1))
    if not config.takes_times:
        with pytest.raises(
            ValueError, match=r"needs regular steps and takes no Steps\.intervals: choose model\.times="
        ):
            mixer(draw(BATCH, L, 6), Steps.of(L, times=TIMES))
    if config.bidirectional:
        with pytest.raises(ValueError, match="no streaming form"):
            mixer.step(mixer.initial_state(BATCH), draw(BATCH, 6))
    else:
        with pytest.raises(ValueError, match=r"a stream takes no Steps\.mask"):
            mixer.advance(mixer.initial_state(BATCH), draw(BATCH, L, 6), Steps.of(L, LENGTHS))


@families
def test_a_model_is_made_inside_of_transformations(config: ModelConfig) -> None:
    keys = jax.random.split(jax.random.key(3), 2)

    def make(key: jax.Array) -> SequenceModel:
        return make_model(config, D_INPUT, D_OUTPUT, nnx.Rngs(key))

    whole = nnx.state(make(keys[1]))
    together = nnx.state(nnx.vmap(make)(keys))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[1], b), together, whole)
    jax.tree.map(np.testing.assert_array_equal, nnx.state(nnx.jit(make)(keys[1])), whole)
    assert jax.tree.map(jnp.shape, nnx.state(nnx.eval_shape(lambda: make(keys[0])))) == jax.tree.map(jnp.shape, whole)
