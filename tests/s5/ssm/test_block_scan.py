from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s5.nn.derivatives import jax_derivatives
from s5.ssm.block_scan import associative, block_recurrence, chunked, make_adjoint, sequential, sequential_adjoint

batch, L, P = 2, 7, 3
RESETS = np.zeros((batch, L), bool)
RESETS[0, [0, 3]], RESETS[1, 6] = True, True
# One matrix for all steps or one for each, the direction, resets.
CASES = {
    "regular": (False, False, None),
    "regular in reverse with resets": (False, True, RESETS),
    "irregular": (True, True, None),
    "irregular with resets": (True, False, RESETS),
}
cases = pytest.mark.parametrize(("irregular", "reverse", "resets"), CASES.values(), ids=CASES)


def draw(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(sum(shape)).standard_normal(shape), jnp.float32)


def arguments(irregular: bool) -> tuple[jax.Array, jax.Array, jax.Array]:
    return 0.6 * draw(*((batch, L) if irregular else ()), 2, 2, P), draw(batch, L, 2, P), draw(batch, 2, 2, P)


def definition(M: Any, w: Any, state: Any, reverse: bool, resets: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return positions and the last state, step after step in float64."""
    M, w, state = (np.asarray(array, np.float64) for array in (M, w, state))
    M = np.broadcast_to(M, (batch, L, 2, 2, P))
    begins = np.zeros((batch, L), bool) if resets is None else resets
    if reverse:
        begins = np.pad(begins[:, 1:], ((0, 0), (0, 1)))
    x = np.zeros_like(w)
    for k in reversed(range(L)) if reverse else range(L):
        state = np.where(begins[:, k, None, None, None], 0, state)
        pushed = np.stack([state[:, 0] + w[:, k], state[:, 1]], axis=1)
        state = np.einsum("bijp,bjrp->birp", M[:, k], pushed)
        x[:, k] = state[:, 1]
    return x, state


@cases
def test_states_and_derivatives_are_those_of_the_definition(irregular: bool, reverse: bool, resets: Any) -> None:
    values, weights = arguments(irregular), (draw(batch, L, 2, P), draw(batch, 2, 2, P))

    def loss(values: Any) -> Any:
        M, w, state = values
        x, end = block_recurrence(M, w, reverse, state, None if resets is None else jnp.asarray(resets))
        return (x * weights[0]).sum() + (end * weights[1]).sum(), (x, end)

    def by_jax(values: Any) -> Any:
        with jax_derivatives():
            return loss(values)

    gradients, outputs = jax.jit(jax.grad(loss, has_aux=True))(values)
    for got, want in zip(outputs, definition(*values, reverse, resets), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    for got, want in zip(gradients, jax.jit(jax.grad(by_jax, has_aux=True))(values)[0], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("form", "length", "reverse", "resets"),
    [(associative, L, True, RESETS), (chunked, 70, False, None), (chunked, 70, True, None)],
    ids=["associative", "chunked", "chunked in reverse"],
)
def test_forms_and_their_adjoints_agree(form: Any, length: int, reverse: bool, resets: Any) -> None:
    M, w, start = 0.6 * draw(2, 2, P), draw(batch, length, 2, P), draw(batch, 2, 2, P)
    begins = None if resets is None else jnp.asarray(resets)
    p, x, end = want = sequential(M, w, start, begins, reverse)
    bars = draw(batch, length, 2, P) + 1, end
    want += sequential_adjoint(M, start, begins, p, x, *bars, reverse)
    adjoint = make_adjoint(form)
    got = jax.jit(lambda M: (*form(M, w, start, begins, reverse), *adjoint(M, start, begins, p, x, *bars, reverse)))(M)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_an_overflow_stays_in_its_segment() -> None:
    resets = jnp.zeros((1, 300), bool).at[0, 200].set(True)
    x, _ = block_recurrence(jnp.full((2, 2, 1), 4.0), jnp.ones((1, 300, 2, 1)), resets=resets)
    assert not np.isfinite(x[0, 199]).any()
    assert np.isfinite(x[0, 200:220]).all()
