import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s5.nn.group_norm import GroupNorm
from s5.nn.steps import REGULAR, Steps

batch, L, H = 3, 7, 6


def draw(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def normalize(x: np.ndarray, groups: int) -> np.ndarray:
    """Return one sequence (L, H), each group of features minus its mean and divided by its standard deviation."""
    wide = x.astype(np.float64).reshape(len(x), groups, -1)
    mean, var = wide.mean((0, 2), keepdims=True), wide.var((0, 2), keepdims=True)
    return ((wide - mean) / np.sqrt(var + 1e-5)).reshape(x.shape)


@pytest.mark.parametrize("groups", [1, 2])
def test_each_segment_is_normalised_by_itself_and_padding_does_not_count(groups: int) -> None:
    norm, x = GroupNorm(H, groups), 1000 + 2 * draw(batch, L, H)  # far from zero, where squares lose all digits
    assert norm.scale is not None and norm.bias is not None
    norm.scale[...], norm.bias[...] = draw(H, seed=1), draw(H, seed=2)
    starts = np.zeros((batch, L), bool)
    starts[0, [3, 4]] = starts[1, 2] = True
    steps = Steps.of(L, np.array([7, 5, 1]), resets=jnp.asarray(starts))
    got = np.asarray(norm(x, steps, train=False))
    for row, segments in enumerate(([(0, 3), (3, 4), (4, 7)], [(0, 2), (2, 5)], [(0, 1)])):
        for start, stop in segments:
            want = normalize(np.asarray(x[row, start:stop]), groups) * norm.scale[...] + norm.bias[...]
            np.testing.assert_allclose(got[row, start:stop], want, atol=2e-3)


def test_instance_norm_has_a_group_for_each_feature_and_no_parameters() -> None:
    norm, x = GroupNorm(H, H, affine=False), draw(batch, L, H)
    assert norm.scale is None and norm.bias is None
    want = np.stack([normalize(np.asarray(row), H) for row in x])
    np.testing.assert_allclose(norm(x, REGULAR, train=True), want, rtol=1e-4, atol=1e-5)
