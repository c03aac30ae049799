"""Writing a file whole or not at all, explaining what went wrong, and dying at a named point when a test asks.

Every change that the launcher makes to a run directory passes through here, so tests inject faults here.
"""

from __future__ import annotations

import errno
import os
import signal
from binascii import crc32
from collections.abc import Generator
from contextlib import contextmanager, suppress

from launch.errors import StoreError

FAULT_VARIABLE = "LAUNCH_FAULT"

# The folder beside the sweeps that holds the code of all runs: `.snapshots/<hash>`.
SNAPSHOTS = ".snapshots"

_passed: dict[str, int] = {}

_HINTS = {
    errno.ENOSPC: "free some space, then type the command again: it goes on where it stopped",
    errno.EDQUOT: "your quota is used up; free some space, then type the command again",
    errno.EROFS: "the file system is read-only; move the runs with LAUNCH_RUNS=/a/folder/you/may/write",
    errno.EACCES: "you may not write there; move the runs with LAUNCH_RUNS=/a/folder/you/may/write",
    errno.EPERM: "you may not write there; move the runs with LAUNCH_RUNS=/a/folder/you/may/write",
    errno.ENAMETOOLONG: "choose a shorter folder for the runs with LAUNCH_RUNS",
    errno.ENOTDIR: "a file is in the place of a folder; move it away, or move the runs with LAUNCH_RUNS",
}


def fault_point(point: str) -> None:
    """Kill this process with SIGKILL if `$LAUNCH_FAULT` is `point`, or `point:n` and it is passed the n-th time."""
    wanted = os.environ.get(FAULT_VARIABLE)
    if not wanted:
        return
    name, _, count = wanted.partition(":")
    if name == point:
        _passed[point] = _passed.get(point, 0) + 1
        if _passed[point] == int(count or 1):
            os.kill(os.getpid(), signal.SIGKILL)


def store_error(error: OSError, doing: str) -> StoreError:
    """Return an error that a user understands for one of the operating system, with a hint if there is a remedy.

    `doing` is the action that failed, with the path: `write /runs/x/run.json`.
    """
    what = os.strerror(error.errno) if error.errno else str(error)
    return StoreError(f"cannot {doing}: {what}", hint=_HINTS.get(error.errno or 0))


@contextmanager
def store_errors(doing: str) -> Generator[None]:
    """Raise an error of the operating system as what `store_error` makes of it."""
    try:
        yield
    except OSError as error:
        raise store_error(error, doing) from error


def read_bytes(path: str) -> bytes:
    """Return a small file's bytes with as few system calls as possible: `status` reads one for every run."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.read(fd, 65536)
        if len(data) < 65536:
            return data
        chunks = [data]
        while more := os.read(fd, 1 << 20):
            chunks.append(more)
        return b"".join(chunks)
    finally:
        os.close(fd)


def write_file(path: str, data: bytes, *, durable: bool = False) -> None:
    """Write a new file; if `durable`, it survives a power cut.

    A reader may see a part of it: use a name that no process reads yet.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)


def replace_file(path: str, data: bytes, *, durable: bool = False) -> None:
    """Write a file so that a reader sees the old one or the new one, whole.

    Raises:
        StoreError: If it cannot be written.
    """
    with _temporary(path, data, durable=durable) as temporary:
        fault_point("replace.written")
        os.replace(temporary, path)


@contextmanager
def _temporary(path: str, data: bytes, *, durable: bool) -> Generator[str]:
    """Write what is to become a file beside it, under a name that is gone at the end."""
    temporary = temporary_beside(path)
    with store_errors(f"write {path}"):
        try:
            write_file(temporary, data, durable=durable)
            yield temporary
        finally:
            with suppress(OSError):
                os.unlink(temporary)


def crc_of(path: str) -> int | None:
    """Return the CRC-32 of a file, a fast test of whether it has changed; None if it cannot be read."""
    with suppress(OSError):
        return crc32(read_bytes(path))
    return None


def create_file(path: str, data: bytes) -> bool:
    """Write a file that must not exist yet, durably; return False if another process was first.

    Raises:
        StoreError: If it cannot be written.
    """
    with _temporary(path, data, durable=True) as temporary:
        fault_point("create.written")
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        fault_point("create.linked")
        sync_folder(os.path.dirname(path))
        return True


def touch(path: str | os.PathLike[str]) -> bool:
    """Set the time of a file or folder to now, so that `launch gc` spares it; return whether it is still there."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    except PermissionError:
        pass  # it belongs to another user of the same runs
    return True


def sync_file(path: str) -> None:
    """Make a file's bytes survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_folder(path: str) -> None:
    """Make a folder's names survive a power cut, if the file system can."""
    with suppress(OSError):
        sync_file(path)


def temporary_beside(path: str) -> str:
    """Return a name in the folder of `path` that no other process, thread or machine chooses."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{os.urandom(6).hex()}.tmp")
