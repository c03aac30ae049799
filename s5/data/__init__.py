"""The data sets: `load` returns any of them, whole, in one shape. NumPy only; the files are named in `s5.catalog`."""

from s5 import catalog
from s5.config import DataConfig
from s5.data import digits, fashion_mnist, mnist, mnist5k
from s5.data.dataset import Dataset

__all__ = ["Dataset", "load"]

_LOADERS = {
    "digits": digits.load,
    "mnist": mnist.load,
    "mnist5k": mnist5k.load,
    "fashion_mnist": fashion_mnist.load,
}


def load(config: DataConfig) -> Dataset:
    """Load a data set.

    Args:
        config: Which one, how its pixels are ordered and split, and where its files lie.

    Returns:
        The data set with its splits `train`, `val` and `test`.

    Raises:
        DataError: For an unknown name, or a file that is not what the catalog says.
        MissingData: Where the files are not there.
    """
    return _LOADERS[catalog.dataset_info(config.name).name](config)
