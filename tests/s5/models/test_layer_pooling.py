"""Pooling between layers: against its definition, under padding, and what it refuses."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from s5.config.choices import Head, LayerPooling, Norm, Pooling
from s5.config.families import S5Config
from s5.models.sequence_model import SequenceModel, make_model
from s5.nn.layer_pooling import pool_steps, pool_windows
from s5.nn.steps import REGULAR, Steps

pytestmark = pytest.mark.slow

AVG, MAX = LayerPooling.avg, LayerPooling.max
SMALL = S5Config(n_layers=2, d_model=4, d_state=4, n_blocks=1, dt_min=0.01, dt_max=0.5, layer_pooling=AVG)
batch, L, H = 3, 7, 4
LENGTHS = np.array([7, 4, 1])


def model(**changes: Any) -> SequenceModel:
    return make_model(dataclasses.replace(SMALL, **changes), 2, 3, nnx.Rngs(0))


def draw(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


@pytest.mark.parametrize("size", [2, 9])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "padded"])
def test_a_window_is_the_mean_or_the_maximum_of_its_valid_steps(size: int, lengths: np.ndarray | None) -> None:
    x, times = draw(batch, L, H), np.cumsum(np.random.default_rng(1).uniform(0.2, 3, (batch, L)), axis=1)
    steps = Steps.of(L, lengths, times=times)
    gaps, pooled = np.asarray(steps.intervals), pool_steps(steps, L, size)
    got = {kind: np.asarray(pool_windows(x, steps, kind, size)) for kind in (AVG, MAX)}
    windows = -(-L // size)
    for row, length in enumerate([L] * batch if lengths is None else lengths):
        for k in range(windows):
            own = slice(k * size, min((k + 1) * size, length))
            valid = own.start < length
            assert pooled.mask is None or bool(pooled.mask[row, k]) == valid
            if valid:
                np.testing.assert_allclose(got[AVG][row, k], np.asarray(x[row, own]).mean(0), rtol=1e-5, atol=1e-6)
                np.testing.assert_array_equal(got[MAX][row, k], np.asarray(x[row, own]).max(0))
                np.testing.assert_allclose(pooled.intervals[row, k], gaps[row, own].mean(), rtol=1e-5)
            else:
                assert not got[AVG][row, k].any() and not got[MAX][row, k].any()
    assert got[AVG].shape == (batch, windows, H)
    assert pool_steps(REGULAR, L, size) == REGULAR


def test_a_stack_is_its_layers_with_a_pooling_after_each() -> None:
    layers, x, steps = model(dropout=0.3).layers, draw(batch, L, H), Steps.of(L, LENGTHS)
    graphdef, arrays = nnx.split(layers)
    layer_graph, layer_arrays = nnx.split(layers.layer)

    @jax.jit
    def whole(x: jax.Array, key: jax.Array) -> Any:
        stack = nnx.merge(graphdef, arrays, copy=True)
        return stack(x, steps, train=True, key=key), stack.layer.norm.mean[...]

    @jax.jit
    def one_by_one(x: jax.Array, key: jax.Array) -> Any:
        own, means = steps, []
        for i, layer_key in enumerate(jax.random.split(key, 2)):
            layer = nnx.merge(layer_graph, jax.tree.map(lambda stacked, i=i: stacked[i], layer_arrays), copy=True)
            x = layer(x, own, train=True, key=layer_key)
            x, own = pool_windows(x, own, AVG, 2), pool_steps(own, x.shape[1], 2)
            means.append(layer.norm.mean[...])
        return x, jnp.stack(means)

    for got, want in zip(whole(x, jax.random.key(1)), one_by_one(x, jax.random.key(1)), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    after = layers.steps_after(steps, L)
    np.testing.assert_array_equal(after.mask, [[True, True], [True, False], [True, False]])


def test_padding_changes_no_answer_and_no_gradient() -> None:
    net = model(layer_pooling=MAX, norm=Norm.layer, pooling=Pooling.last)
    graph, params, stats = nnx.split(net, nnx.Param, ...)
    times = np.cumsum(np.random.default_rng(1).uniform(0.2, 3, (batch, L)), axis=1)

    def loss(params: Any, x: jax.Array, steps: Steps) -> Any:
        y = nnx.merge(graph, params, stats, copy=True)(x, steps, train=True)
        return jnp.sin(y).sum(), y

    run = jax.jit(jax.grad(loss, (0, 1), has_aux=True))
    x, valid = draw(batch, L, 2), (np.arange(L) < LENGTHS[:, None])[..., None]
    longer = jnp.pad(jnp.where(valid, x, 1e2), ((0, 0), (0, 4), (0, 0)), constant_values=1e2)
    steps = Steps.of(L + 4, LENGTHS, times=np.pad(np.where(valid[..., 0], times, -1e4), ((0, 0), (0, 4))))
    (by_params, by_x), y = run(params, x, Steps.of(L, LENGTHS, times=times))
    (by_params_longer, by_longer), y_longer = run(params, longer, steps)
    np.testing.assert_allclose(y_longer, y, rtol=1e-4, atol=1e-5)
    for one, other in zip(jax.tree.leaves(by_params_longer), jax.tree.leaves(by_params), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
        assert np.abs(other).max() > 0
    np.testing.assert_allclose(by_longer[:, :L], np.where(valid, by_x, 0), rtol=1e-3, atol=1e-5)
    assert not by_longer[:, L:].any()


def test_what_cannot_be_pooled_is_refused_by_name() -> None:
    net, x = model(), draw(batch, L, 2)
    with pytest.raises(ValueError, match=r"Steps\.resets: with model\.layer_pooling a window may"):
        net(x, Steps(resets=jnp.zeros((batch, L), bool)))
    with pytest.raises(ValueError, match=r"model\.layer_pooling=avg has no streaming form"):
        net.step(net.initial_state(batch), x[:, 0])
    with pytest.raises(ValueError, match=r"model\.norm=group has no streaming form"):
        grouped = model(layer_pooling=LayerPooling.none, norm=Norm.group)
        grouped.step(grouped.initial_state(batch), x[:, 0])
    with pytest.raises(ValueError, match=r"model\.layer_pooling=max: shortens .* a regression has an answer for each"):
        dataclasses.replace(SMALL, layer_pooling=MAX).check_fits(2, Head.regression)
