"""`digits`: 1,797 digits of 8x8 pixels, read from the files of scikit-learn without importing it."""

from s5 import catalog
from s5.config.data import DataConfig
from s5.data.csv import decode_csv
from s5.data.dataset import Dataset
from s5.data.pixels import Images, pixel_dataset
from s5.data.raw import read_files
from s5.data.split import stratified_split


def load(config: DataConfig) -> Dataset:
    """Load the digits, with pixels of 0 to 16 scaled to [0, 1]; every split has the same proportions of classes."""
    info = catalog.dataset_info("digits")
    (file,) = info.files
    images = Images(*decode_csv(read_files(info, config.root)[file.name], info.length, file.name))
    parts = stratified_split(images.labels, info.sizes, config.split_seed)
    return pixel_dataset(info, config, {name: images.take(part) for name, part in parts.items()}, full_scale=16.0)
