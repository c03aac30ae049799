"""Image data sets as sequences of pixels."""

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
        pixels: The pixels of each image, row by row; colour images have a last axis for the three colours.
        labels: The class of each image.
    """

    pixels: UInt8[np.ndarray, "n L *colours"]
    labels: UInt8[np.ndarray, " n"]

    def take(self, examples: Int[np.ndarray, " some"]) -> "Images":
        """Return the images with the given numbers."""
        return Images(self.pixels[examples], self.labels[examples])


def pixel_dataset(
    info: DatasetInfo, config: DataConfig, parts: Mapping[str, Images], *, full_scale: Scale, offset: Scale = 0.0
) -> Dataset:
    """Make a data set of images, as sequences of one pixel per step.

    Args:
        info: The data set.
        config: The section `data`, which has the order of the pixels.
        parts: The images of each split.
        full_scale: The difference from `offset` that becomes 1.0, such as the value of white; or a value per colour.
        offset: The value that becomes 0.0; or a value per colour.
    """
    order = pixel_order(config.permutation, info.length)
    splits = {name: _split(images, order, full_scale, offset) for name, images in parts.items()}
    assert {name: len(split) for name, split in splits.items()} == dict(info.sizes), "the catalog's sizes are wrong"
    return Dataset.from_info(info, splits)


def _split(images: Images, order: Int[np.ndarray, " L"], full_scale: Scale, offset: Scale) -> Split:
    n, length = images.pixels.shape[:2]
    return Split(
        # A copy with contiguous rows, since a batch gathers rows, but indexing columns makes columns contiguous.
        inputs=np.ascontiguousarray(images.pixels[:, order]).reshape(n, length, -1),
        labels=images.labels.astype(np.int32),
        lengths=np.full(n, length, np.int32),
        full_scale=full_scale,
        offset=offset,
    )
