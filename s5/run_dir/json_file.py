"""Read stored JSON with limits: a process that can write a file must not stop or crash those that read it.

Standard library only. Only regular files are read (a named pipe would block for ever), up to a size and a depth.
"""

import errno
import json
import os
import stat
from typing import Any, cast

MAX_BYTES = 1 << 28
MAX_DEPTH = 64

_FIRST_READ = 65536
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe is opened without waiting for its other end


class NotRegular(OSError):
    """A file that is a pipe, a socket or a device, or too large to be a record. It has no error number."""


def read_regular(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> bytes:
    """Return a file's bytes with few system calls if it is small: `launch status` reads a file for every run.

    Raises:
        NotRegular: If it is not a regular file, or larger than `max_bytes`.
        OSError: If it cannot be read.
    """
    fd = os.open(path, _FLAGS)
    try:
        try:
            data = os.read(fd, _FIRST_READ)
        except BlockingIOError:
            raise NotRegular("not a regular file") from None
        if 0 < len(data) < _FIRST_READ:  # a small file: its kind is not asked for, which takes time for every run
            return data
        if _regular_size(fd, path) > max_bytes:
            raise NotRegular(f"larger than {max_bytes:,} bytes")
        chunks, total = [data], len(data)
        while more := os.read(fd, 1 << 20):
            chunks.append(more)
            total += len(more)
            if total > max_bytes:
                raise NotRegular(f"larger than {max_bytes:,} bytes")
        return b"".join(chunks)
    finally:
        os.close(fd)


def read_tail(path: str | os.PathLike[str], tail_bytes: int) -> bytes:
    """Return the last bytes of a file.

    Raises:
        NotRegular: If it is not a regular file.
        OSError: If it cannot be read.
    """
    fd = os.open(path, _FLAGS)
    try:
        return os.pread(fd, tail_bytes, max(0, _regular_size(fd, path) - tail_bytes))
    finally:
        os.close(fd)


def _regular_size(fd: int, path: str | os.PathLike[str]) -> int:
    """Return the size of an open file; raise if it is not a regular file."""
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode):
        return status.st_size
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    raise NotRegular("not a regular file")


def parse_json(text: str | bytes) -> Any:
    """Return a JSON document.

    Raises:
        ValueError: If the text is not JSON, or is nested deeper than `MAX_DEPTH`.
    """
    try:
        document = json.loads(text)
    except RecursionError:
        raise _too_deep() from None
    # A text that opens few brackets is not deep: most records are not looked through.
    opened = text.count("[") + text.count("{") if isinstance(text, str) else text.count(b"[") + text.count(b"{")
    if opened > MAX_DEPTH:
        _check_depth(document)
    return document


def _check_depth(document: object) -> None:
    level: list[object] = [document]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _children(outer) if isinstance(inner, dict | list)]
        if not level:
            return
    raise _too_deep()


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(cast("dict[str, object]", value).values())
    return cast("list[object]", value) if isinstance(value, list) else []


def _too_deep() -> ValueError:
    return ValueError(f"nested deeper than {MAX_DEPTH} levels")
