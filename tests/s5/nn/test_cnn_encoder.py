"""The pendulum's model: the picture encoder and the Gaussian head against their definitions; irregular times."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from s5.config.choices import Encoder, Head, Likelihood, Norm, Pooling, Precision, Times
from s5.config.families import S5Config
from s5.config.model import picture_side
from s5.models.sequence_model import SequenceModel, make_model
from s5.nn.cnn_encoder import N_FEATURES, Convolution, PictureFeatures, pool
from s5.nn.steps import Steps
from s5.training.metrics import LEAST_VARIANCE, MetricSums, batch_metrics, gaussian_nll

batch, L, side, d_output = 2, 6, 8, 2
SMALL = S5Config(
    n_layers=2,
    d_model=6,
    d_state=4,
    n_blocks=1,
    norm=Norm.layer,
    prenorm=False,
    encoder=Encoder.picture,
    likelihood=Likelihood.gaussian,
)


def model(**changes: Any) -> SequenceModel:
    config = dataclasses.replace(SMALL, **changes)
    net = make_model(config, side * side, d_output, nnx.Rngs(0), head=Head.regression)
    # Biases of a fresh model are zero, and would hide a mistake about them.
    params = nnx.state(net, nnx.Param)
    nnx.update(net, nudged(params, normal_like(params, seed=1), 0.1))
    return net


def normal_like(params: Any, seed: int) -> Any:
    # In NumPy, here and below: JAX compiles each operation on each shape.
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda p: rng.standard_normal(p.shape).astype(np.float32), params)


def nudged(params: Any, ways, by) -> Any:
    return jax.tree.map(lambda p, w: jnp.asarray(np.asarray(p) + np.float32(by) * w), params, ways)


def draw(*shape: Any, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def pictures(steps=L) -> jax.Array:
    return jnp.abs(draw(batch, steps, side * side))


def plain_convolution(x: jax.Array | np.ndarray, weight, bias, stride, padding):
    """Compute the convolution by its definition, one output number at a time."""
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    k = weight.shape[0]
    n = (x.shape[1] - k) // stride + 1
    out = np.zeros((len(x), n, n, weight.shape[3]))
    for row in range(n):
        for column in range(n):
            window = x[:, row * stride : row * stride + k, column * stride : column * stride + k]
            out[:, row, column] = np.tensordot(window, weight, axes=3) + bias
    return out


def plain_pool(x: jax.Array | np.ndarray) -> Any:
    n, rows, columns, c = x.shape
    return x.reshape(n, rows // 2, 2, columns // 2, 2, c).max(axis=(2, 4))


@pytest.mark.parametrize(("stride", "padding", "size"), [(1, 2, 5), (2, 1, 3)])
def test_a_convolution_is_the_sum_over_its_window(stride: int, padding: int, size: int) -> None:
    rng = np.random.default_rng(0)
    net = Convolution(2, 3, size, stride, padding, rng)
    net.bias[...] = draw(3, seed=1)
    x = draw(4, 8, 8, 2)
    want = plain_convolution(np.asarray(x), np.asarray(net.weight[...]), np.asarray(net.bias[...]), stride, padding)
    np.testing.assert_allclose(net(x), want, rtol=1e-4, atol=1e-5)


def test_picture_features_are_the_published_network() -> None:
    net, x = model().pictures, np.asarray(pictures())
    by_name = {name: np.asarray(getattr(net, part).weight[...]) for name, part in (("a", "first"), ("b", "second"))}
    assert [w.shape for w in by_name.values()] == [(5, 5, 1, 12), (3, 3, 12, 12)]
    y = plain_convolution(x.reshape(-1, side, side, 1), by_name["a"], np.asarray(net.first.bias[...]), 1, 2)
    y = plain_pool(np.maximum(y, 0))
    y = plain_pool(np.maximum(plain_convolution(y, by_name["b"], np.asarray(net.second.bias[...]), 2, 1), 0))
    y = y.reshape(len(y), -1) @ np.asarray(net.dense.weight[...]) + np.asarray(net.dense.bias[...])
    got = jax.jit(net)(jnp.asarray(x)).reshape(-1, N_FEATURES)
    np.testing.assert_allclose(got, np.maximum(y, 0), rtol=1e-4, atol=1e-5)


def test_the_pendulum_s_pictures_become_108_numbers_before_the_dense_map() -> None:
    net = PictureFeatures(576, np.random.default_rng(0))
    assert net.dense.weight.shape == (108, 30)
    np.testing.assert_array_equal(pool(jnp.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0], [[5, 7], [13, 15]])


@pytest.mark.parametrize("n_pixels", [0, 1, 63, 100, 784])
def test_other_pictures_are_refused_by_name(n_pixels: int) -> None:
    assert picture_side(n_pixels) is None
    with pytest.raises(ValueError, match=rf"model\.encoder=picture: .* a step has {n_pixels} feature"):
        SMALL.check_fits(n_pixels, Head.regression)


def test_tokens_are_no_pictures_however_many_there_are() -> None:
    with pytest.raises(ValueError, match=r"model\.encoder=picture: .* a step is a token"):
        SMALL.check_fits(256, Head.classification, tokens=True)
    with pytest.raises(ValueError, match=r"tokens, which model\.encoder=picture cannot read"):
        model()._encode(jnp.zeros((1, 2, 1), jnp.int32), Steps())


def test_times_that_are_not_there_become_no_feature() -> None:
    for times in (Times.append, Times.ignore):
        with pytest.raises(ValueError, match=rf"model\.times={times.name}: all intervals of these data are 1"):
            dataclasses.replace(SMALL, times=times).check_fits(64, Head.regression, times=False)
    with pytest.raises(ValueError, match=r"model\.times=append: the times of the steps are missing"):
        model(times=Times.append)(pictures(), train=False)
    words = dataclasses.replace(SMALL, times=Times.append, encoder=Encoder.dense, likelihood=Likelihood.fixed)
    with pytest.raises(ValueError, match=r"tokens, which model\.times=append cannot read"):
        make_model(words, 64, 2, nnx.Rngs(0))(jnp.zeros((1, 2, 1), jnp.int32), train=False)


def test_a_likelihood_of_classes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.likelihood=gaussian: .* this data set is for classification"):
        SMALL.check_fits(64, Head.classification)


def test_the_gaussian_head_is_two_networks_of_one_hidden_layer() -> None:
    head, x = model().head, draw(batch, L, 6, seed=3)
    assert head.mean_hidden.weight.shape == head.variance_hidden.weight.shape == (6, 30)
    mean, variance = np.split(np.asarray(head(x)), 2, axis=-1)

    def network(hidden, out) -> np.ndarray:
        y = np.tanh(np.asarray(x) @ np.asarray(hidden.weight[...]) + np.asarray(hidden.bias[...]))
        return y @ np.asarray(out.weight[...]) + np.asarray(out.bias[...])

    raw = network(head.variance_hidden, head.variance)
    assert (raw > 0).any() and (raw < 0).any()
    np.testing.assert_allclose(mean, network(head.mean_hidden, head.mean), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(variance, np.where(raw > 0, raw, np.expm1(raw)) + 1, rtol=1e-4, atol=1e-5)


def test_the_likelihood_is_that_of_a_gaussian() -> None:
    rng = np.random.default_rng(0)
    mean, value, variance = rng.standard_normal(50), rng.standard_normal(50), rng.uniform(0.01, 3, 50)
    density = np.exp(-((value - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
    f32 = [jnp.asarray(each, jnp.float32) for each in (mean, variance, value)]
    np.testing.assert_allclose(gaussian_nll(*f32), -np.log(density), rtol=1e-4, atol=1e-4)
    # By hand: a standard normal at 1; and a variance of nothing is the least one.
    assert float(gaussian_nll(jnp.zeros(()), jnp.ones(()), jnp.ones(()))) == pytest.approx(0.5 + 0.918938533)
    exact = gaussian_nll(jnp.zeros(()), jnp.zeros(()), jnp.zeros(()))
    assert float(exact) == pytest.approx((math.log(LEAST_VARIANCE) + math.log(2 * math.pi)) / 2, rel=1e-5)


def test_scores_of_gaussians_leave_padding_and_filling_rows_out() -> None:
    outputs = jnp.concatenate([draw(3, 4, 2), jnp.abs(draw(3, 4, 2, seed=1)) + 0.1], axis=-1)
    labels, lengths = draw(3, 4, 2, seed=2), np.array([4, 2, 3], np.int32)
    garbage = outputs.at[1, 2:].set(1e9)
    sums = batch_metrics(garbage, labels, jnp.array([1.0, 1.0, 0.0]), Head.gaussian, lengths)
    steps = [(0, k) for k in range(4)] + [(1, k) for k in range(2)]
    errors = [float(((outputs[i, k, :2] - labels[i, k]) ** 2).mean()) for i, k in steps]
    losses = [float(gaussian_nll(outputs[i, k, :2], outputs[i, k, 2:], labels[i, k]).mean()) for i, k in steps]
    assert (MetricSums.zero(Head.gaussian) + sums).means() == {
        "loss": pytest.approx(np.mean(losses), rel=1e-5),
        "mse": pytest.approx(np.mean(errors), rel=1e-5),
    }


def loss_of(net: Any):
    graph, params, rest = nnx.split(net, nnx.Param, ...)
    x, labels, times = pictures(), draw(batch, L, d_output, seed=7), jnp.cumsum(jnp.abs(draw(batch, L, seed=8)), axis=1)

    @jax.jit
    @jax.value_and_grad
    def loss(params: Any) -> jax.Array:
        outputs = nnx.merge(graph, params, rest)(x, Steps.of(x.shape[1], times=times), train=False)
        return batch_metrics(outputs, labels, jnp.ones(batch), Head.gaussian).loss

    return loss, params


def test_the_gradient_is_the_slope_of_the_loss() -> None:
    loss, params = loss_of(model(times=Times.append))
    (_, grads), every = loss(params), normal_like(params, seed=5)
    for part in ("pictures", "encoder", "layers", "head"):
        ways = jax.tree.map(np.zeros_like, every)
        ways[part] = every[part]
        pairs = zip(jax.tree.leaves(grads), jax.tree.leaves(ways), strict=True)
        slope = sum(float((np.asarray(g) * w).sum()) for g, w in pairs)
        h = 1e-3
        rise = float(loss(nudged(params, ways, h))[0]) - float(loss(nudged(params, ways, -h))[0])
        assert rise / (2 * h) == pytest.approx(slope, rel=2e-2, abs=2e-2), part


@pytest.mark.parametrize("times", Times)
def test_a_stream_of_pictures_is_the_whole_sequence(times) -> None:
    net, x = model(times=times), pictures()
    intervals = jnp.asarray(np.random.default_rng(1).uniform(0.2, 3, (batch, L)), jnp.float32).at[:, 0].set(1)
    observed = jnp.cumsum(intervals, axis=1)
    whole = jax.jit(lambda x, t: net(x, Steps.of(L, times=t, rate=1.5), train=False))
    step = jax.jit(lambda state, x, i: net.step(state, x, Steps(intervals=i, rate=1.5)))
    state, outputs = net.initial_state(batch), []
    for k in range(L):  # `advance` by more than one step is tested with the other heads
        state, out = step(state, x[:, k], intervals[:, k])
        outputs.append(out[:, None])
    want = whole(x, observed)
    assert want.shape == (batch, L, 2 * d_output)
    np.testing.assert_allclose(jnp.concatenate(outputs, axis=1), want, rtol=1e-4, atol=1e-5)
    assert (times is Times.ignore) == np.allclose(want, whole(x, 2 * observed), atol=1e-4)


def test_padded_pictures_change_no_answer() -> None:
    net, x, lengths = model(times=Times.append, bidirectional=True), pictures(), jnp.array([4, 6])
    observed = jnp.cumsum(jnp.abs(draw(batch, L, seed=4)), axis=1)
    valid = jnp.arange(L) < lengths[:, None]
    apply = jax.jit(lambda x, t: jnp.where(valid[..., None], net(x, Steps.of(L, lengths, times=t), train=False), 0))
    garbage = apply(jnp.where(valid[..., None], x, 99.0), jnp.where(valid, observed, 1e3))
    np.testing.assert_allclose(garbage, apply(x, observed), rtol=1e-4, atol=1e-5)


def test_answers_are_float32_whatever_is_computed_in() -> None:
    @nnx.jit
    def answers(net: Any, x: jax.Array | np.ndarray) -> Any:
        return net(x, train=False)

    half, single = (
        answers(model(precision=precision), pictures()) for precision in (Precision.bfloat16, Precision.float32)
    )
    assert half.dtype == jnp.float32
    np.testing.assert_allclose(half, single, atol=0.15)


def test_other_models_have_no_picture_network() -> None:
    plain = make_model(S5Config(n_layers=1, d_model=4, d_state=4, n_blocks=1, pooling=Pooling.last), 3, 2, nnx.Rngs(0))
    assert "pictures" not in nnx.state(plain, nnx.Param)
