"""Read a file that the user or another program wrote: only a regular file, and only up to a size."""

import errno
import os
import stat
from pathlib import Path

MAX_BYTES = 2**20
"""The largest size of a file that a person writes, such as a sweep file or a profile."""

_KINDS = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


class UnfitFile(ValueError):
    """A file that is not read: it is not a regular file, or it is too large. The message says which."""


def read_regular(path: Path, most: int = MAX_BYTES) -> bytes:
    """Return the content of a regular file.

    A FIFO would block until a process writes, and a device such as /dev/zero has no end.

    Args:
        path: The file, or a link to it.
        most: The largest size allowed, in bytes.

    Raises:
        UnfitFile: If it is neither a regular file nor a folder, or is larger.
        OSError: If it cannot be read; IsADirectoryError for a folder.
        ValueError: If the path is not one that a file can have.
    """
    _check_kind(os.stat(path).st_mode, path)  # before it is opened: opening a device may have an effect
    # Without O_NONBLOCK, opening a FIFO that has taken the file's place since would wait for a writer.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        _check_kind(os.fstat(file.fileno()).st_mode, path)
        content = file.read(most + 1)
    if len(content) > most:
        raise UnfitFile(f"larger than {most:,} bytes, which is the most allowed")
    return content


def _check_kind(mode: int, path: Path) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        kind = next((name for test, name in _KINDS if test(mode)), "no file")
        raise UnfitFile(f"this is {kind}; a regular file is needed")
