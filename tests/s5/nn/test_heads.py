import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from s5.config.choices import Head, Pooling
from s5.config.families import S5Config
from s5.models.sequence_model import SequenceModel, make_model
from s5.nn.pooling import pool
from s5.nn.steps import Steps

SMALL = S5Config(n_layers=2, d_model=6, d_state=4, n_blocks=1)
batch, L, d_input, d_output = 3, 8, 2, 4


def model(head, **changes: Any) -> SequenceModel:
    net = make_model(dataclasses.replace(SMALL, **changes), d_input, d_output, nnx.Rngs(0), head=head)
    # Running statistics that are not those of a fresh model, which normalise by nothing.
    net.layers.layer.norm.mean[...] = 0.3 * draw(2, 6, seed=5)
    net.layers.layer.norm.var[...] = 1 + 0.5 * jnp.abs(draw(2, 6, seed=6))
    return net


def draw(*shape: Any, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def inputs_of(head, steps=L) -> jax.Array:
    return draw(batch, *(2,) * (head is Head.retrieval), steps, d_input)


def gelu(x: jax.Array | np.ndarray) -> Any:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def test_retrieval_compares_two_pooled_documents() -> None:
    net, pairs = model(Head.retrieval, bidirectional=True), inputs_of(Head.retrieval)
    lengths = jnp.array([[8, 3], [1, 8], [5, 5]])

    @jax.jit
    def both(pairs, lengths) -> tuple[jax.Array, jax.Array]:
        rows, steps = pairs.reshape(-1, L, d_input), Steps.of(L, lengths.reshape(-1))
        pooled = pool(net.layers(net.encoder(rows), steps, train=False), steps, Pooling.mean)
        return net(pairs, Steps.of(L, lengths), train=False), pooled.reshape(batch, 2, -1)

    got, pooled = both(pairs, lengths)
    one, two = np.asarray(pooled[:, 0]), np.asarray(pooled[:, 1])
    features = np.concatenate([one, two, one - two, one * two], axis=1)
    head = net.head
    hidden = gelu(features @ np.asarray(head.hidden.weight[...]) + np.asarray(head.hidden.bias[...]))
    want = hidden @ np.asarray(head.decoder.weight[...]) + np.asarray(head.decoder.bias[...])
    assert got.shape == (batch, d_output)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_retrieval_refuses_single_documents() -> None:
    with pytest.raises(ValueError, match="takes pairs"):
        model(Head.retrieval)(draw(batch, L, d_input)[:, :, None], train=False)


def test_regression_answers_each_step_and_looks_at_none_after_it() -> None:
    net, x = model(Head.regression), inputs_of(Head.regression)

    def at_step(x: jax.Array | np.ndarray, k: int) -> jax.Array:
        return net(x, train=False)[:, k].sum()

    by_input = jax.jit(jax.vmap(jax.grad(at_step), (None, 0)))(x, jnp.arange(L))
    seen = np.abs(by_input).sum((1, 3)) > 0
    assert net(x, train=False).shape == (batch, L, d_output)
    np.testing.assert_array_equal(seen, np.tril(np.ones((L, L), bool)))


STREAMS = [(Head.regression, Pooling.mean), *itertools.product((Head.classification, Head.retrieval), Pooling)]


@pytest.mark.parametrize(("head", "pooling"), STREAMS, ids=lambda choice: choice.name)
def test_a_stream_is_the_whole_sequence(head, pooling) -> None:
    net, x = model(head, pooling=pooling), inputs_of(head)
    whole = jax.jit(lambda x: net(x, Steps(rate=1.5), train=False))
    advance = jax.jit(lambda state, x: net.advance(state, x, Steps(rate=1.5)))
    step = jax.jit(lambda state, x: net.step(state, x, Steps(rate=1.5)))
    state, regression = net.initial_state(batch), head is Head.regression
    state, out = advance(state, x[..., :3, :])
    np.testing.assert_allclose(out, whole(x)[:, :3] if regression else whole(x[..., :3, :]), rtol=1e-4, atol=1e-5)
    for k in range(3, L):
        state, out = step(state, x[..., k, :])
    np.testing.assert_allclose(out, whole(x)[:, -1] if regression else whole(x), rtol=1e-4, atol=1e-5)


def test_an_irregular_stream_is_the_whole_sequence() -> None:
    net, x = model(Head.regression), inputs_of(Head.regression)
    intervals = jnp.asarray(np.random.default_rng(1).uniform(0.2, 3, (batch, L)), jnp.float32).at[:, 0].set(1)
    whole = net(x, Steps.of(L, times=jnp.cumsum(intervals, axis=1)), train=False)
    state, first = net.advance(net.initial_state(batch), x[:, :5], Steps(intervals=intervals[:, :5]))
    state, second = net.advance(state, x[:, 5:7], Steps(intervals=intervals[:, 5:7]))
    _, last = net.step(state, x[:, 7], Steps(intervals=intervals[:, 7]))
    got = jnp.concatenate([first, second, last[:, None]], axis=1)
    np.testing.assert_allclose(got, whole, rtol=1e-4, atol=1e-5)
    assert (jnp.abs(whole - net(x, train=False)) > 1e-3).any()


def test_a_bidirectional_model_refuses_to_stream() -> None:
    net = model(Head.regression, bidirectional=True)
    with pytest.raises(ValueError, match="bidirectional"):
        net.step(net.initial_state(batch), draw(batch, d_input))
