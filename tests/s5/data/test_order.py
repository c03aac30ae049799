from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s5.data.order import permutation
from s5.data.split import random_split, stratified_split

SEEDS = st.integers(0, 2**40)


@settings(deadline=None)
@given(st.integers(0, 300), SEEDS, SEEDS)
def test_order_holds_everything_once(n: int, seed: int, stream) -> None:
    assert sorted(permutation(n, seed, stream)) == list(range(n))


def test_order_is_pinned() -> None:
    # If you meant to change it, every split and every training run changes;
    # raise SCIENCE_VERSION in s5/config/identity.py.
    assert permutation(10, 42, 0).tolist() == [7, 1, 6, 4, 3, 5, 9, 0, 2, 8]
    assert permutation(10, 42, 1).tolist() == [4, 9, 5, 3, 0, 2, 7, 1, 6, 8]


def test_all_orders_are_equally_likely() -> None:
    counts = Counter(tuple(permutation(4, 7, stream)) for stream in range(2400))
    assert len(counts) == 24
    # Chi-square with 23 degrees of freedom lies above 49.7 once in a thousand.
    assert sum((count - 100) ** 2 / 100 for count in counts.values()) < 49.7


@settings(deadline=None)
@given(st.integers(1, 200), st.data(), SEEDS)
def test_random_split_shares_everything_out(n: int, data, seed: int) -> None:
    held_out = data.draw(st.integers(0, n))
    kept, out = random_split(n, held_out, seed)
    assert len(out) == held_out
    assert sorted([*kept, *out]) == list(range(n))


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=3, max_size=200), st.data(), SEEDS)
def test_every_class_has_its_share_of_every_split(labels: np.ndarray, data, seed: int) -> None:
    n = len(labels)
    first, second = sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n))))
    sizes = {"train": first, "val": second - first, "test": n - second}
    labels = np.array(labels)
    parts = stratified_split(labels, sizes, seed)
    assert {name: len(part) for name, part in parts.items()} == sizes
    assert sorted(np.concatenate(list(parts.values()))) == list(range(n))
    for name, part in parts.items():
        for label in set(labels):
            exact = sizes[name] * np.mean(labels == label)
            # Both ends of a split are rounded: half an example of this class, and its part of all classes' halves.
            rounding = 1 + np.mean(labels == label) * len(set(labels))
            assert abs(np.sum(labels[part] == label) - exact) <= rounding


def test_classes_of_one_size_are_split_exactly() -> None:
    labels = np.repeat(np.arange(10), 500)
    parts = stratified_split(labels, {"train": 4000, "val": 500, "test": 500}, 42)
    counts = {name: np.bincount(labels[part]).tolist() for name, part in parts.items()}
    assert counts == {"train": [400] * 10, "val": [50] * 10, "test": [50] * 10}


def test_another_seed_is_another_split() -> None:
    labels = np.repeat(np.arange(10), 50)
    sizes = {"train": 400, "val": 50, "test": 50}
    one, other = (stratified_split(labels, sizes, seed)["test"] for seed in (42, 43))
    assert not np.array_equal(one, other)


def test_sizes_that_do_not_sum_are_refused() -> None:
    with pytest.raises(ValueError, match="do not sum to 4 examples"):
        stratified_split(np.zeros(4, int), {"train": 1, "val": 1, "test": 1}, 0)
