"""Open file description locks. While an attempt's lock is held, the attempt is running. Standard library only.

A process that inherits the descriptor holds the lock too. So a free lock proves that all processes of the attempt have
ended. The kernel releases the locks of a killed process. Linux only: `fcntl(2)`, F_OFD_SETLK.
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
        fd: A descriptor of the file, open for writing; the lock lasts until every copy of the descriptor is closed.
        wait: Whether to wait while another process holds the lock.

    Returns:
        Whether this process holds the lock now.

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
    """Return whether another open file description than `fd` holds the lock on the file; does not lock the file."""
    answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _flock(fcntl.F_WRLCK))
    return struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK


def is_held(path: str | Path) -> bool:
    """Return whether a process holds the lock on a file; False if there is no such file. Does not lock the file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    try:
        return is_locked(fd)
    finally:
        os.close(fd)


def _flock(kind: int) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)
