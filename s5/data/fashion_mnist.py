"""`fashion_mnist`: Fashion-MNIST, from IDX files of a Debian package or of the data folder."""

from s5 import catalog
from s5.config.data import DataConfig
from s5.data.dataset import Dataset
from s5.data.mnist import load_idx


def load(config: DataConfig) -> Dataset:
    """Load Fashion-MNIST: 54,000 train and 6,000 val images by `split_seed`, and the official 10,000 test images."""
    return load_idx(catalog.dataset_info("fashion_mnist"), config)
