"""Claiming an attempt without a supervisor, for `python -m s5` typed by hand.

It works as in a supervisor, so the two see each other: the folder is prepared under a temporary name with its lock
held, then renamed to `attempts/K`, which succeeds for one process only.
"""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from s5.errors import UserError
from s5.run_dir.locks import is_locked, lock_fd
from s5.run_dir.result import ATTEMPTS, CLAIM, LOCK, attempt_dirs


@contextmanager
def claim_attempt(run_dir: Path) -> Iterator[Path]:
    """Claim the next attempt of a run, and hold its lock in the block.

    Args:
        run_dir: The run directory.

    Yields:
        `RUN_DIR/attempts/K`.

    Raises:
        UserError: If another process is running the run.
    """
    prepared = run_dir / ATTEMPTS / f"{CLAIM}{socket.gethostname()}-{os.getpid()}"
    prepared.mkdir(parents=True, exist_ok=True)
    fd = os.open(prepared / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        lock_fd(fd)
        yield _place(prepared, run_dir)
    finally:
        os.close(fd)
        with suppress(OSError):
            (prepared / LOCK).unlink()
            prepared.rmdir()


def _place(prepared: Path, run_dir: Path) -> Path:
    """Rename the prepared folder to the number after the last attempt's; raise if that one is running."""
    while True:
        earlier = attempt_dirs(run_dir)
        if earlier and _is_running(earlier[-1]):
            raise UserError(
                f"{run_dir}: attempt {earlier[-1].name} is still running",
                hint="wait for it, or stop its process; then repeat the command",
            )
        place = run_dir / ATTEMPTS / str(int(earlier[-1].name) + 1 if earlier else 0)
        try:
            os.rename(prepared, place)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            continue  # another process was first, and is running it now
        return place


def _is_running(attempt_dir: Path) -> bool:
    with suppress(FileNotFoundError):
        fd = os.open(attempt_dir / LOCK, os.O_RDONLY)
        try:
            return is_locked(fd)
        finally:
            os.close(fd)
    return False
