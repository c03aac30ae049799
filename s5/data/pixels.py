"""Images as sequences of pixels: what the image data sets share."""

import numpy as np
from jaxtyping import Int, UInt8

from s5.catalog import DatasetInfo
from s5.config import DataConfig
from s5.data.dataset import Dataset, Split
from s5.data.permute import pixel_order

# The pixels of every image, row by row, and its label.
Labelled = tuple[UInt8[np.ndarray, "n L"], UInt8[np.ndarray, " n"]]


def pixel_dataset(info: DatasetInfo, config: DataConfig, parts: dict[str, Labelled], full_scale: float) -> Dataset:
    """Make a data set of flattened images.

    Args:
        info: The data set.
        config: For the order of the pixels.
        parts: Images and labels of each split.
        full_scale: The value of a white pixel, which becomes 1.0.

    Returns:
        The data set, with sequences of one pixel per step.
    """
    order = pixel_order(config.permutation, info.length)
    splits = {name: _split(images[:, order], labels, full_scale) for name, (images, labels) in parts.items()}
    assert {name: len(split) for name, split in splits.items()} == dict(info.sizes), "the catalog's sizes are wrong"
    return Dataset(name=info.name, n_classes=info.n_classes, length=info.length, d_input=info.d_input, splits=splits)


def _split(images: UInt8[np.ndarray, "n L"], labels: UInt8[np.ndarray, " n"], full_scale: float) -> Split:
    n, length = images.shape
    return Split(
        inputs=np.ascontiguousarray(images)[:, :, None],
        labels=labels.astype(np.int32),
        lengths=np.full(n, length, np.int32),
        full_scale=full_scale,
    )


def pick(
    images: UInt8[np.ndarray, "n L"], labels: UInt8[np.ndarray, " n"], indices: dict[str, Int[np.ndarray, "..."]]
) -> dict[str, Labelled]:
    """Return the images and labels of each split, given its examples."""
    return {name: (images[index], labels[index]) for name, index in indices.items()}
