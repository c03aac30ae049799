"""Random permutations of examples, which depend only on a seed and the number of a stream.

A permutation is the sorting order of raw Philox words. The raw stream of a NumPy bit generator is stable across
versions; the results of `Generator.permutation` are not. So splits and epochs keep their order after an upgrade.
"""

import numpy as np
from jaxtyping import Int

# The streams of a seed: stream e is the order of epoch e of the training split; this and larger numbers are for splits.
SPLIT_STREAM = 1 << 62


def permutation(n: int, seed: int, stream: int) -> Int[np.ndarray, " n"]:
    """Return a random permutation of 0..n-1.

    Args:
        n: The number of elements.
        seed: The seed, at least 0.
        stream: The number of the stream: an epoch, or at least `SPLIT_STREAM` for a split.

    Returns:
        The permutation, which is the same on every machine and with every version of NumPy.
    """
    words = np.random.Philox(key=np.array([seed, stream], np.uint64)).random_raw(n)
    return np.argsort(words, kind="stable")
