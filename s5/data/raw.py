"""Reading of raw files: they are decompressed and compared with the catalog's checksums."""

import gzip
import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s5.catalog import DataError, DatasetInfo, FileInfo, find_files

_BLOCK = 1 << 22


def read_files(info: DatasetInfo, root: str | None) -> dict[str, bytes]:
    """Return the decompressed content of a data set's files, by their names in the catalog.

    Args:
        info: The data set.
        root: The config's `data.root`.

    Raises:
        MissingData: If a file is missing.
        DataError: If a file cannot be read or has another checksum; the message names it.
    """
    paths = find_files(info.name, root)
    files = [file for form in info.forms for file in form.files if file.name in paths]
    return {file.name: _checked(info, file, paths[file.name]) for file in files}


def check_files(info: DatasetInfo, paths: Mapping[str, Path]) -> list[str]:
    """Read files block by block, and compare them with the catalog's checksums.

    Args:
        info: The data set.
        paths: Its files, by their names in the catalog. Folders are skipped; a file without a published checksum is
            only read.

    Returns:
        A line for each file, for the user.

    Raises:
        DataError: If a file cannot be read or has another checksum; the message names it.
    """
    lines = []
    for file in (file for form in info.forms for file in form.files if file.name in paths and not file.is_folder):
        path = paths[file.name]
        digest, size = _hash(file), 0
        try:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as content:
                while block := content.read(_BLOCK):
                    digest.update(block)
                    size += len(block)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{path}: damaged gzip file: {error}", hint="get the file again") from error
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error
        _compare(info, file, path, digest.hexdigest(), size)
        what = "checked" if file.sha256 or file.md5 else "read (no checksum was published)"
        lines.append(f"{what}: {path} ({size:,} bytes unpacked)")
    return lines


def _checked(info: DatasetInfo, file: FileInfo, path: Path) -> bytes:
    content = _read(path)
    digest = _hash(file)
    digest.update(content)
    _compare(info, file, path, digest.hexdigest(), len(content))
    return content


def _hash(file: FileInfo) -> Any:
    if file.md5 and not file.sha256:
        return hashlib.md5(usedforsecurity=False)
    return hashlib.sha256()


def _compare(info: DatasetInfo, file: FileInfo, path: Path, digest: str, size: int) -> None:
    published = file.sha256 or file.md5
    if published is None or digest == published:
        return
    kind = "sha256" if file.sha256 else "md5"
    sizes = "" if file.bytes in (None, size) else f" and {size:,} bytes, not {file.bytes:,}"
    raise DataError(
        f"{path}: not the {file.name} of {info.name}: its content has {kind} {digest}, not {published}{sizes}",
        hint="the file is damaged or belongs to another data set; remove it, then: " + info.get,
    )


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged gzip file: {error}", hint="get the file again") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
