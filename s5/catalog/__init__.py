"""The catalog of data sets: names, sizes, files, checksums, and folders to search. Standard library only.

The launcher reads the catalog to find missing data before a run is queued, and `s5.data` reads it to load data. Only
`fingerprint` opens raw files. Each module contains the entries of one kind of data.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s5.catalog import cifar, lra, pathfinder, pendulum, pixels, speech, substitutes
from s5.catalog.entry import Archive, Cache, DataError, DatasetInfo, FileInfo, Form, MissingData, PackageClient
from s5.catalog.fingerprint import describe_difference, fingerprint_of, full_hash_of, is_empty
from s5.catalog.paths import (
    CACHE_VARIABLE,
    HEADER_NAME,
    ROOT_VARIABLE,
    absolute,
    absolute_folders,
    cache_folder,
    cache_path,
    data_root,
    is_cached,
)
from s5.catalog.search import find_raw
from s5.config.plugins import PluginDataset, plugin_dataset, plugin_datasets
from s5.errors import did_you_mean, shortened

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
    "absolute_folders",
    "cache_folder",
    "cache_path",
    "check_available",
    "check_version",
    "data_fingerprint",
    "data_hash",
    "data_root",
    "dataset_info",
    "describe_difference",
    "find_files",
    "is_cached",
    "is_of_earlier_form",
    "is_same_everywhere",
]

CATALOG: Mapping[str, DatasetInfo] = {
    info.name: info
    for kind in (pixels, cifar, lra, pathfinder, pendulum, speech, substitutes)
    for info in kind.DATASETS
}


def dataset_info(name: str) -> DatasetInfo:
    """Return the entry of a data set.

    Raises:
        DataError: If the catalog has no such name.
    """
    if name in CATALOG:
        return CATALOG[name]
    own = plugin_dataset(name)
    if own is not None:
        return _info(own)
    names = [*CATALOG, *(dataset.name for dataset in plugin_datasets())]
    raise DataError(
        f"data.name={name}: unknown data set{did_you_mean(name, names)}",
        hint=f"the data sets are {shortened(names, name)}; a plug-in can bring others: docs/extending.md",
    )


def _info(own: PluginDataset) -> DatasetInfo:
    """Return the entry of a plug-in's data set, without files and sizes, which only the plug-in's loader knows."""
    return DatasetInfo(
        name=own.name,
        about=own.about,
        licence="the user's",
        n_classes=own.n_classes,
        length=own.length,
        d_input=own.d_input,
        sizes={},
        get="a plug-in reads it",
        cache=Cache.folder,
        head=own.head,
    )


def check_available(name: str, root: str | None = None, cache: str | None = None) -> None:
    """Raise if a run cannot load a data set, from its cache or from its raw files.

    Args:
        name: A data set of the catalog.
        root: The config's `data.root`.
        cache: The config's `data.cache`.

    Raises:
        DataError: For an unknown name, or if the folder of a plug-in's data is missing, empty, or not named.
        MissingData: If the cache and the raw files are missing.
    """
    own = plugin_dataset(name)
    if own is not None:
        _check_folder(own, root)
        return
    info = dataset_info(name)
    if not is_cached(info, cache):
        find_raw(info, root)


def _check_folder(own: PluginDataset, root: str | None) -> None:
    """Raise if the folder of a plug-in's data cannot have them; the plug-in's loader finds its own files in it."""
    if root is None:
        if own.needs_root:
            raise DataError(
                f"data.root is not set, and data.name={own.name} is read from files",
                hint="data.root=FOLDER names the folder of the files; for `launch data prepare` it is --root FOLDER",
            )
        return
    folder = data_root(root)
    if not folder.exists():
        raise DataError(
            f"data.root={folder}: no such folder",
            hint="data.root=FOLDER names the folder of the files; in Python s5.load_run(…, data_root=FOLDER)"
            if os.path.isabs(root)
            else "a relative path starts in the folder in which you type the command",
        )
    if is_empty(folder):
        raise DataError(
            f"data.root={folder}: there are no files in this folder (data.name={own.name})",
            hint="name the folder that has the files, or one above it",
        )


def check_version(info: DatasetInfo, version: int, key: str = "data.version") -> None:
    """Raise if a config and the catalog have different versions of a data set: they have different examples.

    Args:
        info: The data set.
        version: The version in the config.
        key: The config key of the version.

    Raises:
        DataError: If the versions differ.
    """
    if version != info.version:
        raise DataError(
            f"{key}={version}: {info.name} is version {info.version} in this code",
            hint=f"set {key}={info.version}, which makes another run; "
            f"to resume a run with version {version}, check out the code that the run began with",
        )


def find_files(name: str, root: str | None = None) -> dict[str, Path]:
    """Return the paths of the raw files of a data set, by their names in the catalog.

    Args:
        name: A data set of the catalog.
        root: The config's `data.root`; if it is not None, system folders are not searched.

    Returns:
        The paths of plain or `.gz` files, all in one folder.

    Raises:
        DataError: For an unknown name.
        MissingData: If a file is missing; the message lists the files, the folders, addresses and checksums.
    """
    return find_raw(dataset_info(name), root)


def data_fingerprint(name: str, root: str | None = None) -> dict[str, Any] | None:
    """Return the fingerprint of the raw files of a data set; see `s5.catalog.fingerprint`.

    Args:
        name: A data set of the catalog or of a plug-in. A plug-in's data are all files under `data.root`.
        root: The config's `data.root`.

    Returns:
        None if there are no raw files, as if only the converted ones are here, or if they come with a Python package.
    """
    return fingerprint_of(_raw_files(name, root), prefix=_prefix(name))


def data_hash(name: str, root: str | None = None) -> str | None:
    """Return the hash of the whole content of the raw files of a data set; arguments and None as `data_fingerprint`."""
    return full_hash_of(_raw_files(name, root), prefix=_prefix(name))


def is_of_earlier_form(sample: str, name: str, root: str | None = None, earlier_root: str | None = None) -> bool:
    """Return whether a fingerprint of an earlier version is of the raw files that a data set has now.

    Earlier versions counted the name of the folder of a plug-in's data.

    Args:
        sample: The `sample` of the fingerprint.
        name: The data set.
        root: The config's `data.root`.
        earlier_root: `data.root` when the fingerprint was stored.
    """
    folders = {data_root(place).name for place in (root, earlier_root) if place and _prefix(name) is not None}
    found = (fingerprint_of(_raw_files(name, root), prefix=f"{folder}/") for folder in sorted(folders))
    return any(one is not None and one["sample"] == sample for one in found)


def _prefix(name: str) -> str | None:
    """Return the `prefix` of `fingerprint_of`: what the user calls the folder of a plug-in's data does not count."""
    return None if plugin_dataset(name) is None else ""


def is_same_everywhere(name: str) -> bool:
    """Return whether every copy of a data set is equal: a package, a checksum or a generator determines its content."""
    info = CATALOG.get(name)
    return info is not None and all(file.package or file.sha256 or file.md5 for file in info.files)


def _raw_files(name: str, root: str | None) -> list[Path]:
    """Return the raw files or folders of a data set; empty if there are none, or if they come with a package."""
    try:
        if plugin_dataset(name) is not None:
            return [] if root is None else [data_root(root)]
        info = dataset_info(name)
        return [] if any(file.package for file in info.files) else list(find_raw(info, root).values())
    except DataError:
        return []
