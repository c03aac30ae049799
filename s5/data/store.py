"""The cache of a data set that does not fit into memory: a folder of memory-mapped `.npy` files.

A folder is filled under a temporary name, gets its header last, and is then renamed, so a reader sees a complete folder
or none. The header contains the size and the CRC-32 of every file. Sizes are compared when a folder is opened. The
checksums are compared only by `prepare`, since reading gigabytes takes long.
"""

import contextlib
import json
import os
import secrets
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from s5.catalog import HEADER_NAME, DatasetInfo, cache_path, is_cached
from s5.data.cache import Arrays, provenance

_BLOCK = 1 << 22


@dataclass(frozen=True)
class StoredArrays:
    """The content of a folder.

    Attributes:
        arrays: Arrays that are memory-mapped from disk, with a row for each example.
        facts: Further results of the conversion, such as a vocabulary or a mean.
    """

    arrays: Arrays
    facts: Mapping[str, Any]


def open_store(info: DatasetInfo, cache: str | None) -> StoredArrays | None:
    """Return the content of a data set's folder; None if it is missing, damaged, or of another version or raw files."""
    path = cache_path(info, cache)
    if not is_cached(info, cache):
        return None
    try:
        header = json.loads((path / HEADER_NAME).read_bytes())
        if {key: header.get(key) for key in provenance(info)} != provenance(info):
            return None
        arrays = {Path(name).stem: np.load(path / name, mmap_mode="r") for name in header["files"]}
    except (OSError, ValueError, KeyError):
        return None
    return StoredArrays(arrays, header["facts"])


def verify_store(path: Path) -> bool:
    """Return whether every file of a folder has the CRC-32 in its header."""
    try:
        files = json.loads((path / HEADER_NAME).read_bytes())["files"]
        return all(_crc32(path / name) == facts["crc32"] for name, facts in files.items())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def commit_store(work: Path, path: Path, info: DatasetInfo, facts: Mapping[str, Any]) -> None:
    """Write the header of a filled folder, and rename the folder to its final path, in place of an older folder.

    Args:
        work: The folder with the finished `.npy` files.
        path: The final path.
        info: The data set.
        facts: Further results of the conversion.
    """
    files = {}
    for file in sorted(work.glob("*.npy")):
        _sync(file)
        files[file.name] = {"bytes": file.stat().st_size, "crc32": _crc32(file)}
    header = work / HEADER_NAME
    header.write_text(json.dumps({**provenance(info), "files": files, "facts": facts}, indent=1) + "\n")
    _sync(header)
    for entry in work.iterdir():
        if entry.name not in files and entry != header:
            entry.unlink()
    _sync(work)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.old")
    with contextlib.suppress(FileNotFoundError):
        path.rename(aside)
    work.rename(path)
    _sync(path.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _crc32(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            value = zlib.crc32(block, value)
    return value


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
