"""The data sets: `load` returns a `Dataset` by its name. NumPy only; `s5.catalog` has the names of the raw files."""

from types import ModuleType

from s5 import catalog
from s5.catalog import DataError
from s5.config.choices import Permutation
from s5.config.compat import OURS, Compat
from s5.config.data import DataConfig
from s5.config.plugins import plugin_dataset
from s5.data import (
    aan,
    brown,
    cifar10,
    digits,
    fashion_mnist,
    imdb,
    listops,
    mnist,
    mnist5k,
    pathfinder,
    pendulum,
    spamassassin,
    speech_commands,
)
from s5.data.conversion import open_or_convert
from s5.data.dataset import Dataset
from s5.data.plugin_data import load_plugin_data
from s5.data.store import StoredArrays

__all__ = ["Dataset", "convert", "load"]

# The `load(config)` of each data set that fits into memory.
_LOADERS = {
    "digits": digits.load,
    "mnist": mnist.load,
    "mnist5k": mnist5k.load,
    "fashion_mnist": fashion_mnist.load,
    "cifar10": cifar10.load,
    "cifar10_grey": cifar10.load_grey,
}

# The module of each data set that is memory-mapped from disk. Its `make_plan(info, root)` plans the conversion of the
# raw files, and its `make_dataset(info, config, stored, compat)` returns the data set of the converted files.
_MAPPED: dict[str, ModuleType] = {
    "listops": listops,
    "listops_regenerated": listops,
    "imdb": imdb,
    "imdb_bytes": imdb,
    "aan": aan,
    "pendulum": pendulum,
    "pendulum_npz": pendulum,
    "spamassassin_bytes": spamassassin,
    "brown_pairs": brown,
    **{
        f"{name}{rate}": speech_commands
        for name in ("speech_commands35", "speech_commands10", "espeak_commands35")
        for rate in ("", "_8khz")
    },
    **{f"pathfinder{side}": pathfinder for side in (32, 64, 128, 256)},
    **{f"pathfinder{made}": pathfinder for made in ("32_regenerated", "32_regenerated_20k")},
    **{f"pathfinder{made}": pathfinder for made in ("128_regenerated", "128_regenerated_2k")},
}


def load(config: DataConfig, compat: Compat = OURS) -> Dataset:
    """Load a data set.

    Args:
        config: The name of the data set, the order of its pixels, its split, and the folders of its files.
        compat: The switches that choose the S5 repository's splits and scales instead of ours.

    Returns:
        The data set with its splits `train`, `val` and `test`.

    Raises:
        DataError: For an unknown name, another version, a permutation of data without pixels, or a wrong file.
        MissingData: If the files are missing.
    """
    own = plugin_dataset(config.name)
    if own is not None:
        return load_plugin_data(own, config)
    info = catalog.dataset_info(config.name)
    catalog.check_version(info, config.version)
    if info.name in _LOADERS:
        return _LOADERS[info.name](config)
    if config.permutation is not Permutation.none:
        raise DataError(
            f"data.permutation={config.permutation.name}: {info.name} has no images that are read pixel by pixel",
            hint="set data.permutation=none",
        )
    if info.made_by:
        # A run does not generate its data, since that may take hours.
        catalog.check_available(info.name, config.root, config.cache)
    return _MAPPED[info.name].make_dataset(info, config, convert(config), compat)


def convert(config: DataConfig, *, workers: int = 1) -> StoredArrays:
    """Return the converted files of a mapped data set; convert or generate them if they are missing.

    Args:
        config: The name of the data set and the folders of its files.
        workers: Number of processes.

    Raises:
        DataError: If the raw files are damaged, or the cache cannot be written.
        MissingData: If there are no raw files.
    """
    info = catalog.dataset_info(config.name)
    module = _MAPPED[info.name]
    kept = catalog.dataset_info(info.cached_as or info.name)
    return open_or_convert(kept, config.cache, lambda: module.make_plan(kept, config.root), workers=workers)
