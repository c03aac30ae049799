import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s5.nn.derivatives import jax_derivatives
from s5.ssm import convolution
from s5.ssm.convolution import causal_convolution, good_length

BATCH, H = 2, 3


def draw(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(len(shape)).standard_normal(shape), jnp.float32)


def definition(u: np.ndarray, kernel: np.ndarray, reverse_kernel: np.ndarray | None = None) -> np.ndarray:
    """The sums of the docstring, in float64."""
    L = u.shape[1]
    lag = np.arange(L)[:, None] - np.arange(L)
    y = np.einsum("hkj,bjh->bkh", np.where(lag >= 0, np.asarray(kernel, np.float64)[:, lag], 0), u)
    if reverse_kernel is not None:
        y += np.einsum("hkj,bjh->bkh", np.where(lag <= 0, np.asarray(reverse_kernel, np.float64)[:, -lag], 0), u)
    return y


def pull(y_bar: jax.Array, *given: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """Return the outputs, and the derivatives of their product with `y_bar`."""
    y, transposed = jax.vjp(causal_convolution, *given)
    return y, transposed(y_bar)


def arguments(L: int, both: bool) -> tuple[jax.Array, ...]:
    return draw(BATCH, L, H), *(draw(2, H, L)[: 1 + both])


@pytest.mark.parametrize("L", [1, 2, 101])
@pytest.mark.parametrize("both", [False, True], ids=["causal", "both directions"])
def test_convolution_and_its_derivatives_are_those_of_the_definition(L: int, both: bool) -> None:
    given, weight = arguments(L, both), draw(BATCH, L, H, 1)[..., 0]
    y, pulled = jax.jit(pull)(weight, *given)
    np.testing.assert_allclose(y, definition(*map(np.asarray, given)), rtol=1e-4, atol=2e-5)
    # The map is linear in each argument, so its derivative is the product of the weight with each unit argument.
    for number, found in enumerate(pulled):
        direction = np.random.default_rng(9).standard_normal(given[number].shape)
        changed = [direction if number == other else np.asarray(one) for other, one in enumerate(given)]
        if number:  # without the other kernel's part
            changed[1:] = [one if other == number else np.zeros((H, L)) for other, one in enumerate(changed[1:], 1)]
        slope = (np.asarray(weight) * definition(*changed)).sum()
        np.testing.assert_allclose((np.asarray(found) * direction).sum(), slope, rtol=1e-4, atol=1e-3)


def test_groups_of_features_are_convolved_like_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    given, weight = arguments(7, True), draw(BATCH, 7, H)
    want, want_bars = jax.jit(pull)(weight, *given)
    monkeypatch.setattr(convolution, "_VALUES_AT_ONCE", 2 * good_length(13))  # two groups, one feature in both
    got, bars = jax.jit(lambda *arrays: pull(*arrays))(weight, *given)
    for one, other in zip((got, *bars), (want, *want_bars), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_spectra_take_little_memory() -> None:
    u, kernel = jax.ShapeDtypeStruct((8, 4096, 256), jnp.float32), jax.ShapeDtypeStruct((256, 4096), jnp.float32)
    memory = jax.jit(pull).lower(u, u, kernel).compile().memory_analysis()
    assert memory is not None
    assert memory.temp_size_in_bytes < 1.5 * 4 * 8 * 4096 * 256


def test_derivatives_of_jax_are_the_hand_written_ones() -> None:
    given, weight = arguments(7, True), draw(BATCH, 7, H)

    def loss(*arrays: jax.Array) -> jax.Array:
        return (causal_convolution(*arrays) * weight).sum()

    def own_loss(*arrays: jax.Array) -> jax.Array:
        with jax_derivatives():
            return loss(*arrays)

    fast, own = (jax.jit(jax.grad(one, (0, 1, 2)))(*given) for one in (loss, own_loss))
    for one, other in zip(fast, own, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_half_precision_is_convolved_in_float32() -> None:
    u, kernel = (array.astype(jnp.bfloat16) for array in arguments(300, False))
    y, pulled = jax.jit(pull)(u, u, kernel)
    assert [y.dtype, *(bar.dtype for bar in pulled)] == [jnp.bfloat16] * 3
    want = definition(np.asarray(u), np.asarray(kernel))
    np.testing.assert_allclose(y, want, rtol=2**-8, atol=1e-3)


def test_double_precision_stays() -> None:
    rng = np.random.default_rng(0)
    u, kernel = rng.standard_normal((BATCH, 50, H)), rng.standard_normal((H, 50))
    with jax.enable_x64(True):
        y = causal_convolution(jnp.asarray(u), jnp.asarray(kernel))
        np.testing.assert_allclose(y, definition(u, kernel), rtol=1e-10, atol=1e-12)


def test_good_lengths_are_the_next_even_products_of_small_primes() -> None:
    smooth = {2 * 2**a * 3**b * 5**c for a in range(16) for b in range(10) for c in range(7)}
    for least in (*range(1, 200), 8191, 32767):
        assert good_length(least) == min(n for n in smooth if n >= least)
