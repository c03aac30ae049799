"""Claiming an attempt of a run where no supervisor does: `python -m s5` typed by hand.

Making the folder `attempts/K` is the claim, as it is for a supervisor, and `attempts/K/lock` is held as long as
somebody works on it, so the two see each other.
"""

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from s5.errors import UserError
from s5.result import ATTEMPTS, attempt_dirs

LOCK = "lock"


@contextmanager
def claimed(run_dir: Path) -> Iterator[Path]:
    """Claim the next attempt of a run and hold its lock.

    Args:
        run_dir: The run directory.

    Yields:
        `RUN_DIR/attempts/K`.

    Raises:
        UserError: Where somebody works on the run at this moment.
    """
    (run_dir / ATTEMPTS).mkdir(parents=True, exist_ok=True)
    fd = -1
    try:
        with _locked(run_dir / ATTEMPTS / ".claim", wait=True):
            earlier = attempt_dirs(run_dir)
            if earlier and _is_held(earlier[-1] / LOCK):
                raise UserError(
                    f"{run_dir}: attempt {earlier[-1].name} is still running",
                    hint="wait for it, or stop its process; then type the command again",
                )
            attempt_dir = run_dir / ATTEMPTS / str(int(earlier[-1].name) + 1 if earlier else 0)
            attempt_dir.mkdir()
            fd = _take(attempt_dir / LOCK, wait=False)
        yield attempt_dir
    finally:
        if fd >= 0:
            os.close(fd)


@contextmanager
def _locked(path: Path, *, wait: bool) -> Iterator[None]:
    fd = _take(path, wait=wait)
    try:
        yield
    finally:
        os.close(fd)


def _take(path: Path, *, wait: bool) -> int:
    # Locks of the open file description: they last until every copy of the descriptor is closed.
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    fcntl.fcntl(fd, fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK))
    return fd


def _is_held(path: Path) -> bool:
    with suppress(FileNotFoundError):
        fd = os.open(path, os.O_RDONLY)
        try:
            answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _flock(fcntl.F_WRLCK))
        finally:
            os.close(fd)
        return struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK
    return False


_FLOCK = "hhqqi4x"


def _flock(kind: int) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)
