import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from s5.config.choices import Norm, Pooling
from s5.config.compat import OURS, UPSTREAM
from s5.config.families import S5Config
from s5.config.training import OptimConfig
from s5.models.sequence_model import SequenceModel, make_model
from s5.nn.pooling import pool
from s5.nn.steps import REGULAR, Steps
from s5.training.optimizer import make_optimizer

pytestmark = pytest.mark.slow

SMALL = S5Config(n_layers=2, d_model=8, d_state=8, n_blocks=2)
batch, L, d_input, n_classes = 4, 12, 3, 5


def model(seed: int = 0, **changes: Any) -> SequenceModel:
    return make_model(dataclasses.replace(SMALL, **changes), d_input, n_classes, nnx.Rngs(seed))


def sequences(steps=L, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal((batch, steps, d_input)), jnp.float32)


# Every pair of values of any two options occurs.
@pytest.mark.parametrize(
    ("bidirectional", "prenorm", "pooling", "norm"),
    [
        (False, True, Pooling.mean, Norm.batch),
        (True, True, Pooling.last, Norm.layer),
        (True, False, Pooling.mean, Norm.batch),
        (True, False, Pooling.last, Norm.batch),
        (False, False, Pooling.mean, Norm.layer),
        (False, True, Pooling.last, Norm.batch),
    ],
)
def test_padding_changes_no_output_statistic_or_gradient(
    bidirectional: bool, prenorm: bool, pooling: Pooling, norm: Norm
) -> None:
    net = model(bidirectional=bidirectional, prenorm=prenorm, pooling=pooling, norm=norm)
    lengths = jnp.array([12, 3, 7, 1])
    x = sequences()
    longer = jnp.concatenate([x, x[:, :5]], axis=1)
    garbage = 100 * sequences(L + 5, seed=1)
    longer = jnp.where((jnp.arange(L + 5) < lengths[:, None])[..., None], longer, garbage)
    got, want = gradients(net, longer, lengths), gradients(net, x, lengths)
    assert_near(got, want)
    evaluate = jax.jit(lambda x: net(x, Steps.of(x.shape[1], lengths), train=False))
    assert_near(evaluate(longer), evaluate(x))


def run(net: Any, x: jax.Array | np.ndarray, lengths, train) -> tuple[Any, Any]:
    """Return the logits and the new statistics, without changing `net`."""
    graph, state = nnx.split(net)
    net = nnx.merge(graph, state, copy=True)
    return net(x, Steps.of(L, lengths), train=train), nnx.state(net, nnx.BatchStat)


def test_full_lengths_are_no_lengths() -> None:
    net, x = model(bidirectional=True), sequences()
    apply = jax.jit(lambda x, n=None: run(net, x, n, True))
    got, want = apply(x, jnp.full(batch, L)), apply(x)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_batch_is_its_sequences_one_by_one() -> None:
    net, x, lengths = model(bidirectional=True), sequences(), jnp.array([12, 3, 7, 1])
    apply = jax.jit(lambda x, n=None: net(x, Steps.of(x.shape[1], n), train=False))
    alone = [apply(x[i : i + 1, :n])[0] for i, n in enumerate(lengths.tolist())]
    np.testing.assert_allclose(apply(x, lengths), jnp.stack(alone), rtol=1e-4, atol=1e-5)


def gradients(net: Any, x: jax.Array | np.ndarray, lengths, rows=slice(None)) -> Any:
    """Return the gradient of a training step's loss over some rows, and the new statistics."""
    graph, params, stats = nnx.split(net, nnx.Param, ...)

    @jax.jit
    def step(params: Any, x: jax.Array | np.ndarray, lengths) -> tuple[Any, Any, Any]:
        def loss(params: Any) -> tuple[jax.Array, tuple[Any, Any]]:
            net = nnx.merge(graph, params, stats, copy=True)
            logits = net(x, Steps.of(x.shape[1], lengths), train=True)
            return jnp.sin(logits)[rows].sum(), (logits, nnx.state(net, nnx.BatchStat))

        (_, (logits, moved)), grads = jax.value_and_grad(loss, has_aux=True)(params)
        return grads, moved, logits

    return step(params, x, lengths)


def assert_near(got, want) -> None:
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("pooling", Pooling)
def test_a_row_of_padding_is_pooled_to_zero_and_moves_nothing(pooling) -> None:
    net, x = model(pooling=pooling, bidirectional=True), sequences()
    lengths = jnp.array([12, 0, 7, 1])
    x = x.at[1].set(1e6)
    grads, stats, logits = gradients(net, x, lengths)
    np.testing.assert_array_equal(logits[1], net.head.decoder.bias[...])
    kept = jnp.array([0, 2, 3])
    want_grads, want_stats, want_logits = gradients(net, x[kept], lengths[kept])
    assert_near((stats, logits[kept]), (want_stats, want_logits))
    # The decoder's bias alone has a gradient from a row of padding.
    assert_near((grads["encoder"], grads["layers"]), (want_grads["encoder"], want_grads["layers"]))


def test_a_batch_of_padding_moves_nothing() -> None:
    net, before = model(), nnx.state(model(), nnx.BatchStat)
    grads, stats, _ = gradients(net, sequences(), jnp.zeros(batch, int))
    assert_near(stats, before)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves((grads["encoder"], grads["layers"])))


@pytest.mark.parametrize("lengths", [None, [1]], ids=["full", "padded"])
def test_one_sequence_of_one_step_has_finite_gradients(lengths: list[int] | None) -> None:
    x = sequences()[:1, : 1 if lengths is None else L]
    grads, stats, logits = gradients(model(bidirectional=True), x, None if lengths is None else jnp.array(lengths))
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((grads, stats, logits)))
    # A step normalised by itself is zero: all its variance is gone, and what moves is the running mean.
    want = gradients(model(bidirectional=True), sequences()[:1, :1], None)
    assert_near((grads, stats, logits), want)


def test_upstream_lets_padding_into_scans_and_statistics() -> None:
    x, lengths = sequences(), jnp.array([12, 3, 7, 1])
    x = jnp.where((jnp.arange(L) < lengths[:, None])[..., None], x, 0)
    make = {compat: make_model(SMALL, d_input, n_classes, nnx.Rngs(0), compat=compat) for compat in (OURS, UPSTREAM)}
    logits, stats = jax.jit(lambda: run(make[UPSTREAM], x, lengths, True))()
    _, full_stats = jax.jit(lambda: run(make[OURS], x, None, True))()
    our_logits, our_stats = jax.jit(lambda: run(make[OURS], x, lengths, True))()
    assert_near(stats, full_stats)
    assert (
        jnp.abs(stats["layers"]["layer"]["norm"]["mean"][...] - our_stats["layers"]["layer"]["norm"]["mean"][...])
        > 1e-3
    ).any()
    assert (jnp.abs(logits - our_logits) > 1e-3).any()


def test_upstream_refuses_the_last_step_of_padded_sequences() -> None:
    last = dataclasses.replace(SMALL, pooling=Pooling.last)
    net = make_model(last, d_input, n_classes, nnx.Rngs(0), compat=UPSTREAM)
    with pytest.raises(ValueError, match=r"model\.pooling=last: not possible for padded"):
        net(sequences(), Steps.of(L, jnp.full(batch, L)), train=False)


def test_pooling_takes_valid_steps_only() -> None:
    x, steps = sequences(), Steps.of(L, jnp.array([12, 3, 7, 1]))
    last, mean = (np.asarray(pool(x, steps, kind)) for kind in (Pooling.last, Pooling.mean))
    for i, n in enumerate((12, 3, 7, 1)):
        np.testing.assert_array_equal(last[i], x[i, n - 1])
        np.testing.assert_allclose(mean[i], np.asarray(x[i, :n]).mean(0), rtol=1e-5, atol=1e-6)


def test_logits_look_ahead_in_no_forward_layer() -> None:
    net = model(pooling=Pooling.last)
    x, lengths = sequences(), jnp.full(batch, 6)
    by_input = jax.jit(jax.grad(lambda x: net(x, Steps.of(L, lengths), train=False).sum()))(x)
    assert (np.abs(by_input).sum((0, 2)) > 0).tolist() == [k < 6 for k in range(L)]


def test_the_seed_decides_the_parameters() -> None:
    one, same, other = (jax.tree.leaves(nnx.state(model(seed), nnx.Param)) for seed in (0, 0, 1))
    assert all((a == b).all() for a, b in zip(one, same, strict=True))
    assert any((a != b).any() for a, b in zip(one, other, strict=True))


def test_dropout_needs_a_key_and_follows_it() -> None:
    net, x = model(dropout=0.5, norm=Norm.layer), sequences()
    with pytest.raises(ValueError, match=r"dropout=0\.5 needs a key"):
        net(x, train=True)
    apply = jax.jit(lambda x, key, train: net(x, train=train, key=key), static_argnums=2)
    one, same, other = (apply(x, jax.random.key(seed), True) for seed in (0, 0, 1))
    assert (one == same).all()
    assert (one != other).any()
    np.testing.assert_array_equal(apply(x, jax.random.key(0), False), apply(x, None, False))


def train_step(
    net: Any, optimizer, opt_state, x: jax.Array | np.ndarray, labels: np.ndarray
) -> tuple[Any, jax.Array, jax.Array]:
    """One step as the training loop does it."""
    graph, params, rest = nnx.split(net, nnx.Param, ...)

    def loss(params: Any) -> jax.Array:
        logits = nnx.merge(graph, params, rest, copy=True)(x, train=True)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    value, grads = jax.value_and_grad(loss)(params)
    updates, opt_state = optimizer.update(grads, opt_state, params)
    return value, optax.tree.norm(grads), optax.tree.norm(updates)


def test_one_step_has_its_pinned_metrics() -> None:
    net = model(n_layers=1)
    params = nnx.state(net, nnx.Param)
    optimizer = make_optimizer(OptimConfig(warmup_epochs=0.0), params, steps_per_epoch=10, epochs=2)
    graph, state = nnx.split(net)

    def step(state: Any, x: jax.Array | np.ndarray, labels: np.ndarray) -> tuple[Any, jax.Array, jax.Array]:
        return train_step(nnx.merge(graph, state, copy=True), optimizer, optimizer.init(params), x, labels)

    got = jax.jit(step)(state, sequences(), jnp.array([0, 1, 2, 3]))
    # If you meant to change the initial values, the layer or the optimizer, update these numbers; otherwise find out
    # what changed them.
    np.testing.assert_allclose(got, PINNED, rtol=1e-3)


# Loss, norm of the gradient, norm of the update.
PINNED = (1.507030, 0.670855, 0.017720)


def test_jit_changes_nothing() -> None:
    net, x, lengths = model(n_layers=1), sequences(), jnp.array([12, 3, 7, 1])
    jitted = jax.jit(lambda x: run(net, x, lengths, True))(x)
    for got, want in zip(jax.tree.leaves(jitted), jax.tree.leaves(run(net, x, lengths, True)), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_one_shape_compiles_once() -> None:
    traces = []
    net = model(n_layers=1)

    @jax.jit
    def apply(x: jax.Array | np.ndarray, lengths) -> jax.Array:
        traces.append(x.shape)
        return net(x, Steps.of(L, lengths), train=False)

    for seed in range(3):
        apply(sequences(seed=seed), jnp.full(batch, seed + 1))
    assert len(traces) == 1


def test_tokens_are_one_hot_vectors() -> None:
    net = model()
    tokens = np.random.default_rng(0).integers(0, d_input, (batch, L, 1)).astype(np.uint8)
    one_hot = jax.nn.one_hot(tokens[..., 0], d_input)
    assert_near(gradients(net, tokens, None), gradients(net, one_hot, None))
    stray = tokens.copy()
    stray[1, 0] = d_input  # no token: seen as NaN, not read as another one
    bad = jnp.isnan(net(stray, train=False)).any(-1)
    assert bad.tolist() == [False, True, False, False]
    below = tokens.astype(np.int32)
    below[2, 0] = -1
    assert jnp.isnan(net(below, train=False)).any(-1).tolist() == [False, False, True, False]
    with pytest.raises(ValueError, match="tokens, one per step, not 3"):
        net(np.repeat(tokens, 3, axis=-1), train=False)


def test_the_last_layer_is_normalised_too_if_asked() -> None:
    net, x = model(pooling=Pooling.last, final_norm=True, norm=Norm.layer), sequences()
    assert net.norm is not None
    encoded = net.layers(net.encoder(x), train=False)
    want = net.head(net.norm(encoded, REGULAR, False), REGULAR)
    np.testing.assert_allclose(net(x, train=False), want, rtol=1e-5, atol=1e-6)
    for changes, key in (({"norm": Norm.none}, "norm=none"), ({"prenorm": False}, "prenorm=false")):
        with pytest.raises(ValueError, match=rf"model\.final_norm=true: with model\.{key} "):
            model(final_norm=True, **changes)
