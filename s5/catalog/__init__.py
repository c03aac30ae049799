"""The data sets: their names, sizes, files, checksums, and where their files may lie. Standard library only.

The launcher reads this package to find missing data before anything is queued; `s5.data` reads it to load them.
Nothing here opens a data file. A data set is an entry: the other files hold them, by kind.
"""

from collections.abc import Mapping
from pathlib import Path

from s5.catalog import cifar, lra, pathfinder, pendulum, pixels, speech, substitutes
from s5.catalog.entry import Archive, Cache, DataError, DatasetInfo, FileInfo, Form, MissingData, PackageClient
from s5.catalog.paths import (
    CACHE_VARIABLE,
    HEADER_NAME,
    ROOT_VARIABLE,
    absolute,
    cache_folder,
    cache_path,
    data_root,
    is_cached,
)
from s5.catalog.search import find_raw
from s5.errors import did_you_mean

__all__ = [
    "CACHE_VARIABLE",
    "CATALOG",
    "HEADER_NAME",
    "ROOT_VARIABLE",
    "Archive",
    "Cache",
    "DataError",
    "DatasetInfo",
    "FileInfo",
    "Form",
    "MissingData",
    "PackageClient",
    "absolute",
    "cache_folder",
    "cache_path",
    "check_available",
    "check_version",
    "data_root",
    "dataset_info",
    "find_files",
    "is_cached",
]

CATALOG: Mapping[str, DatasetInfo] = {
    info.name: info
    for kind in (pixels, cifar, lra, pathfinder, pendulum, speech, substitutes)
    for info in kind.DATASETS
}


def dataset_info(name: str) -> DatasetInfo:
    """Return what is known of a data set.

    Raises:
        DataError: If the catalog has no such name.
    """
    if name in CATALOG:
        return CATALOG[name]
    raise DataError(
        f"data.name={name}: unknown data set{did_you_mean(name, CATALOG)}",
        hint=f"the data sets are {', '.join(CATALOG)}",
    )


def check_available(name: str, root: str | None = None, cache: str | None = None) -> None:
    """Raise unless a run can load a data set: from its cache, or from its files.

    Args:
        name: A data set of the catalog.
        root: The config's `data.root`.
        cache: The config's `data.cache`.

    Raises:
        DataError: For an unknown name.
        MissingData: If neither is there.
    """
    info = dataset_info(name)
    if not is_cached(info, cache):
        find_raw(info, root)


def check_version(info: DatasetInfo, version: int, key: str = "data.version") -> None:
    """Raise unless a data set is here in the version that a run asks for: another one holds other examples.

    Args:
        info: The data set.
        version: What the config asks for.
        key: Where it asks for it.

    Raises:
        DataError: If it is another.
    """
    if version != info.version:
        raise DataError(
            f"{key}={version}: {info.name} is version {info.version} in this code",
            hint=f"set {key}={info.version} for a run of its own; "
            "a run on another version goes on with the code that it began with",
        )


def find_files(name: str, root: str | None = None) -> dict[str, Path]:
    """Return the raw files of a data set, by their names in the catalog.

    Args:
        name: A data set of the catalog.
        root: The config's `data.root`; where it is given, system packages are not asked.

    Returns:
        The paths, plain or `.gz`, all from one place.

    Raises:
        DataError: For an unknown name.
        MissingData: With what is needed, where it was looked for, from which address, with which checksum.
    """
    return find_raw(dataset_info(name), root)
