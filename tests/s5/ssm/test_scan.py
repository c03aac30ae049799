import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s5.ssm.scan import ADJOINTS, associative, chunked, linear_recurrence, sequential
from tests.quickly import HAS_FUSION_EMITTERS_FLAG

FORMS = {
    name: jax.jit(form, static_argnums=2)
    for name, form in {
        "sequential": sequential,
        "associative": associative,
        "chunked": chunked,
    }.items()
}
# What compiles short programs quickly takes a minute over a tree of this height.
WELL = {"xla_cpu_use_fusion_emitters": True} if HAS_FUSION_EMITTERS_FLAG else None
LONG_FORMS = FORMS | {"associative": jax.jit(associative, static_argnums=2, compiler_options=WELL)}
chosen = jax.jit(linear_recurrence, static_argnums=2)
ADJOINT_OF = {form.__name__: jax.jit(adjoint, static_argnums=3) for form, adjoint in ADJOINTS.items()}
directions = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
steps = pytest.mark.parametrize("irregular", [False, True], ids=["regular", "irregular"])
# Every direction and kind of step at an odd length; a single step, where nothing recurs, once.
cases = pytest.mark.parametrize(
    ("L", "irregular", "reverse"),
    [(37, False, False), (37, False, True), (37, True, False), (37, True, True), (1, True, True)],
)


def planes(values: Any) -> jax.Array:
    return jnp.asarray(np.stack([values.real, values.imag], axis=-2), jnp.float32)


def problem(L: int, irregular: bool = False, batch: int = 3, P: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(L)
    shape = (batch, L, P) if irregular else (P,)
    Lambda_bar = rng.uniform(0.5, 0.98, shape) * np.exp(1j * rng.uniform(-3, 3, shape))
    Bu = rng.standard_normal((batch, L, P)) + 1j * rng.standard_normal((batch, L, P))
    return Lambda_bar, Bu


def draw_resets(L: int, batch: int = 3) -> np.ndarray:
    """Draw resets at a fifth of the steps; one row has them at its first and last step."""
    resets = np.random.default_rng(L).random((batch, L)) < 0.2
    resets[0, [0, -1]] = True
    return resets


def definition(
    Lambda_bar: jax.Array | np.ndarray,
    Bu: jax.Array | np.ndarray,
    reverse: bool,
    resets: jax.Array | np.ndarray | None = None,
) -> Any:
    """x_k = (1 − r_k) Lambda_bar_k x + Bu_k with the state x of the step that the recurrence took before k."""
    x, states = np.zeros_like(Bu[:, 0]), np.zeros_like(Bu)
    passes = np.ones(Bu.shape[:2]) if resets is None else 1.0 - resets
    steps = range(Bu.shape[1])
    for k in reversed(steps) if reverse else steps:
        a = Lambda_bar if Lambda_bar.ndim == 1 else Lambda_bar[:, k]
        x = passes[:, k, None] * a * x + Bu[:, k]
        states[:, k] = x
    return states


def derivatives(
    Lambda_bar: jax.Array | np.ndarray,
    Bu: jax.Array | np.ndarray,
    x_bar: jax.Array | np.ndarray,
    reverse: bool,
    resets: jax.Array | np.ndarray | None = None,
) -> tuple[Any, Any]:
    """Return the derivatives by Lambda_bar and Bu by definition: s_k = x_bar_k + conj(Lambda_bar) s_next."""
    batch, L, P = Bu.shape
    x, a = definition(Lambda_bar, Bu, reverse, resets), np.broadcast_to(Lambda_bar, (batch, L, P))
    s, by_Bu, by_steps = np.zeros((batch, P), complex), np.zeros_like(Bu), np.zeros_like(Bu)
    passes = np.ones((batch, L)) if resets is None else 1.0 - resets
    before = 1 if reverse else -1
    for k in range(L) if reverse else range(L - 1, -1, -1):
        s = s + x_bar[:, k]
        by_Bu[:, k] = s
        s = passes[:, k, None] * s
        if 0 <= k + before < L:
            by_steps[:, k] = x[:, k + before].conj() * s
        s = a[:, k].conj() * s
    return (by_steps.sum((0, 1)) if Lambda_bar.ndim == 1 else by_steps), by_Bu


@cases
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_definition(form: str, irregular: bool, reverse: bool, L: int) -> None:
    Lambda_bar, Bu = problem(L, irregular)
    got = FORMS[form](planes(Lambda_bar), planes(Bu), reverse)
    np.testing.assert_allclose(got, planes(definition(Lambda_bar, Bu, reverse)), atol=1e-5)


@cases
@pytest.mark.parametrize("form", ADJOINT_OF)
def test_every_adjoint_is_the_derivative_of_the_definition(form: str, irregular: bool, reverse: bool, L: int) -> None:
    Lambda_bar, Bu = problem(L, irregular)
    _, x_bar = problem(L + 1000)
    x_bar = np.resize(x_bar, Bu.shape)
    x = planes(definition(Lambda_bar, Bu, reverse))
    got = ADJOINT_OF[form](planes(Lambda_bar), x, planes(x_bar), reverse)
    for one, want in zip(got, derivatives(Lambda_bar, Bu, x_bar, reverse), strict=True):
        np.testing.assert_allclose(one, planes(want), rtol=1e-4, atol=2e-5 * L)


@directions
@steps
@pytest.mark.parametrize("form", FORMS)
def test_every_form_and_its_adjoint_start_again_at_resets(form: str, irregular: bool, reverse: bool) -> None:
    Lambda_bar, Bu = problem(37, irregular)
    resets, x_bar = draw_resets(37), np.resize(problem(1037)[1], Bu.shape)
    x = definition(Lambda_bar, Bu, reverse, resets)
    got = FORMS[form](planes(Lambda_bar), planes(Bu), reverse, jnp.asarray(resets))
    np.testing.assert_allclose(got, planes(x), atol=1e-5)
    adjoint = ADJOINT_OF[form](planes(Lambda_bar), planes(x), planes(x_bar), reverse, jnp.asarray(resets))
    for one, want in zip(adjoint, derivatives(Lambda_bar, Bu, x_bar, reverse, resets), strict=True):
        np.testing.assert_allclose(one, planes(want), rtol=1e-4, atol=1e-3)


@directions
@steps
def test_segments_are_sequences_of_their_own_whatever_enters_the_first(irregular: bool, reverse: bool) -> None:
    Lambda_bar, Bu = (planes(values) for values in problem(11, irregular))
    initial = planes(problem(5)[1][:, 0])
    resets = jnp.zeros((3, 11), bool).at[:, jnp.array([4, 5])].set(True)

    def run(
        Lambda_bar: jax.Array | np.ndarray,
        Bu: jax.Array | np.ndarray,
        initial: jax.Array,
        resets: jax.Array | np.ndarray | None = None,
    ) -> jax.Array:
        return linear_recurrence(Lambda_bar, Bu, reverse, initial, resets)

    def apart(Lambda_bar: jax.Array | np.ndarray, Bu: jax.Array | np.ndarray, initial: jax.Array) -> jax.Array:
        parts = []
        for part in (slice(0, 4), slice(4, 5), slice(5, 11)):
            own = Lambda_bar[:, part] if irregular else Lambda_bar
            entered = part.stop == 11 if reverse else part.start == 0
            parts.append(run(own, Bu[:, part], initial if entered else jnp.zeros_like(initial)))
        return jnp.concatenate(parts, axis=1)

    x_bar = planes(np.resize(problem(12)[1], Bu.shape[:2] + Bu.shape[3:]))
    for one, other in zip(
        jax.tree.leaves(jax.vjp(lambda *of: run(of[0], of[1], of[2], resets), Lambda_bar, Bu, initial)[1](x_bar)),
        jax.tree.leaves(jax.vjp(apart, Lambda_bar, Bu, initial)[1](x_bar)),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(run(Lambda_bar, Bu, initial, resets), apart(Lambda_bar, Bu, initial), atol=1e-5)
    # A reset at the first step stops the state that enters there.
    first = jnp.zeros((3, 11), bool).at[:, 0].set(True)
    fresh = jnp.zeros_like(initial)
    stopped = run(Lambda_bar, Bu, initial, first)
    np.testing.assert_allclose(stopped, run(Lambda_bar, Bu, initial if reverse else fresh), atol=1e-6)


def test_what_overflows_in_one_segment_does_not_reach_the_next() -> None:
    resets = jnp.zeros((1, 400), bool).at[:, 300].set(True)
    states = np.asarray(sequential(jnp.array([[2.0], [0.0]]), jnp.ones((1, 400, 2, 1)), False, resets))
    assert not np.isfinite(states[:, 299]).any()
    assert np.isfinite(states[:, 300:]).all()


@pytest.mark.parametrize(("irregular", "reverse"), [(False, True), (True, False)], ids=["regular", "irregular"])
def test_forms_agree_on_the_longest_sequences(irregular: bool, reverse: bool) -> None:
    L = 16_384
    Lambda_bar, Bu = problem(L, irregular, batch=1, P=2)
    want = planes(definition(Lambda_bar, Bu, reverse))
    for form in ("sequential", "chunked") if irregular else FORMS:  # seconds to compile
        got = LONG_FORMS[form](planes(Lambda_bar), planes(Bu), reverse)
        np.testing.assert_allclose(got, want, atol=1e-4)


@pytest.mark.parametrize(
    ("L", "irregular", "reverse", "forms"),
    [(1001, False, True, list(ADJOINT_OF)), (4097, True, False, ["sequential", "chunked"])],
    ids=["regular", "irregular"],
)
def test_adjoints_agree_on_long_odd_sequences(L: int, irregular: bool, reverse: bool, forms) -> None:
    Lambda_bar, Bu = problem(L, irregular, batch=1, P=2)
    _, x_bar = problem(L + 1, batch=1, P=2)
    x_bar = x_bar[:, :L]
    want = derivatives(Lambda_bar, Bu, x_bar, reverse)
    x = planes(definition(Lambda_bar, Bu, reverse))
    for form in forms:
        got = ADJOINT_OF[form](planes(Lambda_bar), x, planes(x_bar), reverse)
        for one, exact in zip(got, want, strict=True):
            np.testing.assert_allclose(one, planes(exact), rtol=1e-4, atol=1e-5 * np.abs(exact).max())


@pytest.mark.parametrize(("irregular", "reverse"), [(False, True), (True, False)], ids=["regular", "irregular"])
def test_derivative_of_the_public_function_is_that_of_the_definition(irregular: bool, reverse: bool) -> None:
    Lambda_bar, Bu = problem(37, irregular)
    initial, x_bar = problem(5)[1][:, 0], np.resize(problem(38)[1], Bu.shape)

    def run(Lambda_bar: jax.Array | np.ndarray, Bu: jax.Array | np.ndarray, initial: jax.Array) -> jax.Array:
        return linear_recurrence(Lambda_bar, Bu, reverse, initial)

    arguments = (planes(Lambda_bar), planes(Bu), planes(initial))
    by_Lambda_bar, by_Bu, by_initial = jax.jit(lambda g, *of: jax.vjp(run, *of)[1](g))(planes(x_bar), *arguments)
    first = 36 if reverse else 0
    entered = Bu.copy()
    entered[:, first] += (Lambda_bar[:, first] if irregular else Lambda_bar) * initial
    want_Lambda_bar, want_Bu = derivatives(Lambda_bar, entered, x_bar, reverse)
    entering = initial.conj() * want_Bu[:, first]
    if irregular:
        want_Lambda_bar[:, first] += entering
    else:
        want_Lambda_bar += entering.sum(0)
    np.testing.assert_allclose(by_Lambda_bar, planes(want_Lambda_bar), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(by_Bu, planes(want_Bu), rtol=1e-4, atol=1e-4)
    leading = Lambda_bar[:, first] if irregular else Lambda_bar
    np.testing.assert_allclose(by_initial, planes(leading.conj() * want_Bu[:, first]), rtol=1e-4, atol=1e-4)


@functools.partial(jax.jit, static_argnums=2)
def in_two(Lambda_bar: jax.Array | np.ndarray, Bu: jax.Array | np.ndarray, reverse: bool, cut: int) -> Any:
    """Compute the states in two parts, each in a window of the whole length, so that all cuts share one program."""
    L, early = Bu.shape[1], jnp.arange(Bu.shape[1])[:, None, None] < cut
    parts = [(jnp.where(early, Bu, 0), L - cut), (jnp.where(early, 0, Bu), -cut)]  # zeros lead in, or follow after
    state, states = None, []
    for part, shift in reversed(parts) if reverse else parts:
        own = Lambda_bar if Lambda_bar.ndim == 2 else jnp.roll(Lambda_bar, shift, 1)
        x = linear_recurrence(own, jnp.roll(part, shift, 1), reverse, state)
        state = x[:, 0 if reverse else -1]
        states.append(jnp.roll(x, -shift, 1))
    return jnp.where(early, *(reversed(states) if reverse else states))


@directions
@steps
@settings(max_examples=15, deadline=None)
@given(cut=st.integers(1, 36))
def test_a_sequence_may_be_cut_anywhere(irregular: bool, reverse: bool, cut: int) -> None:
    Lambda_bar, Bu = (planes(values) for values in problem(37, irregular))
    whole = FORMS["sequential"](Lambda_bar, Bu, reverse)
    np.testing.assert_allclose(in_two(Lambda_bar, Bu, reverse, cut), whole, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), factor=st.floats(-4, 4, width=32))
def test_every_form_is_linear_in_its_input(form: str, seed: int, factor: float) -> None:
    Lambda_bar, Bu = (planes(values) for values in problem(37))
    other = jnp.asarray(np.random.default_rng(seed).standard_normal(Bu.shape), jnp.float32)
    run = functools.partial(FORMS[form], Lambda_bar, reverse=False)
    np.testing.assert_allclose(run(Bu=Bu + factor * other), run(Bu=Bu) + factor * run(Bu=other), atol=2e-4)


def test_an_unstable_eigenvalue_grows_until_it_overflows() -> None:
    states = np.asarray(sequential(jnp.array([[2.0], [0.0]]), jnp.ones((1, 200, 2, 1))))
    assert np.isfinite(states[:, :120]).all()
    assert not np.isfinite(states[:, 199]).any()


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_reverse_is_the_flipped_scan(form: str, seed: int) -> None:
    Lambda_bar, Bu = (planes(values) for values in problem(37))
    Bu = jnp.asarray(np.random.default_rng(seed).standard_normal(Bu.shape), jnp.float32)
    flipped = FORMS[form](Lambda_bar, Bu[:, ::-1], False)[:, ::-1]
    np.testing.assert_allclose(FORMS[form](Lambda_bar, Bu, True), flipped, atol=1e-5)


@directions
def test_a_state_depends_on_no_later_step(reverse: bool) -> None:
    Lambda_bar, Bu = (planes(values) for values in problem(9))
    k = 4
    by_input = jax.grad(lambda b: chosen(Lambda_bar, b, reverse)[:, k].sum())(Bu)
    reached = np.abs(np.asarray(by_input)).sum((0, 2, 3)) > 0
    assert reached.tolist() == [(step >= k) if reverse else (step <= k) for step in range(9)]


def test_nothing_but_the_states_is_kept_for_the_derivative() -> None:
    Lambda_bar, Bu = (planes(values) for values in problem(37))
    _, pull = jax.vjp(lambda a, b: linear_recurrence(a, b), Lambda_bar, Bu)
    assert sorted(leaf.shape for leaf in jax.tree.leaves(pull)) == sorted([Lambda_bar.shape, Bu.shape])
