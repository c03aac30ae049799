"""The fingerprint of raw files: names, sizes, times and samples of the content, to notice that data have changed.

Standard library only.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

# A file of at most this many bytes is hashed whole; of a longer one this much at its start, in its middle, at its end.
SAMPLE_BYTES = 64 * 1024
_MOST_SAMPLED = 256  # files; of more, evenly spaced ones are read
_MOST_FILES = 20_000  # a folder with more files is described by the first ones


def fingerprint_of(paths: Iterable[Path], *, prefix: str | None = None) -> dict[str, Any] | None:
    """Return the fingerprint of raw files and folders; None if there are none, or they cannot be read.

    Args:
        paths: The files and folders.
        prefix: What comes before a file's path in its folder to be its name, such as `csv/`; None for the name of the
            folder itself.

    Returns:
        `files` and `bytes` in all, `newest` (the time of the newest file, seconds since 1970), and `sample`, a SHA-256
        over names, sizes and sampled content. Two fingerprints with another `sample` are of different data.
    """
    digest, newest, total = hashlib.sha256(), 0.0, 0
    try:
        files = _files(paths, prefix)
        step = max(1, -(-len(files) // _MOST_SAMPLED))
        for number, (name, path) in enumerate(files):
            status = os.stat(path)
            newest, total = max(newest, status.st_mtime), total + status.st_size
            digest.update(f"{name}\0{status.st_size}\0".encode(errors="surrogateescape"))
            if number % step == 0:
                digest.update(hashlib.sha256(_sample(path, status.st_size)).digest())
    except OSError:
        return None
    if not files:
        return None
    return {"files": len(files), "bytes": total, "newest": newest, "sample": digest.hexdigest()}


def full_hash_of(paths: Iterable[Path], *, prefix: str | None = None) -> str | None:
    """Return the SHA-256 over names, sizes and the whole content of raw files; arguments as of `fingerprint_of`."""
    digest = hashlib.sha256()
    try:
        files = _files(paths, prefix, most=None)
        for name, path in files:
            digest.update(f"{name}\0{os.stat(path).st_size}\0".encode(errors="surrogateescape"))
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    except OSError:
        return None
    return digest.hexdigest() if files else None


def describe_difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the difference of two fingerprints in words: the number of files and their bytes, or neither of these."""
    if all(before.get(key) == now[key] for key in ("files", "bytes")):
        return f"{_size(now)} as before, with other names or other content"
    return f"{_size(before)} before, {_size(now)} now"


def _size(found: Mapping[str, Any]) -> str:
    files = found.get("files", 0)
    return f"{files:,} file{'' if files == 1 else 's'} of {found.get('bytes', 0):,} bytes"


def is_empty(path: Path) -> bool:
    """Return whether a path is a folder without files at any depth; hidden files do not count."""
    return path.is_dir() and next(_inside(path, ""), None) is None


def _files(paths: Iterable[Path], prefix: str | None, most: int | None = _MOST_FILES) -> Sequence[tuple[str, Path]]:
    """Return files with their names, sorted. The names do not depend on where the folder lies."""
    found: list[tuple[str, Path]] = []
    for path in paths:
        own = f"{path.name}/" if prefix is None else prefix
        for name, file in _inside(path, own) if path.is_dir() else [(own.rstrip("/"), path)]:
            found.append((name, file))
            if most is not None and len(found) >= most:
                return sorted(found)
    return sorted(found)


def _inside(folder: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(place, name)
            if not name.startswith(".") and file.is_file():
                yield f"{prefix}{file.relative_to(folder).as_posix()}", file


def _sample(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        if size <= SAMPLE_BYTES:
            return file.read(SAMPLE_BYTES)
        pieces: list[bytes] = []
        for start in (0, size // 2, size - SAMPLE_BYTES):
            file.seek(start)
            pieces.append(file.read(SAMPLE_BYTES))
        return b"".join(pieces)
