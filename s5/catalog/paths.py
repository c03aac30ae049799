"""The folders of raw files and of converted files. Standard library only."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s5.catalog.entry import Cache, DatasetInfo
from s5.run_dir.result import CWD_VARIABLE

ROOT_VARIABLE = "S5_DATA"  # the folder of raw files
CACHE_VARIABLE = "S5_CACHE"  # the folder of converted files

# The file that describes a cache folder; it is written last.
HEADER_NAME = "header.json"


def data_root(root: str | None = None) -> Path:
    """Return the folder with the raw files: `root`, else `$S5_DATA`, else `./data`.

    A relative path starts at `$LAUNCH_CWD`, the folder in which the user typed the command, else at the current folder.
    """
    return absolute(root or os.environ.get(ROOT_VARIABLE) or "data")


def cache_folder(cache: str | None = None) -> Path:
    """Return the folder for converted files: `cache`, else `$S5_CACHE`, else the user's cache folder."""
    chosen = cache or os.environ.get(CACHE_VARIABLE)
    if chosen:
        return absolute(chosen)
    user = os.environ.get("XDG_CACHE_HOME")
    # The XDG specification says to ignore relative values.
    base = Path(user) if user and os.path.isabs(user) else Path.home() / ".cache"
    return base / "s5-launch"


def cache_path(info: DatasetInfo, cache: str | None = None) -> Path:
    """Return the file or folder with the converted files of a data set."""
    suffix = ".npz" if info.cache is Cache.file else ""
    return cache_folder(cache) / f"{info.cached_as or info.name}-v{info.version}{suffix}"


def is_cached(info: DatasetInfo, cache: str | None = None) -> bool:
    """Return whether the cache of a data set exists and is complete; file contents are not read."""
    path = cache_path(info, cache)
    match info.cache:
        case Cache.none:
            return False
        case Cache.file:
            return _has_its_end(path)
        case Cache.folder:
            return _has_its_arrays(path)


def absolute(path: str) -> Path:
    """Return a user's path as an absolute path; a relative path starts at `$LAUNCH_CWD`, else at the current folder."""
    return Path(os.environ.get(CWD_VARIABLE) or os.getcwd(), os.path.expanduser(path))


def absolute_folders(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section `data` of a config with absolute `root` and `cache`.

    Runs store this: a command that is typed in another folder later would take a relative path for another folder.
    """
    return {**data, **{key: str(absolute(data[key])) for key in ("root", "cache") if data.get(key)}}


def _has_its_end(cache: Path) -> bool:
    """Return whether a cache file exists and is a ZIP file with its final directory, which a cut-off file lacks."""
    if not os.path.isfile(cache):
        return False
    import zipfile  # imported late, to keep the launcher's start short

    return zipfile.is_zipfile(cache)


def _has_its_arrays(cache: Path) -> bool:
    """Return whether a cache folder has a header, and each file has the size that is in the header."""
    import json

    try:
        header = json.loads((cache / HEADER_NAME).read_bytes())
        return all(os.path.getsize(cache / name) == facts["bytes"] for name, facts in header["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
