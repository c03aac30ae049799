"""`mnist`: MNIST from the official IDX files, plain or gzipped."""

from s5 import catalog
from s5.config.data import DataConfig
from s5.data.cache import Arrays, load_or_convert
from s5.data.dataset import Dataset
from s5.data.idx import decode_idx
from s5.data.pixels import Images, pixel_dataset
from s5.data.raw import read_files
from s5.data.split import random_split

_SIDE = 28


def load(config: DataConfig) -> Dataset:
    """Load MNIST: 54,000 train and 6,000 val images by `split_seed`, and the official 10,000 test images."""
    return load_idx(catalog.dataset_info("mnist"), config)


def load_idx(info: catalog.DatasetInfo, config: DataConfig) -> Dataset:
    """Load a data set of four files in MNIST's layout, with pixels of 0 to 255 scaled to [0, 1]."""
    arrays = load_or_convert(info, config.cache, lambda: _convert(info, config.root))
    images = Images(arrays["train_images"], arrays["train_labels"])
    train, val = random_split(len(images.labels), info.sizes["val"], config.split_seed)
    parts = {
        "train": images.take(train),
        "val": images.take(val),
        "test": Images(arrays["test_images"], arrays["test_labels"]),
    }
    return pixel_dataset(info, config, parts, full_scale=255.0)


def _convert(info: catalog.DatasetInfo, root: str | None) -> Arrays:
    contents = read_files(info, root)
    counts = {"train": info.sizes["train"] + info.sizes["val"], "t10k": info.sizes["test"]}
    arrays: Arrays = {}
    for prefix, split in (("train", "train"), ("t10k", "test")):
        n = counts[prefix]
        images, labels = f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"
        arrays[f"{split}_images"] = decode_idx(contents[images], (n, _SIDE, _SIDE), images).reshape(n, _SIDE * _SIDE)
        arrays[f"{split}_labels"] = decode_idx(contents[labels], (n,), labels)
    return arrays
