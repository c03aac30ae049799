"""The claim of an attempt: a process prepares its folder under a temporary name, locks it, renames it to `attempts/K`.

The rename succeeds for one process only. Supervisors claim attempts in the same way, so a launcher and `python -m s5`
never execute a run at the same time.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from s5.errors import UserError
from s5.run_dir.locks import is_held, lock_fd
from s5.run_dir.result import ATTEMPTS, CLAIM, LOCK, attempt_dirs


@contextmanager
def claim_attempt(run_dir: Path) -> Iterator[Path]:
    """Claim the next attempt of a run, and hold its lock until the `with` block ends.

    Args:
        run_dir: The run directory.

    Yields:
        `RUN_DIR/attempts/K`.

    Raises:
        UserError: If another process is running the run.
    """
    prepared = run_dir / ATTEMPTS / f"{claim_prefix()}{os.getpid()}"
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
    """Rename the prepared folder to the number after the last attempt's; raise if the last attempt is running."""
    while True:
        earlier = attempt_dirs(run_dir)
        if earlier and is_held(os.path.join(earlier[-1], LOCK)):
            raise UserError(
                f"{run_dir}: attempt {earlier[-1].name} is still running",
                hint="wait for it, or stop its process; then repeat the command",
            )
        attempt = int(earlier[-1].name) + 1 if earlier else 0
        if place_claim(prepared, run_dir, attempt):
            return run_dir / ATTEMPTS / str(attempt)


def claim_prefix() -> str:
    """Return the prefix of the names of all claims that this machine prepares; the pid of the process follows it."""
    return f"{CLAIM}{os.uname().nodename}-"


def place_claim(prepared: str | Path, run_dir: str | Path, attempt: int) -> bool:
    """Rename a prepared folder to `attempts/ATTEMPT`; return False if another process claimed this attempt first.

    Raises:
        OSError: If the folder cannot be renamed for another reason.
    """
    try:
        os.rename(prepared, os.path.join(run_dir, ATTEMPTS, str(attempt)))
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True
