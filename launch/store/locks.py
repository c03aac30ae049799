"""File locks. A process that inherits the descriptor holds the lock too; the exit of all holders releases it.

`s5.run_dir.locks` implements them; training processes take the same locks.
"""

from __future__ import annotations

import os

from launch.errors import StoreError
from launch.store.files import store_errors
from s5.run_dir import locks


def acquire(path: str, *, wait: bool = False) -> int | None:
    """Take the lock on a file; make the file if it is missing.

    Args:
        path: The file; the process that holds the lock may write anything into it.
        wait: Whether to wait for the process that holds the lock.

    Returns:
        The descriptor that holds the lock until every copy of it is closed; None if another process holds it.

    Raises:
        StoreError: If the file cannot be made, or its file system has no locks.
    """
    while True:
        with store_errors(f"open the lock {path}"):
            fd = _open(path)
        try:
            taken = locks.lock_fd(fd, wait=wait)
        except OSError as error:
            os.close(fd)
            hint = "the file system has no locks; `--runs DIR` names a folder on another one"
            raise StoreError(f"cannot lock {path}: {os.strerror(error.errno or 0)}", hint=hint) from error
        if taken and _is_at(fd, path):
            return fd
        os.close(fd)
        if not taken:
            return None
        # The file was deleted between opening and locking: no other process would find this lock. Try again.


def _open(path: str) -> int:
    """Open a file, made if it is missing. In a folder of all users the kernel may forbid O_CREAT for others' files."""
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)


def _is_at(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def is_held(path: str) -> bool:
    """Return whether a process holds the lock on a file; False if the file does not exist. Does not take the lock.

    Raises:
        StoreError: If the file cannot be opened.
    """
    with store_errors(f"open the lock {path}"):
        return locks.is_held(path)
