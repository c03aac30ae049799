"""Write files atomically, explain errors of the operating system, and kill this process at a point that a test names.

The launcher changes run directories through this module, so tests inject faults here.
"""

from __future__ import annotations

import errno
import os
import signal
from binascii import crc32
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from launch.errors import StoreError
from s5.run_dir.new_file import move_to_new
from s5.run_dir.regular_file import read_regular

FAULT_VARIABLE = "LAUNCH_FAULT"

# The folder next to the sweeps with the code of all runs: `.snapshots/<hash>`.
SNAPSHOTS = ".snapshots"

_passed: dict[str, int] = {}

_OTHER_RUNS = "`--runs DIR` names another folder for the runs, and wins over `runs_dir` of a profile and $LAUNCH_RUNS"
_DENIED = f"you may not write there; {_OTHER_RUNS}"
_HINTS = {
    errno.ENOSPC: "free some space, then type the command again: it continues where it stopped",
    errno.EDQUOT: "your quota is used up; free some space, then type the command again",
    errno.EROFS: f"the file system is read-only; {_OTHER_RUNS}",
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.ENAMETOOLONG: f"the path is too long; {_OTHER_RUNS}",
    errno.ENOTDIR: f"a part of the path is a file, not a folder; move the file; {_OTHER_RUNS}",
}


def fault_point(point: str) -> None:
    """Kill this process with SIGKILL if `$LAUNCH_FAULT` is `point`, or is `point:n` and this is the n-th call."""
    wanted = os.environ.get(FAULT_VARIABLE)
    if not wanted:
        return
    name, _, count = wanted.partition(":")
    if name == point:
        _passed[point] = _passed.get(point, 0) + 1
        if _passed[point] == int(count or 1):
            os.kill(os.getpid(), signal.SIGKILL)


def store_error(error: OSError, doing: str) -> StoreError:
    """Return a StoreError for an error of the operating system, with a hint if the user can do something.

    `doing` is the action that failed, with the path: `write /runs/x/run.json`.
    """
    hint = _HINTS.get(error.errno or 0)
    if hint == _DENIED and isinstance(error.filename, str):
        hint = _owner_hint(error.filename) or hint
    python_hint = hint and hint.replace("`--runs DIR`", "`runs=DIR`")
    return StoreError(f"cannot {doing}: {words_of(error)}", hint=hint, python_hint=python_hint)


def _owner_hint(path: str) -> str | None:
    """Return a hint if a file, or the folder that it would be in, belongs to another user; None if not."""
    import pwd  # needed for this error only

    while not os.path.lexists(path) and path not in ("", "/"):
        path = os.path.dirname(path)
    with suppress(OSError, KeyError):
        owner = os.stat(path).st_uid
        # A folder of root is where root keeps its files, such as /opt, unless it has runs of root.
        if owner != os.getuid() and (owner or _has_runs(path)):
            name = pwd.getpwuid(owner).pw_name
            return (
                f"{path} belongs to {name}: users share a folder of runs through a common group, "
                'setgid and `umask 002`; "To hand a sweep to a colleague" in docs/slurm.md has the commands'
            )
    return None


def _has_runs(path: str) -> bool:
    """Return whether a path is a folder of runs, a sweep, a run or a file of one of them."""
    folders = (path, *map(str, Path(path).parents))
    return any(os.path.isdir(os.path.join(folder, name)) for folder in folders for name in ("manifest", SNAPSHOTS))


def check_writable(*folders: str, hint: str | None = None) -> None:
    """Raise if a folder, or the nearest one above it that exists, cannot be written. Nothing is made.

    Args:
        folders: The folders.
        hint: How to name another folder, if the folder does not belong to another user; None for the usual hint.

    Raises:
        StoreError: For the first such folder.
    """
    for folder in folders:
        there = os.path.abspath(folder)
        while not os.path.lexists(there):
            there = os.path.dirname(there)
        if os.path.isdir(there) and not os.access(there, os.W_OK | os.X_OK):
            number = errno.EROFS if os.statvfs(there).f_flag & os.ST_RDONLY else errno.EACCES
            problem = store_error(PermissionError(number, os.strerror(number), there), f"write {folder}")
            raise StoreError(problem.message, hint=hint if problem.hint == _DENIED and hint else problem.hint)


def words_of(error: OSError) -> str:
    """Return the words for an error of the operating system, without the path."""
    return os.strerror(error.errno) if error.errno else str(error)


@contextmanager
def store_errors(doing: str) -> Generator[None]:
    """Convert an error of the operating system with `store_error` and raise the result."""
    try:
        yield
    except OSError as error:
        raise store_error(error, doing) from error


def read_bytes(path: str) -> bytes:
    """Return the bytes of a regular file."""
    return read_regular(path)


def write_file(path: str, data: bytes, *, durable: bool = False) -> None:
    """Write a file, replacing its content; if `durable`, it survives a power cut.

    A reader may see a part of the content: use a name that no process reads yet.
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
    """Write a file atomically: a reader sees the complete old content or the complete new content.

    Raises:
        StoreError: If it cannot be written.
    """
    with _temporary(path, data, durable=durable) as temporary:
        fault_point("replace.written")
        os.replace(temporary, path)


@contextmanager
def _temporary(path: str, data: bytes, *, durable: bool) -> Generator[str]:
    """Write the content of `path` to a temporary file in the same folder; delete the temporary file at the end."""
    temporary = temporary_beside(path)
    with store_errors(f"write {path}"):
        try:
            write_file(temporary, data, durable=durable)
            yield temporary
        finally:
            with suppress(OSError):
                os.unlink(temporary)


def crc_of(path: str) -> int | None:
    """Return the CRC-32 of a file, to see whether the file has changed; None if it cannot be read."""
    with suppress(OSError):
        return crc32(read_bytes(path))
    return None


def create_file(path: str, data: bytes) -> bool:
    """Write a file that must not exist yet, so that it survives a power cut; return False if the file exists.

    Raises:
        StoreError: If it cannot be written.
    """
    with _temporary(path, data, durable=True) as temporary:
        fault_point("create.written")
        if not move_to_new(temporary, path):
            return False
        fault_point("create.linked")
        sync_folder(os.path.dirname(path))
        return True


def touch(path: str | os.PathLike[str]) -> bool:
    """Set the time of a file or folder to now, so that `launch gc` keeps it; return whether it still exists."""
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
    """Return a path for a temporary file in the folder of `path` that no other process, thread or machine uses."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{os.urandom(6).hex()}.tmp")
