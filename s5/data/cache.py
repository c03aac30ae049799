"""The cache of converted files: one `.npz` per data set, replaced atomically and verified on every read."""

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

# The folder of the programs that Numba compiles. Without it Numba uses the folder of the code or the home folder, and
# fails if neither can be written, as in containers and for service users.
NUMBA_CACHE_VARIABLE = "NUMBA_CACHE_DIR"

_HEADER = "header"
_STALE_S = 3600.0  # a temporary file that is older than this was left by a killed process


def load_or_convert(info: DatasetInfo, cache: str | None, convert: Callable[[], Arrays]) -> Arrays:
    """Return the converted arrays of a data set: from its cache if the cache is valid, else convert the raw files.

    Args:
        info: The data set.
        cache: The config's `data.cache`.
        convert: The function that reads and converts the raw files.

    Returns:
        The arrays that `convert` returns.
    """
    path = cache_path(info, cache)
    arrays = read_cache(path, info)
    if arrays is None:
        arrays = convert()
        try:
            write_cache(path, info, arrays)
        except OSError as error:
            # The data are loaded in any case; only the next run must convert them again.
            warnings.warn(f"{path}: the cache cannot be written: {error.strerror}", stacklevel=2)
    return arrays


def read_cache(path: Path, info: DatasetInfo) -> Arrays | None:
    """Return the arrays of a cache; None if it is missing, damaged, or of another version or other raw files."""
    try:
        # Reading a member to its end verifies its CRC-32, so damage raises an exception.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            names = [name for name in archive.files if name != _HEADER]
            # The header lists the members: a damaged archive may lack one.
            if archive[_HEADER].tobytes() != _header(info, names):
                return None
            return {name: archive[name] for name in names}
    except Exception:  # zipfile and NumPy raise many types for a damaged archive
        return None


def write_cache(path: Path, info: DatasetInfo, arrays: Arrays) -> None:
    """Write a cache atomically: a reader sees either the whole old cache or the whole new cache, even after a kill."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(path)
    # Each process uses its own temporary name. The last process to finish wins; all write the same content.
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
    """Return the facts in the header of a valid cache: the data set, its version, the checksums of its raw files."""
    kept = CATALOG.get(info.cached_as, info)  # data sets that share a cache share the name in its header
    sums = {file.name: file.sha256 or file.md5 for form in kept.forms for file in form.files}
    return {"version": kept.version, "name": kept.name, "sums": sums}


def _header(info: DatasetInfo, names: Iterable[str]) -> bytes:
    return json.dumps({**provenance(info), "arrays": sorted(names)}, sort_keys=True).encode()


def _remove_stale(path: Path) -> None:
    """Remove the temporary files of killed writers."""
    for temporary in path.parent.glob(f".{path.name}.*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - temporary.stat().st_mtime > _STALE_S:
                temporary.unlink()
