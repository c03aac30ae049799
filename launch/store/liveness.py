"""Whether a process may still work on an attempt: by its lock, its pid, its label, its scheduler, its silence."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from launch.store import processes
from launch.store.attempts import ATTEMPT, LOG
from launch.store.locks import is_held
from launch.store.scheduler_view import SchedulerView
from s5.run_dir.result import ATTEMPT_DIR_VARIABLE, CHECKPOINTS, LOCK, METRICS, TIMING

# How long the local attempt of an unknown machine may write nothing before it counts as dead.
SILENT_S = 1800.0
_SIGNS = (LOG, TIMING, METRICS, ATTEMPT, CHECKPOINTS)


def is_locked(path: str) -> bool:
    """Say whether a process on this machine works on an attempt: its supervisor, or what that started."""
    return is_held(os.path.join(path, LOCK))


def is_alive(path: str, record: Mapping[str, Any], scheduled: SchedulerView | None = None) -> tuple[bool, str | None]:
    """Say whether somebody may work on an attempt without an end. Only two proofs together say that nobody does.

    Args:
        path: The attempt's folder.
        record: Its record as plain values; empty where it cannot be read.
        scheduled: What the scheduler says of the sweep; None where it was not asked.

    Returns:
        Whether, and a remark for a person.
    """
    if is_locked(path):
        return True, None
    if not record:
        return processes.is_labelled(ATTEMPT_DIR_VARIABLE, path), None
    if is_here(record):
        if processes.is_alive(record["pid"], record.get("pid_start", 0)):
            return True, None
        # An engine starts a container, and hands no lock into it: what works inside says so by its label alone.
        return record.get("image") is not None and processes.is_labelled(ATTEMPT_DIR_VARIABLE, path), None
    if record.get("host") == processes.host():
        return False, None  # this machine has been started again since
    where = f"it runs on {record.get('host')}, which cannot be seen from {processes.host()}"
    if record.get("backend") != "local":
        # The free lock is one proof, and the scheduler that has the job no more is the other.
        lost = scheduled is not None and scheduled.has_lost(record.get("job_id"), record.get("started", 0.0))
        return not lost, None if lost or scheduled is not None else where
    if _is_silent(path):
        return False, None
    return True, f"{where}; it counts as lost after {SILENT_S / 60:.0f} min of silence"


def _is_silent(path: str) -> bool:
    """Say whether nothing has been written to an attempt for long.

    A container with a new name, or a disk in another machine, leaves attempts of a machine that nobody will see
    again: without this proof beside the free lock they would run for ever.
    """
    newest = 0.0
    for name in _SIGNS:
        with suppress(OSError):
            newest = max(newest, os.stat(os.path.join(path, name)).st_mtime)
    return time.time() - newest > SILENT_S


def is_here(record: Mapping[str, Any]) -> bool:
    """Say whether an attempt was started on this machine since it booted: only then do its pids mean anything."""
    return record.get("boot_id") == processes.boot_id()
