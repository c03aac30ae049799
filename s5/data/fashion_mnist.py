"""`fashion_mnist`: Fashion-MNIST, IDX files from a Debian package or from the data folder."""

from s5 import catalog
from s5.config.data import DataConfig
from s5.data.dataset import Dataset
from s5.data.mnist import load_idx


def load(config: DataConfig) -> Dataset:
    """Load Fashion-MNIST, split as MNIST is."""
    return load_idx(catalog.dataset_info("fashion_mnist"), config)
