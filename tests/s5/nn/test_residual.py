import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s5.config.choices import Residual
from s5.config.families import S5Config
from s5.nn.residual import ResidualConnection

SMALL = S5Config(d_model=6, d_state=4, n_blocks=1)


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("kind", Residual)
@pytest.mark.parametrize("depth", [1, 4])
def test_the_connection_is_the_published_sum(kind: Residual, depth: int) -> None:
    connection = ResidualConnection(dataclasses.replace(SMALL, residual=kind), np.random.default_rng(0))
    if connection.factor is not None:
        assert connection.factor[...] == 1
        connection.factor[...] = jnp.array([0.3])
    x, y = draw(2, 5, 6), draw(2, 5, 6, seed=1)

    def share() -> np.ndarray:
        (W, b), (V, c) = (
            (np.asarray(dense.weight[...]), np.asarray(dense.bias[...]))
            for dense in (connection.of_input, connection.of_output)
        )
        return 1 / (1 + np.exp(-(x @ W + b + y @ V + c)))

    want = {
        Residual.plain: lambda: x + y,
        Residual.none: lambda: y,
        Residual.affine: lambda: x + 0.3 * y,
        Residual.highway: lambda: (1 - share()) * x + share() * y,
        Residual.decay: lambda: np.sqrt(1 - 1 / depth) * x + depth**-0.5 * y,
    }[kind]()
    np.testing.assert_allclose(connection(jnp.asarray(x), jnp.asarray(y), depth), want, rtol=1e-5, atol=1e-6)


def test_half_precision_stays_half() -> None:
    x = jnp.asarray(draw(2, 5, 6), jnp.bfloat16)
    for kind in Residual:
        connection = ResidualConnection(dataclasses.replace(SMALL, residual=kind), np.random.default_rng(0))
        assert jax.eval_shape(connection, x, x, 2).dtype == jnp.bfloat16
