"""Raw files: read, unpacked where they are gzipped, and checked against the catalog."""

import gzip
import hashlib
import zlib
from pathlib import Path

from s5.catalog import DataError, DatasetInfo, find_files


def read_files(info: DatasetInfo, root: str | None) -> dict[str, bytes]:
    """Return the unpacked content of a data set's files, by their names in the catalog.

    Args:
        info: The data set.
        root: The config's `data.root`.

    Raises:
        MissingData: Where a file is not there.
        DataError: Where a file cannot be read or is not the one of the catalog; the message names it.
    """
    paths = find_files(info.name, root)
    contents = {}
    for file in info.files:
        content = _read(paths[file.name])
        digest = hashlib.sha256(content).hexdigest()
        if digest != file.sha256:
            size = "" if len(content) == file.bytes else f" and {len(content):,} bytes, not {file.bytes:,}"
            raise DataError(
                f"{paths[file.name]}: not the {file.name} of {info.name}: its content has sha256 {digest}, "
                f"not {file.sha256}{size}",
                hint="the file is damaged or another data set's; remove it, then: " + info.get,
            )
        contents[file.name] = content
    return contents


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged gzip file: {error}", hint="get the file again") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
