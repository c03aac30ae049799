from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s5.nn.derivatives import jax_derivatives
from s5.ssm.real_recurrence import real_recurrence

batch, L, P = 3, 9, 4
rng = np.random.default_rng(0)
VALUES = (rng.uniform(-0.9, 1, (batch, L, P)), rng.standard_normal((batch, L, P)), rng.standard_normal((batch, P)))
RESETS, WEIGHT = rng.random((batch, L)) < 0.2, rng.standard_normal((batch, L, P))


def definition(values: Sequence[np.ndarray], reverse: bool) -> np.ndarray:
    a, b, x = values
    states, cuts = np.empty_like(b), np.pad(RESETS[:, 1:], ((0, 0), (0, 1))) if reverse else RESETS
    for k in reversed(range(L)) if reverse else range(L):
        states[:, k] = x = np.where(cuts[:, k, None], 0, a[:, k] * x) + b[:, k]
    return states


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_states_and_derivatives_are_those_of_the_definition(reverse: bool) -> None:
    def loss(a: Any, b: Any, initial: Any) -> tuple[Any, Any]:
        x = real_recurrence(a, b, reverse, initial, jnp.asarray(RESETS))
        return (WEIGHT * x).sum(), x

    def tree_loss(*values: Any) -> tuple[Any, Any]:
        with jax_derivatives():
            return loss(*values)

    with jax.enable_x64(True):
        both = jax.jit(lambda *values: [jax.grad(one, (0, 1, 2), has_aux=True)(*values) for one in (loss, tree_loss)])
        results = jax.tree.map(np.asarray, both(*map(jnp.asarray, VALUES)))
    for slopes, x in results:
        np.testing.assert_allclose(x, definition(VALUES, reverse), atol=1e-12)
        for at, slope in enumerate(slopes):
            direction = np.random.default_rng(at).standard_normal(slope.shape)
            ahead, behind = (
                [value + step * direction if i == at else value for i, value in enumerate(VALUES)]
                for step in (1e-6, -1e-6)
            )
            difference = (WEIGHT * (definition(ahead, reverse) - definition(behind, reverse))).sum() / 2e-6
            assert (slope * direction).sum() == pytest.approx(difference, rel=1e-6, abs=1e-6)
