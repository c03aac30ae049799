"""The cache of converted files: one `.npz` per data set, replaced atomically and checked on every read."""

import contextlib
import json
import os
import secrets
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from s5.catalog import CATALOG, DatasetInfo, cache_path

Arrays = dict[str, np.ndarray]

_HEADER = "header"
_STALE_S = 3600.0  # a temporary file this old was left by a process that was killed


def load_or_convert(info: DatasetInfo, cache: str | None, convert: Callable[[], Arrays]) -> Arrays:
    """Return the converted files of a data set, from its cache where that is valid.

    Args:
        info: The data set.
        cache: The config's `data.cache`.
        convert: Reads and converts the raw files.

    Returns:
        The arrays that `convert` returned, now or earlier.
    """
    path = cache_path(info, cache)
    arrays = read_cache(path, info)
    if arrays is None:
        arrays = convert()
        try:
            write_cache(path, info, arrays)
        except OSError as error:
            # The data are there all the same; only the next run pays again.
            warnings.warn(f"{path}: the cache cannot be written: {error.strerror}", stacklevel=2)
    return arrays


def read_cache(path: Path, info: DatasetInfo) -> Arrays | None:
    """Return the arrays of a cache, or None if it is absent, torn, of another version or of other raw files."""
    try:
        # Reading a member to its end compares its CRC-32, so that a torn or rotten file is found here.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            names = [name for name in archive.files if name != _HEADER]
            # A damaged list of members may lack one, hence their names in the header.
            if archive[_HEADER].tobytes() != _header(info, names):
                return None
            return {name: archive[name] for name in names}
    except Exception:  # a damaged archive makes zipfile and NumPy raise all sorts; whichever, it is made anew
        return None


def write_cache(path: Path, info: DatasetInfo, arrays: Arrays) -> None:
    """Write a cache so that whoever reads sees the old one or the new one, whole, whatever is killed meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(path)
    # Every writer has a name of its own; the last one to finish wins, and all of them write the same.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            members = {_HEADER: np.frombuffer(_header(info, arrays), np.uint8), **arrays}
            np.savez(file, allow_pickle=False, **members)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def provenance(info: DatasetInfo) -> dict[str, Any]:
    """Return what a cache must say of itself in order to be valid."""
    kept = CATALOG.get(info.cached_as, info)  # data sets that share a cache share its name
    sums = {file.name: file.sha256 or file.md5 for form in kept.forms for file in form.files}
    return {"version": kept.version, "name": kept.name, "sums": sums}


def _header(info: DatasetInfo, names: Iterable[str]) -> bytes:
    return json.dumps({**provenance(info), "arrays": sorted(names)}, sort_keys=True).encode()


def _remove_stale(path: Path) -> None:
    """Remove what writers that were killed have left behind."""
    for temporary in path.parent.glob(f".{path.name}.*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - temporary.stat().st_mtime > _STALE_S:
                temporary.unlink()
