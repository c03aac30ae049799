"""Fixed orders of the pixels of an image."""

import numpy as np
from jaxtyping import Int

from s5.config.choices import Permutation


def bit_reversal(length: int) -> Int[np.ndarray, " length"]:
    """Return the bit-reversal permutation of 0..length-1, the order of psMNIST in the S5 repository.

    The numbers below the next power of two are sorted by their reversed bits; then numbers >= `length` are left out.
    """
    bits = max(1, (length - 1).bit_length())
    numbers = np.arange(1 << bits)
    reverse = np.zeros_like(numbers)
    for bit in range(bits):
        reverse |= ((numbers >> bit) & 1) << (bits - 1 - bit)
    return reverse[reverse < length]


def pixel_order(permutation: Permutation, length: int) -> Int[np.ndarray, " length"]:
    """Return the number of the pixel that is read at each step."""
    match permutation:
        case Permutation.none:
            return np.arange(length)
        case Permutation.bit_reversal:
            return bit_reversal(length)
