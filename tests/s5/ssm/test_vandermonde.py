from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s5.nn.derivatives import jax_derivatives
from s5.ssm.vandermonde import vandermonde_product

K, H, N = 2, 3, 4


def draw(L: int, dtype: Any = np.float32) -> tuple[np.ndarray, ...]:
    """Return exponents whose powers stay above a twentieth, weights, and the derivative by the kernel."""
    rng = np.random.default_rng(L)
    a = np.stack([-rng.uniform(0, 3, (H, N)) / L, rng.uniform(-20, 20, (H, N))])
    return tuple(one.astype(dtype) for one in (a, rng.standard_normal((2, K, H, N)), rng.standard_normal((K, H, L))))


def definition(a: np.ndarray, c: np.ndarray, kernel_bar: np.ndarray) -> tuple[np.ndarray, ...]:
    """The sum of the docstring and its derivatives by a and c, in float64."""
    (a_re, a_im), (c_re, c_im) = a.astype(np.float64), c.astype(np.float64)
    lags = np.arange(kernel_bar.shape[2])
    powers = np.exp((a_re + 1j * a_im)[..., None] * lags)
    weight = (c_re + 1j * c_im)[..., None]
    by_c, by_a = ((kernel_bar[:, :, None] * one).sum(-1) for one in (powers, weight * lags * powers))
    return (weight * powers).sum(2).real, *(np.stack([one.real, -one.imag]) for one in (by_a.sum(0), by_c))


def computed(a: np.ndarray, c: np.ndarray, kernel_bar: np.ndarray) -> tuple[jax.Array, jax.Array, jax.Array]:
    @jax.jit
    def run(a: jax.Array, c: jax.Array, kernel_bar: jax.Array) -> Any:
        kernel, pull = jax.vjp(lambda a, c: vandermonde_product(a, c, kernel_bar.shape[2]), a, c)
        return kernel, *pull(kernel_bar)

    return run(*map(jnp.asarray, (a, c, kernel_bar)))


def relative_errors(got: Any, want: Any) -> list[float]:
    return [np.abs(np.asarray(one) - other).max() / np.abs(other).max() for one, other in zip(got, want, strict=True)]


@pytest.mark.parametrize("L", [1, 2, 5, 64, 4096])
def test_kernel_and_its_derivatives_are_the_definition(L: int) -> None:
    given = draw(L)
    got, want = computed(*given), definition(*given)
    if L == 1:  # at lag 0 nothing depends on the exponents
        assert not np.asarray(got[1]).any()
        got, want = got[::2], want[::2]
    assert max(relative_errors(got, want)) < 1e-5


def test_double_precision_stays() -> None:
    given = draw(256, np.float64)
    with jax.enable_x64(True):
        assert max(relative_errors(computed(*given), definition(*given))) < 1e-12


def test_derivatives_of_jax_are_the_hand_written_ones() -> None:
    a, c, kernel_bar = map(jnp.asarray, draw(7))

    @jax.jit
    def own(a: jax.Array, c: jax.Array) -> Any:
        with jax_derivatives():
            return jax.grad(lambda a, c: (vandermonde_product(a, c, 7) * kernel_bar).sum(), (0, 1))(a, c)

    assert max(relative_errors(own(a, c), computed(a, c, kernel_bar)[1:])) < 1e-5


def test_memory_of_the_derivative_is_far_below_that_of_the_matrix() -> None:
    H, N, L = 256, 64, 16384
    shapes = (2, H, N), (2, 1, H, N), (1, H, L)
    both = jax.jit(jax.value_and_grad(lambda a, c, by: (vandermonde_product(a, c, L) * by).sum(), (0, 1)))
    memory = both.lower(*(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 0.1 * 8 * H * N * L
