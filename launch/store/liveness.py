"""Find out whether a process may still work on an attempt: from its lock, pid, label, scheduler and last write."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from launch.specs.choices import BackendName
from launch.store import processes
from launch.store.attempts import ATTEMPT, LOG
from launch.store.locks import is_held
from launch.store.records import AttemptRecord
from s5.run_dir.result import ATTEMPT_DIR_VARIABLE, CHECKPOINTS, LOCK, METRICS, TIMING

if TYPE_CHECKING:
    from launch.store.scheduler_view import SchedulerView

# How long a local attempt on another machine may write nothing before it counts as dead.
SILENT_S = 1800.0
_SIGNS = (LOG, TIMING, METRICS, ATTEMPT, CHECKPOINTS)


def is_locked(path: str) -> bool:
    """Return whether the supervisor of an attempt, or a process that it started, runs on this machine."""
    return is_held(os.path.join(path, LOCK))


def is_alive(
    path: str, record: AttemptRecord | None, scheduled: SchedulerView | None = None
) -> tuple[bool, str | None]:
    """Return whether a process may still work on an attempt whose end is not recorded, and a remark for the user.

    False needs two independent proofs: the lock is free, and a second proof that depends on the attempt's machine.

    Args:
        path: The attempt's folder.
        record: The attempt's record; None if it cannot be read.
        scheduled: The scheduler's answer for the sweep; None if no scheduler was asked.
    """
    if is_locked(path):
        return True, None
    if record is None:
        return processes.is_labelled(ATTEMPT_DIR_VARIABLE, path), None
    if is_here(record):
        if processes.is_alive(record.pid, record.pid_start):
            return True, None
        # The lock does not reach the inside of a container: only the label shows a process there.
        return record.image is not None and processes.is_labelled(ATTEMPT_DIR_VARIABLE, path), None
    if record.host == processes.host():
        return False, None  # this machine has been rebooted since
    where = f"it runs on {record.host}, whose processes cannot be seen from {processes.host()}"
    if record.backend != BackendName.LOCAL:
        # The second proof is the scheduler, which no longer has the job.
        lost = scheduled is not None and scheduled.job_is_gone(record.job_id, record.started)
        return not lost, None if lost or scheduled is not None else where
    if _is_silent(path):
        return False, None
    return True, f"{where}; it counts as lost after {SILENT_S / 60:.0f} min without output"


def is_here(record: AttemptRecord) -> bool:
    """Return whether an attempt was started on this machine since its last boot. Else its pids mean nothing."""
    return record.boot_id == processes.boot_id()


def _is_silent(path: str) -> bool:
    """Return whether nothing was written to an attempt for `SILENT_S` seconds.

    If a container gets a new name, or a disk moves to another machine, the old machine never comes back. Without this
    second proof the attempts of that machine would count as running for ever.
    """
    newest = 0.0
    for name in _SIGNS:
        with suppress(OSError):
            newest = max(newest, os.stat(os.path.join(path, name)).st_mtime)
    return time.time() - newest > SILENT_S
