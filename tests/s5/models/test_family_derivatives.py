"""Derivatives of every model family: those written by hand equal JAX's, and have derivatives themselves."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from s5.config.model import ModelConfig
from s5.models.mixers import make_mixer
from s5.nn.derivatives import jax_derivatives
from tests.s5.models.family_cases import BATCH, CASES, L, draw

pytestmark = pytest.mark.slow

# One case of each kind of computation: the other options change only what enters it.
NAMES = ("s5", "lru", "rglru", "linoss", "s4", "s4d", "dss")


@pytest.mark.parametrize("config", [pytest.param(CASES[name], id=name) for name in NAMES])
def test_derivatives_equal_those_of_jax_in_every_order(config: ModelConfig) -> None:
    """Two layers run as one loop, in which JAX saves arguments of a derivative rule in another way than outside."""
    mixers = [nnx.split(make_mixer(config, np.random.default_rng(seed)), nnx.Param, ...) for seed in (0, 1)]
    graphdef, _, rest = mixers[0]
    params = jax.tree.map(lambda *each: jnp.stack(each), *(params for _, params, _ in mixers))
    inputs, weights = draw(BATCH, L, config.d_model), draw(BATCH, L, config.d_model, seed=1)

    def loss(params: Any) -> jax.Array:
        def apply(x: jax.Array, params: Any) -> tuple[jax.Array, None]:
            return jnp.tanh(nnx.merge(graphdef, params, rest)(x)), None

        return (lax.scan(apply, inputs, params)[0] * weights).sum()

    def own_loss(params: Any) -> jax.Array:
        with jax_derivatives():
            return loss(params)

    def product(gradient: Any) -> jax.Array:
        return jax.tree.reduce(jnp.add, jax.tree.map(jnp.vdot, gradient, direction))

    rng = np.random.default_rng(2)
    direction = jax.tree.map(lambda p: jnp.asarray(rng.standard_normal(p.shape), p.dtype), params)

    def with_gradient(params: Any) -> tuple[jax.Array, Any]:
        gradient = jax.grad(loss)(params)
        return product(gradient), gradient

    (_, own), (slope, forward) = jax.jit(
        lambda p, d: jax.jvp(jax.value_and_grad(own_loss), (p,), (d,))  # forward over reverse
    )(params, direction)
    both = jax.jit(jax.grad(with_gradient, has_aux=True))  # reverse over reverse
    backward, gradient = both(params)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4), gradient, own)
    np.testing.assert_allclose(slope, product(own), rtol=1e-3, atol=1e-3)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-2, atol=1e-2), forward, backward)
    scale = 1e-3
    ahead, behind = (
        both(jax.tree.map(lambda p, d: p + s * scale * d, params, direction))[1]  # noqa: B023
        for s in (1, -1)
    )
    difference = product(jax.tree.map(lambda a, b: (a - b) / (2 * scale), ahead, behind))
    np.testing.assert_allclose(product(forward), difference, rtol=2e-2, atol=1e-2)
