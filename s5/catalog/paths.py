"""Where raw and converted files lie. Standard library only."""

import os
from pathlib import Path

from s5.catalog.entry import Cache, DatasetInfo
from s5.run_dir.result import CWD_VARIABLE

ROOT_VARIABLE = "S5_DATA"  # the folder of raw files
CACHE_VARIABLE = "S5_CACHE"  # the folder of converted files

# Of a cache that is a folder: what it holds, written last.
HEADER_NAME = "header.json"


def data_root(root: str | None = None) -> Path:
    """Return the folder with the raw files: `root`, else `$S5_DATA`, else `./data`.

    A relative path is meant from where the command was typed: `$LAUNCH_CWD`, else the current folder.
    """
    return absolute(root or os.environ.get(ROOT_VARIABLE) or "data")


def cache_folder(cache: str | None = None) -> Path:
    """Return the folder for converted files: `cache`, else `$S5_CACHE`, else the user's cache folder."""
    chosen = cache or os.environ.get(CACHE_VARIABLE)
    if chosen:
        return absolute(chosen)
    user = os.environ.get("XDG_CACHE_HOME")
    # The XDG specification has relative values ignored.
    base = Path(user) if user and os.path.isabs(user) else Path.home() / ".cache"
    return base / "s5-launch"


def cache_path(info: DatasetInfo, cache: str | None = None) -> Path:
    """Return the file or the folder in which the converted files of a data set are kept."""
    suffix = ".npz" if info.cache is Cache.file else ""
    return cache_folder(cache) / f"{info.cached_as or info.name}-v{info.version}{suffix}"


def is_cached(info: DatasetInfo, cache: str | None = None) -> bool:
    """Return whether the cache of a data set is there and is whole, by the sizes of its files."""
    path = cache_path(info, cache)
    match info.cache:
        case Cache.none:
            return False
        case Cache.file:
            return _has_its_end(path)
        case Cache.folder:
            return _has_its_arrays(path)


def absolute(path: str) -> Path:
    """Return a path as the user means it: from where the command was typed."""
    return Path(os.environ.get(CWD_VARIABLE) or os.getcwd(), os.path.expanduser(path))


def _has_its_end(cache: Path) -> bool:
    """Return whether a cache file is there with its end, which a file that was cut short has lost."""
    if not os.path.isfile(cache):
        return False
    import zipfile  # only here: the launcher starts without it

    return zipfile.is_zipfile(cache)


def _has_its_arrays(cache: Path) -> bool:
    """Return whether a cache folder has a header, and every file it tells of in its size."""
    import json

    try:
        header = json.loads((cache / HEADER_NAME).read_bytes())
        return all(os.path.getsize(cache / name) == facts["bytes"] for name, facts in header["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
