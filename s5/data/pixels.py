"""Images as sequences of pixels, for all image data sets."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int, UInt8

from s5.catalog import DatasetInfo
from s5.config.data import DataConfig
from s5.data.dataset import Dataset, Split
from s5.data.permute import pixel_order

Scale = float | Float32[np.ndarray, " d_input"]


@dataclass(frozen=True)
class Images:
    """Labelled images.

    Attributes:
        pixels: The pixels of each image, row by row; with a last axis for the three colours of a pixel.
        labels: The class of each image.
    """

    pixels: UInt8[np.ndarray, "n L *colours"]
    labels: UInt8[np.ndarray, " n"]

    def take(self, examples: Int[np.ndarray, " some"]) -> "Images":
        """Return some of the images."""
        return Images(self.pixels[examples], self.labels[examples])


def pixel_dataset(
    info: DatasetInfo, config: DataConfig, parts: Mapping[str, Images], *, full_scale: Scale, offset: Scale = 0.0
) -> Dataset:
    """Make a data set of images, as sequences of one pixel per step.

    Args:
        info: The data set.
        config: Says the order of the pixels.
        parts: The images of each split.
        full_scale: The difference from `offset` that becomes 1.0, such as the value of white; or one per colour.
        offset: The value that becomes 0.0; or one per colour.

    Returns:
        The data set.
    """
    order = pixel_order(config.permutation, info.length)
    splits = {name: _split(images, order, full_scale, offset) for name, images in parts.items()}
    assert {name: len(split) for name, split in splits.items()} == dict(info.sizes), "the catalog's sizes are wrong"
    return Dataset.from_info(info, splits)


def _split(images: Images, order: Int[np.ndarray, " L"], full_scale: Scale, offset: Scale) -> Split:
    n, length = images.pixels.shape[:2]
    return Split(
        # Contiguous: indexing columns makes them the slow axis in memory, and a batch gathers rows.
        inputs=np.ascontiguousarray(images.pixels[:, order]).reshape(n, length, -1),
        labels=images.labels.astype(np.int32),
        lengths=np.full(n, length, np.int32),
        full_scale=full_scale,
        offset=offset,
    )
