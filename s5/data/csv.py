"""The CSV format of small image sets in packages. A line has the pixels of an image, then its label: whole numbers."""

from codecs import BOM_UTF8

import numpy as np
from jaxtyping import UInt8

from s5.catalog import DataError


def decode_csv(content: bytes, n_pixels: int, where: str) -> tuple[UInt8[np.ndarray, "n L"], UInt8[np.ndarray, " n"]]:
    """Decode lines of `n_pixels` pixels and a label.

    Args:
        content: The unpacked bytes.
        n_pixels: Pixels per line.
        where: The file, for messages.

    Returns:
        The images and the labels.

    Raises:
        DataError: If the content is not such a table.
    """
    content = content.removeprefix(BOM_UTF8)
    rows = content.count(b"\n")
    try:
        values = np.array(content.replace(b"\n", b",").rstrip(b",").split(b","), np.uint8)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{where}: {error}") from error
    if values.size != rows * (n_pixels + 1):
        raise DataError(f"{where}: {values.size:,} numbers in {rows:,} lines; expected {n_pixels + 1} in each line")
    table = values.reshape(rows, n_pixels + 1)
    return table[:, :-1], table[:, -1]
