"""Claiming an attempt: making its folder is the claim, so of two supervisors exactly one owns the run."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import dataclass

from launch.store import processes
from launch.store.attempts import ATTEMPT, attempt_path, encode
from launch.store.files import fault_point, store_error, write_file
from launch.store.locks import acquire, is_held
from launch.store.records import AttemptRecord
from s5.run_dir.result import ATTEMPTS, CLAIM, LOCK


@dataclass(frozen=True, kw_only=True)
class Claim:
    """An attempt that belongs to this process.

    Attributes:
        path: `RUN_DIR/attempts/K`.
        lock: The descriptor that holds its lock, to be handed to whatever works on it.
        record: What `attempt.json` says.
    """

    path: str
    lock: int
    record: AttemptRecord


def claim_attempt(run_dir: str, attempt: int, record: AttemptRecord) -> Claim | None:
    """Claim an attempt: whoever makes its folder owns the run.

    The folder appears whole, by one rename, with the lock held and the record written. So nobody ever sees an
    attempt of which it cannot say who works on it, and of two claimants the second finds the place taken.

    Args:
        run_dir: The run directory.
        attempt: The number after the newest attempt.
        record: What `attempt.json` is to say.

    Returns:
        The claim; None where somebody else was first.

    Raises:
        StoreError: Where the folder cannot be written.
    """
    folder = os.path.join(run_dir, ATTEMPTS)
    own = os.getpid()
    prepared = os.path.join(folder, f"{CLAIM}{processes.host()}-{own}-{processes.start_time(own)}")
    try:
        os.makedirs(prepared, exist_ok=True)
        lock = acquire(os.path.join(prepared, LOCK))
        if lock is None:
            raise AssertionError(f"the lock of {prepared}, which this process has just made, is held")
        write_file(os.path.join(prepared, ATTEMPT), encode(record))
        fault_point("claim.prepared")
        os.rename(prepared, attempt_path(run_dir, attempt))
    except OSError as error:
        _remove(prepared)
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return None
        raise store_error(error, f"claim attempt {attempt} in {folder}") from error
    fault_point("claim.made")
    return Claim(path=attempt_path(run_dir, attempt), lock=lock, record=record)


def remove_torn_claims(run_dir: str) -> None:
    """Remove what claimants of this machine left that died before their claim was made."""
    folder, own = os.path.join(run_dir, ATTEMPTS), f"{CLAIM}{processes.host()}-"
    with suppress(FileNotFoundError):
        for name in os.listdir(folder):
            if name.startswith(own) and not _may_claim(name[len(own) :]):
                path = os.path.join(folder, name)
                # A container may share its host's name and not its pids.
                if not is_held(os.path.join(path, LOCK)):
                    _remove(path)


def _may_claim(owner: str) -> bool:
    """Say whether the claimant `PID-START` lives: between making its folder and locking it, only that says so.

    `python -m s5`, which looks nowhere into `/proc`, names its pid only.
    """
    pid, _, start = owner.partition("-")
    if not pid.isdigit():
        return True  # of a machine whose name begins with this one's
    found = processes.start_time(int(pid))
    return found is not None and start in ("", str(found))


def _remove(folder: str) -> None:
    import shutil  # costs a supervisor milliseconds, and it hardly ever has something to remove

    shutil.rmtree(folder, ignore_errors=True)
