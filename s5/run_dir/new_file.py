"""Gives a complete file its final name, unless a file of this name exists. Standard library only.

A hard link does both in one operation. File systems without hard links refuse it: exFAT, FAT, and many that run over
FUSE, such as Google Drive and buckets. There the file is renamed while a lock file next to it is locked. A process that
is killed at any point leaves either no file or the complete one: the kernel releases its lock, and the next process can
take it.
"""

import os
from contextlib import suppress
from pathlib import Path

from s5.run_dir.locks import lock_fd


def move_to_new(temporary: str | Path, path: str | Path) -> bool:
    """Give a complete temporary file its final name, unless a file of this name exists.

    Args:
        temporary: The file, in the folder of `path`. Afterwards it may still be there; the caller deletes it.
        path: The final path.

    Returns:
        Whether this call made the file.

    Raises:
        OSError: If the folder cannot be written, or its file system supports neither hard links nor locks.
    """
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError:  # which error depends on the file system: EPERM, ENOSYS, EOPNOTSUPP, EINVAL, ...
        return _rename_locked(temporary, path)
    return True


def copy_to_new(source: str | Path, path: str | Path) -> bool:
    """Make a file with the content of another one: a hard link to it, or else a copy; unless the file exists.

    Args:
        source: The other file, which is complete and never changes.
        path: The path of the file to make, on the same file system.

    Returns:
        Whether this call made the file.

    Raises:
        OSError: As in `move_to_new`, or if the other file cannot be read.
    """
    try:
        os.link(source, path)
    except FileExistsError:
        return False
    except OSError:
        return _copy_locked(source, path)
    return True


def _copy_locked(source: str | Path, path: str | Path) -> bool:
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.urandom(6).hex()}.tmp")
    content = Path(source).read_bytes()
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return _rename_locked(temporary, path)
    finally:
        with suppress(OSError):
            os.unlink(temporary)


def _rename_locked(temporary: str | Path, path: str | Path) -> bool:
    folder, name = os.path.split(path)
    lock = os.path.join(folder, f".{name}.lock")
    fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        lock_fd(fd, wait=True)
        is_new = not os.path.lexists(path)
        if is_new:
            os.rename(temporary, path)
        # Now that the file exists, a process that locks another lock file of this name finds it too.
        with suppress(OSError):
            os.unlink(lock)
        return is_new
    finally:
        os.close(fd)
