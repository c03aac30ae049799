"""Reading of picture files with Pillow. The preparation of data needs Pillow, but the training does not."""

from pathlib import Path
from types import ModuleType

import numpy as np
from jaxtyping import UInt8

from s5.catalog import DataError


def pillow() -> ModuleType:
    """Return `PIL.Image`.

    Raises:
        DataError: If Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError("Pillow is not installed", hint="pip install 's5-launch[data]'") from error
    return Image


def image_draw() -> ModuleType:
    """Return `PIL.ImageDraw`.

    Raises:
        DataError: If Pillow is not installed.
    """
    pillow()
    from PIL import ImageDraw

    return ImageDraw


def read_grey(path: Path, side: int) -> UInt8[np.ndarray, "side side"]:
    """Return a square picture in 8-bit grey.

    Args:
        path: The file.
        side: The expected width and height, in pixels.

    Raises:
        DataError: If the file is damaged, or the picture has another size or mode.
    """
    image = pillow()
    try:
        with image.open(path) as picture:
            found = f"{picture.width}x{picture.height} in mode {picture.mode}"
            if picture.mode == "L" and picture.size == (side, side):
                return np.asarray(picture)
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises these for damaged files
        raise DataError(f"{path}: damaged picture: {error}") from error
    raise DataError(f"{path}: {found}; expected {side}x{side} in mode L, which is 8-bit grey")
