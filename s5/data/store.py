"""The cache of a data set that does not fit into memory: a folder of `.npy` files, which are mapped.

A folder is filled under another name, gets its header last, and then its own name: whoever reads sees all of it or
nothing. The header holds the size and the CRC-32 of every file; sizes are compared whenever a folder is opened, the
sums by `prepare`, since reading some gigabytes takes its time.
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
    """What a folder holds.

    Attributes:
        arrays: Its arrays, mapped from the disk; one row for every example.
        facts: What else the conversion found: a vocabulary, a mean.
    """

    arrays: Arrays
    facts: Mapping[str, Any]


def open_store(info: DatasetInfo, cache: str | None) -> StoredArrays | None:
    """Return a data set's folder, or None if it is absent, torn, of another version or of other raw files."""
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
    """Return whether every file of a folder has the CRC-32 its header tells."""
    try:
        files = json.loads((path / HEADER_NAME).read_bytes())["files"]
        return all(_crc32(path / name) == facts["crc32"] for name, facts in files.items())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def commit_store(work: Path, path: Path, info: DatasetInfo, facts: Mapping[str, Any]) -> None:
    """Give a filled folder its header and its name, whatever had that name before.

    Args:
        work: The folder with the finished `.npy` files.
        path: The name it gets.
        info: The data set.
        facts: What else the conversion found.
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
