import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s5.ssm.scan import (
    associative,
    associative_adjoint,
    linear_recurrence,
    sequential,
    sequential_adjoint,
)

FORMS = {
    name: jax.jit(form, static_argnums=2)
    for name, form in {"sequential": sequential, "associative": associative, "chosen": linear_recurrence}.items()
}
ADJOINTS = {
    name: jax.jit(adjoint, static_argnums=3)
    for name, adjoint in {"sequential": sequential_adjoint, "associative": associative_adjoint}.items()
}
directions = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
lengths = pytest.mark.parametrize("L", [1, 2, 37])


def planes(values):
    return jnp.asarray(np.stack([values.real, values.imag], axis=-2), jnp.float32)


def problem(L, batch=3, P=5):
    rng = np.random.default_rng(L)
    Lambda_bar = rng.uniform(0.5, 1, P) * np.exp(1j * rng.uniform(-3, 3, P))
    Bu = rng.standard_normal((batch, L, P)) + 1j * rng.standard_normal((batch, L, P))
    return Lambda_bar, Bu


def definition(Lambda_bar, Bu, reverse):
    x, states = np.zeros_like(Bu[:, 0]), np.zeros_like(Bu)
    steps = range(Bu.shape[1])
    for k in reversed(steps) if reverse else steps:
        x = Lambda_bar * x + Bu[:, k]
        states[:, k] = x
    return states


@lengths
@directions
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_definition(form, reverse, L):
    Lambda_bar, Bu = problem(L)
    got = FORMS[form](planes(Lambda_bar), planes(Bu), reverse)
    np.testing.assert_allclose(got, planes(definition(Lambda_bar, Bu, reverse)), atol=1e-5)


@lengths
@directions
@pytest.mark.parametrize("form", ADJOINTS)
def test_every_adjoint_is_the_derivative_of_the_plain_loop(form, reverse, L):
    Lambda_bar, Bu = (planes(values) for values in problem(L))
    x_bar = jnp.asarray(np.random.default_rng(0).standard_normal(Bu.shape), jnp.float32)
    # `sequential` has no derivative of its own: this is JAX's, through the loop.
    x, pull = jax.vjp(lambda *args: FORMS["sequential"](*args, reverse), Lambda_bar, Bu)
    for got, want in zip(ADJOINTS[form](Lambda_bar, x, x_bar, reverse), pull(x_bar), strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5 * L)


@directions
def test_derivative_of_the_public_form_is_the_adjoint(reverse):
    Lambda_bar, Bu = (planes(values) for values in problem(37))
    weight = np.random.default_rng(0).standard_normal(Bu.shape).astype(np.float32)
    losses = [lambda *args, f=f: (f(*args, reverse) * weight).sum() for f in (linear_recurrence, sequential)]
    got, want = (jax.jit(jax.grad(loss, (0, 1)))(Lambda_bar, Bu) for loss in losses)
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_reverse_is_the_flipped_scan(form):
    Lambda_bar, Bu = (planes(values) for values in problem(37))
    flipped = FORMS[form](Lambda_bar, Bu[:, ::-1], False)[:, ::-1]
    np.testing.assert_allclose(FORMS[form](Lambda_bar, Bu, True), flipped, atol=1e-5)


@directions
def test_a_state_depends_on_no_later_step(reverse):
    Lambda_bar, Bu = (planes(values) for values in problem(9))
    k = 4
    by_input = jax.grad(lambda b: FORMS["chosen"](Lambda_bar, b, reverse)[:, k].sum())(Bu)
    reached = np.abs(np.asarray(by_input)).sum((0, 2, 3)) > 0
    assert reached.tolist() == [(step >= k) if reverse else (step <= k) for step in range(9)]


def test_nothing_but_the_states_is_kept_for_the_derivative():
    Lambda_bar, Bu = (planes(values) for values in problem(37))
    _, pull = jax.vjp(lambda a, b: linear_recurrence(a, b), Lambda_bar, Bu)
    assert sorted(leaf.shape for leaf in jax.tree.leaves(pull)) == sorted([Lambda_bar.shape, Bu.shape])
