"""Random splits of examples into training, validation and test splits."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int, Integer

from s5.data.order import SPLIT_STREAM, permutation


def random_split(n: int, held_out: int, seed: int) -> tuple[Int[np.ndarray, " kept"], Int[np.ndarray, " held_out"]]:
    """Return the numbers of the kept examples and of `held_out` random other examples, both in ascending order."""
    order = permutation(n, seed, SPLIT_STREAM)
    return np.sort(order[held_out:]), np.sort(order[:held_out])


def random_splits(n: int, held_out: Mapping[str, int], seed: int) -> dict[str, Int[np.ndarray, " some"]]:
    """Return the numbers of random examples for each held-out split, and of all others as `train`, in ascending order.

    Args:
        n: Number of examples.
        held_out: Number of examples of each split except `train`.
        seed: The seed.
    """
    order = permutation(n, seed, SPLIT_STREAM)
    ends = np.cumsum(list(held_out.values()))
    parts = np.split(order, ends)
    return {name: np.sort(part) for name, part in zip((*held_out, "train"), parts, strict=True)}


def stratified_split(labels: Integer[np.ndarray, " n"], sizes: Mapping[str, int], seed: int) -> dict[str, np.ndarray]:
    """Split examples so that every split has the same proportions of classes.

    Args:
        labels: The class of each example.
        sizes: Examples per split; their sum is the number of all examples.
        seed: The seed.

    Returns:
        The numbers of the examples of each split, in ascending order. The proportions are exact up to rounding.

    Raises:
        ValueError: If the sum of the sizes is not the number of examples.
    """
    if sum(sizes.values()) != len(labels):
        raise ValueError(f"splits of {dict(sizes)} do not sum to {len(labels)} examples")
    # Each example gets a random place in (0, 1) within its class. Any range of the examples sorted by place has the
    # same proportions of classes.
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        order = permutation(len(members), seed, SPLIT_STREAM + 1 + int(label))
        place[members[order]] = (np.arange(len(members)) + 0.5) / len(members)
    examples = np.argsort(place, kind="stable")
    ends = np.cumsum(list(sizes.values()))
    parts = np.split(examples, ends[:-1])
    return {name: np.sort(part) for name, part in zip(sizes, parts, strict=True)}
