"""The kernel's locks of an open file description: what says that somebody works on an attempt. Standard library only.

A process that inherits the descriptor holds the lock too, so a free lock proves that nobody of that family is left;
a process that is killed holds nothing. Linux only: `fcntl(2)`, F_OFD_SETLK.
"""

import errno
import fcntl
import os
import struct

# struct flock of 64-bit Linux: type, whence, start, length, pid.
_FLOCK = "hhqqi4x"


def lock_fd(fd: int, *, wait: bool = False) -> bool:
    """Take the lock on a file.

    Args:
        fd: A descriptor of the file, open for writing; the lock lasts until every copy of it is closed.
        wait: Whether to wait for whoever holds it.

    Returns:
        Whether it is ours now.

    Raises:
        OSError: Where the file system has no locks.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def is_locked(fd: int) -> bool:
    """Say whether another open file description than `fd`'s holds the lock on its file. Asking takes nothing."""
    answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _flock(fcntl.F_WRLCK))
    return struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK


def _flock(kind: int) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)
