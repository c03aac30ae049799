import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s5.config.choices import Activation, Gelu, Norm
from s5.config.families import S5Config
from s5.models.residual_block import ResidualBlock
from s5.nn.dense import Dense
from s5.nn.gate import GatedActivation, dropout, gated
from s5.nn.norm import BatchNorm, LayerNorm, normalize
from s5.nn.steps import REGULAR, Steps

SMALL = S5Config(d_model=6, d_state=8, n_blocks=1)
batch, L, H = 3, 7, 6


def draw(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def prefix(*lengths: int) -> jax.Array:
    return jnp.arange(L) < jnp.array(lengths)[:, None]


def gelu(x: jax.Array | np.ndarray) -> Any:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def sigmoid(x: jax.Array | np.ndarray) -> Any:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("kind", Activation)
def test_activation_is_the_published_gate(kind: Activation) -> None:
    gate = GatedActivation(dataclasses.replace(SMALL, activation=kind), np.random.default_rng(0))
    for dense in (gate.gate, gate.value):
        if dense is not None:
            dense.bias[...] = draw(H, seed=1)
    y = draw(batch, L, H)
    y_np, x = np.asarray(y), gelu(np.asarray(y))
    want = {
        Activation.full_glu: lambda: (
            np.asarray(gate.value(jnp.asarray(x))) * sigmoid(np.asarray(gate.gate(jnp.asarray(x))))
        ),
        Activation.half_glu1: lambda: x * sigmoid(np.asarray(gate.gate(jnp.asarray(x)))),
        Activation.half_glu2: lambda: y_np * sigmoid(np.asarray(gate.gate(jnp.asarray(x)))),
        Activation.gelu: lambda: x,
        Activation.gelu_dense: lambda: np.asarray(gate.value(jnp.asarray(x))),
    }[kind]()
    np.testing.assert_allclose(gate(y, None), want, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", [Activation.gelu, Activation.half_glu1, Activation.gelu_dense])
def test_the_gelu_can_be_exact(kind: Activation) -> None:
    config = dataclasses.replace(SMALL, activation=kind, gelu=Gelu.exact)
    gate, y = GatedActivation(config, np.random.default_rng(0)), 2 * draw(batch, L, H)
    x = np.vectorize(lambda y: y * (1 + math.erf(y / math.sqrt(2))) / 2)(np.asarray(y, np.float64))
    want = x if gate.value is None else x @ np.asarray(gate.value.weight[...])
    want = want if gate.gate is None else want * sigmoid(x @ np.asarray(gate.gate.weight[...]))
    np.testing.assert_allclose(gate(y, None), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", [Activation.full_glu, Activation.gelu_dense])
def test_a_gate_branch_multiplies_the_widened_gelu(kind: Activation) -> None:
    gate = GatedActivation(dataclasses.replace(SMALL, activation=kind, gate=2), np.random.default_rng(0))
    assert gate.wide is not None and gate.branch is not None and gate.value is not None
    gate.wide.bias[...], gate.branch.bias[...] = draw(2 * H, seed=1), draw(2 * H, seed=2)
    y, u = draw(batch, L, H), draw(batch, L, H, seed=3)

    def affine(dense: Dense, x: Any) -> np.ndarray:
        return np.asarray(x) @ np.asarray(dense.weight[...]) + np.asarray(dense.bias[...])

    x = affine(gate.wide, gelu(np.asarray(y))) * affine(gate.branch, u)
    assert x.shape[-1] == 2 * H
    want = affine(gate.value, x) * (1 if gate.gate is None else sigmoid(affine(gate.gate, x)))
    np.testing.assert_allclose(gate(y, None, u), want, rtol=1e-4, atol=1e-5)


def test_dense_is_affine_and_has_the_derivative_of_one() -> None:
    dense, x = Dense(4, 5, np.random.default_rng(0)), draw(batch, L, 4)
    dense.bias[...] = draw(5, seed=1)
    W, b = dense.weight[...], dense.bias[...]
    np.testing.assert_allclose(dense(x), np.asarray(x) @ np.asarray(W) + np.asarray(b), rtol=1e-5, atol=1e-6)

    def plain(x: jax.Array | np.ndarray, W: jax.Array | np.ndarray) -> jax.Array:
        return jnp.sin(x @ W + b).sum()

    def ours(x: jax.Array | np.ndarray, W: jax.Array | np.ndarray) -> jax.Array:
        dense = Dense(4, 5, np.random.default_rng(0))
        dense.weight, dense.bias = type(dense.weight)(W), type(dense.bias)(b)
        return jnp.sin(dense(x)).sum()

    for got, expected in zip(jax.grad(ours, (0, 1))(x, W), jax.grad(plain, (0, 1))(x, W), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("by_output", "exact"), [(True, False), (False, False), (False, True)], ids=["half_glu2", "half_glu1", "exact"]
)
@pytest.mark.parametrize("drops", [True, False], ids=["dropout", "whole"])
def test_the_gate_has_the_derivative_of_its_definition(by_output: bool, exact: bool, drops: bool) -> None:
    y, W, b = 2 * draw(batch, L, H), draw(H, H, seed=1), draw(H, seed=2)
    keep = (draw(batch, 1, H, seed=3) > 0) * 1.5 if drops else None

    def plain(y, W: jax.Array | np.ndarray, b) -> jax.Array:
        x = jax.nn.gelu(y, approximate=not exact) * (1 if keep is None else keep)
        return jnp.sin((y if by_output else x) * jax.nn.sigmoid(x @ W + b)).sum()

    def ours(y, W: jax.Array | np.ndarray, b) -> jax.Array:
        return jnp.sin(gated(y, keep, W, b, by_output, exact)).sum()

    assert ours(y, W, b) == pytest.approx(float(plain(y, W, b)), rel=1e-4)
    for got, want in zip(jax.grad(ours, (0, 1, 2))(y, W, b), jax.grad(plain, (0, 1, 2))(y, W, b), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("lengths", [None, (7, 2, 0)], ids=["full", "padded"])
def test_batch_norm_has_the_derivative_of_its_definition(lengths: tuple[int, ...] | None) -> None:
    x, scale, bias = 3 + 2 * draw(batch, L, H), draw(H, seed=1), draw(H, seed=2)
    mask = None if lengths is None else prefix(*lengths)
    weight = jnp.ones((batch, L, 1), bool) if mask is None else mask[..., None]

    def plain(x: jax.Array | np.ndarray, scale, bias) -> jax.Array:
        mean, var = x.mean((0, 1), where=weight), x.var((0, 1), where=weight)
        return jnp.where(weight, jnp.sin((x - mean) * jax.lax.rsqrt(var + 1e-5) * scale + bias), 0).sum()

    def ours(x: jax.Array | np.ndarray, scale, bias) -> jax.Array:
        return jnp.where(weight, jnp.sin(normalize(x, scale, bias, mask)[0]), 0).sum()

    got, want = (jax.grad(function, (0, 1, 2))(x, scale, bias) for function in (ours, plain))
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_batch_norm_counts_valid_steps_only() -> None:
    norm, x, mask = BatchNorm(H, momentum=0.9), 3 + 2 * draw(batch, L, H), prefix(7, 2, 4)
    norm.scale[...], norm.bias[...] = draw(H, seed=1), draw(H, seed=2)
    valid = np.asarray(x)[np.asarray(mask)]
    mean, var = valid.mean(0), valid.var(0)
    want = (np.asarray(x) - mean) / np.sqrt(var + 1e-5) * np.asarray(norm.scale[...]) + np.asarray(norm.bias[...])
    np.testing.assert_allclose(norm(x, Steps(mask), True), want, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norm.mean[...], 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(norm.var[...], 0.9 + 0.1 * var, rtol=1e-5)


def test_batch_norm_evaluates_with_its_running_statistics() -> None:
    norm, x = BatchNorm(H, momentum=0.9), draw(batch, L, H)
    norm.mean[...], norm.var[...] = draw(H, seed=1), jnp.full(H, 2e-5)
    np.testing.assert_allclose(
        norm(x, REGULAR, False), (x - norm.mean[...]) / np.sqrt(2e-5 + 1e-5), rtol=1e-4, atol=1e-4
    )
    np.testing.assert_array_equal(norm.var[...], jnp.float32(2e-5))


def test_batch_norm_is_exact_far_from_zero() -> None:
    # The variance as a difference of two large numbers would be off by whole units here.
    x = 1000 + draw(batch, L, H)
    got = BatchNorm(H, momentum=0.9)(x, REGULAR, True)
    want = (np.asarray(x, np.float64) - np.asarray(x, np.float64).mean((0, 1))) / np.asarray(x, np.float64).std((0, 1))
    np.testing.assert_allclose(got, want, atol=1e-3)


def test_layer_norm_normalises_each_step() -> None:
    norm, x = LayerNorm(H), 3 + 2 * draw(batch, L, H)
    got = np.asarray(norm(x, Steps(prefix(7, 2, 4)), True))
    np.testing.assert_allclose(got.mean(-1), 0, atol=1e-5)
    np.testing.assert_allclose(got.std(-1), 1, atol=1e-3)


@pytest.mark.parametrize(("norm", "axes", "epsilon"), [(BatchNorm(H, 0.9), (0, 1), 1e-5), (LayerNorm(H), -1, 1e-6)])
def test_what_hardly_varies_is_not_blown_up(
    norm: BatchNorm | LayerNorm, axes: tuple[int, ...] | int, epsilon: float
) -> None:
    x = np.asarray(1e-3 * draw(batch, L, H))
    want = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon)
    np.testing.assert_allclose(norm(jnp.asarray(x), REGULAR, True), want, rtol=1e-3, atol=1e-5)


def test_dropout_that_is_not_tied_differs_between_steps() -> None:
    dropped = np.asarray(dropout(jnp.ones((200, L, 50)), 0.25, jax.random.key(0), tied=False))
    assert (dropped[:, 0] != dropped[:, 1]).mean() == pytest.approx(2 * 0.25 * 0.75, abs=0.02)
    assert dropped.mean() == pytest.approx(1, abs=0.02)


def test_stochastic_depth_drops_the_whole_layer_for_some_sequences() -> None:
    layer = ResidualBlock(dataclasses.replace(SMALL, drop_path=0.4), np.random.default_rng(0))
    x = draw(500, 2, H)
    kept = layer(x, train=True)
    got = layer(x, train=True, key=jax.random.key(0))
    skipped = np.asarray((got == x).all((1, 2)))
    assert skipped.mean() == pytest.approx(0.4, abs=0.06)
    np.testing.assert_allclose(got[~skipped], (x + (kept - x) / 0.6)[~skipped], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(layer(x, train=False, key=None), layer(x, train=False))


def test_dropout_is_the_same_at_all_steps_and_keeps_the_mean() -> None:
    x = jnp.ones((200, L, 50))
    dropped = np.asarray(dropout(x, 0.25, jax.random.key(0)))
    assert (dropped == dropped[:, :1]).all()
    assert set(np.unique(dropped).round(4)) == {0.0, np.float32(1 / 0.75).round(4)}
    assert dropped.mean() == pytest.approx(1, abs=0.02)
    assert dropout(x, 0.25, None) is x


@pytest.mark.parametrize(("prenorm", "norm"), [*zip([True, False] * 3, Norm, strict=False), (False, Norm.batch)])
def test_layer_is_a_residual_with_its_norm_in_its_place(prenorm: bool, norm) -> None:
    layer = ResidualBlock(dataclasses.replace(SMALL, prenorm=prenorm, norm=norm), np.random.default_rng(0))
    x, mask = draw(batch, L, H), prefix(7, 2, 4)

    def normed(x: jax.Array) -> Any:
        return x if layer.norm is None else layer.norm(x, Steps(mask), False)

    inner = layer.gate(layer.ssm(normed(x) if prenorm else x, Steps(mask)), None)
    want = x + inner if prenorm else normed(x + inner)
    np.testing.assert_allclose(layer(x, Steps(mask), train=False), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", Activation)
def test_every_activation_drops_as_often_as_published(kind: Activation) -> None:
    config = dataclasses.replace(SMALL, activation=kind, dropout=0.5)
    gate = GatedActivation(config, np.random.default_rng(0))
    y = jnp.full((400, 1, SMALL.d_model), 1.5)
    out = np.asarray(gate(y, jax.random.key(0)))
    # gelu drops once; the GLUs drop what enters the sigmoid, and what comes out. half_glu2 multiplies y, never zero.
    inner = kind in (Activation.half_glu1,)
    assert np.mean(out == 0) == pytest.approx(0.75 if inner else 0.5, abs=0.04)
