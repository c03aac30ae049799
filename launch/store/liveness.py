"""Whether a process may still work on an attempt: by its lock, its pid, its label, its scheduler, its silence."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from launch.specs.choices import BackendName
from launch.store import processes
from launch.store.attempts import ATTEMPT, LOG
from launch.store.locks import is_held
from launch.store.records import AttemptRecord
from launch.store.scheduler_view import SchedulerView
from s5.run_dir.result import ATTEMPT_DIR_VARIABLE, CHECKPOINTS, LOCK, METRICS, TIMING

# How long the local attempt of an unknown machine may write nothing before it counts as dead.
SILENT_S = 1800.0
_SIGNS = (LOG, TIMING, METRICS, ATTEMPT, CHECKPOINTS)


def is_locked(path: str) -> bool:
    """Return whether a process on this machine works on an attempt: its supervisor, or one that it started."""
    return is_held(os.path.join(path, LOCK))


def is_alive(
    path: str, record: AttemptRecord | None, scheduled: SchedulerView | None = None
) -> tuple[bool, str | None]:
    """Return whether a process may work on an attempt without an end, and a remark for the user.

    It counts as dead only by two independent proofs: the free lock is one, and the other one depends on where it ran.

    Args:
        path: The attempt's folder.
        record: Its record; None if it cannot be read.
        scheduled: The scheduler's answer for the sweep; None if no scheduler was asked.
    """
    if is_locked(path):
        return True, None
    if record is None:
        return processes.is_labelled(ATTEMPT_DIR_VARIABLE, path), None
    if is_here(record):
        if processes.is_alive(record.pid, record.pid_start):
            return True, None
        # An engine starts a container and hands no lock into it: a process inside shows by its label alone.
        return record.image is not None and processes.is_labelled(ATTEMPT_DIR_VARIABLE, path), None
    if record.host == processes.host():
        return False, None  # this machine has been started again since
    where = f"it runs on {record.host}, which cannot be seen from {processes.host()}"
    if record.backend != BackendName.LOCAL:
        # The second proof is the scheduler, which no longer has the job.
        lost = scheduled is not None and scheduled.job_is_gone(record.job_id, record.started)
        return not lost, None if lost or scheduled is not None else where
    if _is_silent(path):
        return False, None
    return True, f"{where}; it counts as lost after {SILENT_S / 60:.0f} min of silence"


def is_here(record: AttemptRecord) -> bool:
    """Return whether an attempt was started on this machine since it booted: only then do its pids mean anything."""
    return record.boot_id == processes.boot_id()


def _is_silent(path: str) -> bool:
    """Return whether nothing has been written to an attempt for long.

    A container with a new name, or a disk in another machine, leaves attempts of a machine that never comes back:
    without this proof besides the free lock they would count as running for ever.
    """
    newest = 0.0
    for name in _SIGNS:
        with suppress(OSError):
            newest = max(newest, os.stat(os.path.join(path, name)).st_mtime)
    return time.time() - newest > SILENT_S
