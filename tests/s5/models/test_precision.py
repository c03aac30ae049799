import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from s5.config.choices import Activation, Precision
from s5.config.families import S5Config
from s5.models.sequence_model import make_model
from s5.nn.steps import Steps

SMALL = S5Config(n_layers=2, d_model=16, d_state=8, n_blocks=1, bidirectional=True)
batch, L, d_input, d_output = 3, 24, 2, 4
LENGTHS = jnp.array([24, 9, 1])


def draw(*shape: Any, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def step_of(**changes: Any) -> tuple[Callable[..., tuple[Any, Any, Any]], Any]:
    """Return a function that computes logits, new statistics and gradients of a training step from the parameters."""
    config = dataclasses.replace(SMALL, **changes)
    graphdef, params, stats = nnx.split(make_model(config, d_input, d_output, nnx.Rngs(0)), nnx.Param, ...)
    x = draw(batch, L, d_input)

    def loss(params: Any) -> tuple[jax.Array, tuple[jax.Array, Any]]:
        net = nnx.merge(graphdef, params, stats, copy=True)
        logits = net(x, Steps.of(x.shape[1], LENGTHS), train=True)
        return jnp.sin(logits).sum(), (logits, nnx.state(net, nnx.BatchStat))

    def step(params: Any) -> tuple[Any, Any, Any]:
        (_, (logits, stats)), grads = jax.value_and_grad(loss, has_aux=True)(params)
        return logits, stats, grads

    return step, params


def equations(jaxpr: Any) -> Iterator[Any]:
    """Yield all equations of a program, also those inside its loops and functions."""
    for eqn in jaxpr.eqns:
        yield eqn
        for value in jax.tree.leaves(list(eqn.params.values()), is_leaf=lambda v: hasattr(v, "eqns")):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from equations(inner)


def is_sequence(var) -> Any:
    return var.aval.ndim >= 2 and var.aval.size >= batch * L * SMALL.d_model


@pytest.mark.parametrize("activation", [Activation.half_glu2, Activation.full_glu], ids=lambda kind: kind.name)
def test_products_are_bfloat16_and_sums_float32(activation: Activation) -> None:
    step, params = step_of(precision=Precision.bfloat16, activation=activation)
    found = list(equations(jax.make_jaxpr(step)(params).jaxpr))
    products = [eqn for eqn in found if eqn.primitive.name == "dot_general" and any(map(is_sequence, eqn.invars))]
    assert len(products) > 10
    for eqn in products:
        assert {var.aval.dtype for var in eqn.invars} == {jnp.dtype(jnp.bfloat16)}, eqn
        assert eqn.params["preferred_element_type"] == jnp.float32
    sums = [eqn for eqn in found if eqn.primitive.name in ("reduce_sum", "cumsum") and is_sequence(eqn.invars[0])]
    assert sums
    assert {eqn.invars[0].aval.dtype for eqn in sums} == {jnp.dtype(jnp.float32)}
    # What a layer hands on to the next, and what is kept for its derivative.
    handed_on = [
        var.aval for eqn in found if eqn.primitive.name == "scan" for var in eqn.outvars
        if var.aval.shape in ((batch, L, 16), (2, batch, L, 16))
    ]  # fmt: skip
    assert handed_on
    assert {aval.dtype for aval in handed_on} == {jnp.dtype(jnp.bfloat16)}


def test_bfloat16_is_near_float32_and_all_else_stays_float32() -> None:
    (logits, stats, grads), (near, near_stats, near_grads) = (
        jax.jit(step)(params) for step, params in (step_of(), step_of(precision=Precision.bfloat16))
    )
    assert {leaf.dtype for leaf in jax.tree.leaves((near, near_stats, near_grads))} == {jnp.dtype(jnp.float32)}
    np.testing.assert_allclose(near, logits, atol=0.05 * float(jnp.abs(logits).max()))
    assert (near != logits).any()
    for one, other in zip(jax.tree.leaves(near_stats), jax.tree.leaves(stats), strict=True):
        np.testing.assert_allclose(one, other, atol=0.02)
    ours, theirs = (np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]) for tree in (near_grads, grads))
    assert np.isfinite(ours).all()
    assert ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs) > 0.995
