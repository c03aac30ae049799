"""The order of examples: random permutations that are a pure function of a seed and a stream.

They are the sorting order of raw Philox words. NumPy promises the raw stream of a bit generator for ever, and the
results of `Generator.permutation` only within a version, so a split or an epoch's order outlives an upgrade.
"""

import numpy as np
from jaxtyping import Int

# Streams of one seed: epoch e of the training split is stream e; these lie above all epochs.
SPLIT_STREAM = 1 << 62


def permutation(n: int, seed: int, stream: int) -> Int[np.ndarray, " n"]:
    """Return a random permutation of 0..n-1.

    Args:
        n: How many.
        seed: The seed, from 0.
        stream: Which of the seed's independent permutations, from 0; an epoch, or one above `SPLIT_STREAM`.

    Returns:
        The permutation, the same on every machine and for every NumPy version.
    """
    words = np.random.Philox(key=np.array([seed, stream], np.uint64)).random_raw(n)
    return np.argsort(words, kind="stable")
