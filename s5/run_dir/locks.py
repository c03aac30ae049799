"""Locks of open file descriptions: a held one means that an attempt is running. Standard library only.

A process that inherits the descriptor holds the lock too, so a free lock proves that no process of that tree is left.
A killed process holds nothing. Linux only: `fcntl(2)`, F_OFD_SETLK.
"""

import errno
import fcntl
import os
import struct
from pathlib import Path

# struct flock of 64-bit Linux: type, whence, start, length, pid.
_FLOCK = "hhqqi4x"


def lock_fd(fd: int, *, wait: bool = False) -> bool:
    """Lock a file.

    Args:
        fd: A descriptor of the file, open for writing; the lock lasts until every copy of it is closed.
        wait: Whether to wait for the process that holds it.

    Returns:
        Whether this process holds it now.

    Raises:
        OSError: If the file system does not support locks.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def is_locked(fd: int) -> bool:
    """Return whether another open file description than `fd` holds the lock on its file; does not take it."""
    answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _flock(fcntl.F_WRLCK))
    return struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK


def is_held(path: str | Path) -> bool:
    """Return whether any process holds the lock on a file; False if there is no such file. Does not take it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return is_locked(fd)
    finally:
        os.close(fd)


def _flock(kind: int) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)
