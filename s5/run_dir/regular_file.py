"""Read regular files only, and only up to a size: a named pipe would block for ever, and a device may have no end.

Standard library only.
"""

import errno
import os
import stat
from pathlib import Path

MAX_BYTES = 1 << 28
"""The largest size of a record that a program writes."""

MAX_WRITTEN_BYTES = 1 << 20
"""The largest size of a file that a person writes, such as a sweep file or a profile."""

_FIRST_READ = 65536
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe is opened without waiting for its other end
_KINDS = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


class UnfitFile(ValueError):
    """A file that is not read: it is not a regular file, or it is too large. The message says which."""


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
        # The kind of a small file is not asked for, which would take time for every run.
        if 0 < len(data) < min(_FIRST_READ, max_bytes + 1):
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


def read_written(path: Path) -> bytes:
    """Return the content of a file that a person writes.

    Args:
        path: The file, or a link to it.

    Raises:
        UnfitFile: If it is neither a regular file nor a folder, or is larger than `MAX_WRITTEN_BYTES`.
        OSError: If it cannot be read; IsADirectoryError for a folder.
        ValueError: If the path is not one that a file can have.
    """
    _check_kind(os.stat(path).st_mode, path)  # before it is opened: opening a device may have an effect
    try:
        return read_regular(path, MAX_WRITTEN_BYTES)
    except NotRegular as problem:  # it is too large, or a pipe has taken its place since
        raise UnfitFile(f"{problem}, which is the most allowed") from None


def _check_kind(mode: int, path: Path) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        kind = next((name for test, name in _KINDS if test(mode)), "no file")
        raise UnfitFile(f"this is {kind}; a regular file is needed")
