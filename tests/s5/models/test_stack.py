import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from s5.config.choices import Norm, Remat
from s5.config.families import S5Config
from s5.config.training import OptimConfig
from s5.data.batch import Batch
from s5.models.sequence_model import make_model
from s5.models.stack import Stack
from s5.nn.steps import Steps
from s5.training.optimizer import make_optimizer
from s5.training.step import MetricWindow, TrainState, make_train_step

pytestmark = pytest.mark.slow

SMALL = S5Config(n_layers=3, d_model=6, d_state=4, n_blocks=1, bidirectional=True, dropout=0.3)
batch, L, H = 2, 5, 6


def stack(**changes: Any) -> Stack:
    return Stack(dataclasses.replace(SMALL, **changes), np.random.default_rng(0))


def draw(*shape: Any, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def layer_of(layers, i) -> Any:
    graphdef, arrays = nnx.split(layers.layer)
    return nnx.merge(graphdef, jax.tree.map(lambda stacked: stacked[i], arrays))


@pytest.mark.parametrize("norm", [Norm.batch, Norm.layer])
def test_a_stack_is_its_layers_one_by_one_with_a_key_each(norm) -> None:
    layers, x, steps = stack(norm=norm), draw(batch, L, H), Steps.of(L, jnp.array([5, 3]))
    key, each = jax.random.key(1), [layer_of(layers, i) for i in range(3)]
    want = x
    for layer, layer_key in zip(each, jax.random.split(key, 3), strict=True):
        want = layer(want, steps, train=True, key=layer_key)
    got = layers(x, steps, train=True, key=key)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    if norm is Norm.batch:
        means = jnp.stack([layer.norm.mean[...] for layer in each])
        np.testing.assert_allclose(layers.layer.norm.mean[...], means, rtol=1e-4, atol=1e-6)
        assert (np.abs(means).max(1) > 0).all()


def test_layers_start_different_and_share_a_leading_axis() -> None:
    params = jax.tree.leaves(nnx.state(stack(), nnx.Param))
    assert {leaf.shape[0] for leaf in params} == {3}
    drawn = [leaf for leaf in params if leaf.ndim > 2]
    assert drawn
    assert all((leaf[0] != leaf[1]).any() for leaf in drawn)


@pytest.fixture(scope="module")
def gradients() -> dict[Remat, tuple[Any, str]]:
    """Return a stack's gradient under each policy, with its jaxpr."""
    x, key, steps = draw(batch, L, H), jax.random.key(0), Steps.of(L, jnp.array([5, 3]))

    def gradient(remat) -> tuple[Any, str]:
        graphdef, params, stats = nnx.split(stack(remat=remat), nnx.Param, ...)

        def loss(params: Any) -> jax.Array:
            return jnp.sin(nnx.merge(graphdef, params, stats, copy=True)(x, steps, train=True, key=key)).sum()

        traced = jax.jit(jax.grad(loss)).trace(params)
        return traced.lower().compile()(params), str(traced.jaxpr)

    return {remat: gradient(remat) for remat in Remat}


@pytest.mark.parametrize("remat", [Remat.states, Remat.full])
def test_what_is_computed_again_has_the_same_gradient(gradients: Any, remat: Remat) -> None:
    for one, other in zip(jax.tree.leaves(gradients[Remat.none][0]), jax.tree.leaves(gradients[remat][0]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_only_where_nothing_is_kept_are_the_states_computed_again(gradients: Any) -> None:
    recurrences = {remat: text.count("name=sequential\n") for remat, (_, text) in gradients.items()}
    assert recurrences[Remat.states] == recurrences[Remat.none] > 0
    assert recurrences[Remat.full] == recurrences[Remat.none] + 2  # two directions


def lowered_step(n_layers) -> Any:
    """Return the text of a complete training step, as it is passed to XLA."""
    model = make_model(dataclasses.replace(SMALL, n_layers=n_layers), 2, 3, nnx.Rngs(0))
    graphdef, params, stats = nnx.split(model, nnx.Param, ...)
    optimizer = make_optimizer(OptimConfig(), params, steps_per_epoch=10, epochs=2)
    state = TrainState(jnp.zeros((), jnp.int32), jax.random.key(0), params, stats, optimizer.init(params))
    rows = Batch(
        np.zeros((batch, L, 2), np.float32),
        np.zeros(batch, np.int32),
        np.full(batch, L, np.int32),
        np.ones(batch, np.float32),
    )
    step = make_train_step(graphdef, optimizer, lambda batch: batch.lengths)
    return step.lower(state, MetricWindow.empty(), rows).as_text()


def test_the_program_of_a_step_does_not_grow_with_depth() -> None:
    # Not 2 layers: where two sizes are equal, JAX shares some helpers between them.
    shallow, deep = lowered_step(4).splitlines(), lowered_step(16).splitlines()
    assert len(shallow) == len(deep)
    # Nor is a loop unrolled behind another name: the same operations in the same order.
    assert [line.split(" = ")[-1].split(" ")[0] for line in shallow] == [
        line.split(" = ")[-1].split(" ")[0] for line in deep
    ]
