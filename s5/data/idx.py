"""The IDX format of MNIST. Source: Y. LeCun, "The MNIST database of handwritten digits", section on file formats.

A file is: two zero bytes, a byte for the type of its values (8 for uint8), a byte for the number of dimensions, each
dimension as a big-endian int32, then the values in row-major order.
"""

import math

import numpy as np
from jaxtyping import UInt8

from s5.catalog import DataError

_UINT8 = 8


def decode_idx(content: bytes, shape: tuple[int, ...], where: str) -> UInt8[np.ndarray, "..."]:
    """Decode the content of an IDX file of uint8 values.

    Args:
        content: The unpacked bytes.
        shape: The expected shape.
        where: The file, for messages.

    Returns:
        The values: a read-only array, since it shares the memory of `content`.

    Raises:
        DataError: If the magic number, the shape or the number of bytes is wrong.
    """
    magic, wanted = content[:4], bytes([0, 0, _UINT8, len(shape)])
    if magic != wanted:
        raise DataError(
            f"{where}: magic number {int.from_bytes(magic, 'big')}; an IDX file of uint8 values with "
            f"{len(shape)} dimensions starts with {int.from_bytes(wanted, 'big')}"
        )
    start = 4 + 4 * len(shape)
    if len(content) < start:
        raise DataError(f"{where}: cut off within its header, after {len(content)} bytes")
    found = tuple(int(size) for size in np.frombuffer(content, ">u4", len(shape), 4))
    if found != shape:
        raise DataError(f"{where}: has the shape {found}, not {shape}")
    if len(content) - start != math.prod(shape):
        raise DataError(f"{where}: {len(content) - start:,} values; expected {math.prod(shape):,}, as in its header")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
