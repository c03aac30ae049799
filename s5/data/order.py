"""The order of examples: random permutations that are a pure function of a seed and a stream.

A permutation is the sorting order of raw Philox words. NumPy keeps the raw stream of a bit generator stable across
versions, but not the results of `Generator.permutation`. So splits and epochs keep their order after an upgrade.
"""

import numpy as np
from jaxtyping import Int

# Streams of a seed: stream e is epoch e of the training split; from this one on they are splits.
SPLIT_STREAM = 1 << 62


def permutation(n: int, seed: int, stream: int) -> Int[np.ndarray, " n"]:
    """Return a random permutation of 0..n-1.

    Args:
        n: The number of elements.
        seed: The seed, at least 0.
        stream: The number of the seed's permutation: an epoch, or `SPLIT_STREAM` and above.

    Returns:
        The permutation; the same on every machine and with every version of NumPy.
    """
    words = np.random.Philox(key=np.array([seed, stream], np.uint64)).random_raw(n)
    return np.argsort(words, kind="stable")
