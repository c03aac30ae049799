"""The lock of a sweep's queue: one process feeds a sweep, on this machine or into a scheduler, and says who it is."""

from __future__ import annotations

import json
import os
import time
from typing import NamedTuple

from launch.errors import LaunchError
from launch.store.files import read_bytes
from launch.store.locks import acquire, is_held
from launch.store.processes import host

_FILE = "queue.lock"  # in the sweep's folder
_NOTE_S = 1.0  # within which a process that has the lock has written who it is
_POLL_S = 0.05

# How long to wait for another process that submits to a scheduler: longer than an sbatch may take.
SUBMIT_PATIENCE_S = 130.0


class QueueOwner(NamedTuple):
    """The process that feeds a sweep. Everything is None if its note cannot be read."""

    pid: int | None = None
    host: str | None = None
    generation: int | None = None  # the one it feeds


def read_queue_owner(sweep: str) -> QueueOwner | None:
    """Return the process that feeds a sweep; None if no process does.

    Args:
        sweep: The sweep's folder, `runs/<sweep>`, as in all functions here.
    """
    path = os.path.join(sweep, _FILE)
    if not is_held(path):
        return None
    try:
        note = json.loads(read_bytes(path))
        return QueueOwner(pid=int(note["pid"]), host=str(note["host"]), generation=int(note["generation"]))
    except (OSError, ValueError, KeyError, TypeError):
        return QueueOwner()


def lock_queue(sweep: str, generation: int, *, patience_s: float = 0.0) -> int:
    """Become the one process that feeds a sweep.

    Args:
        sweep: The sweep's folder.
        generation: The generation that this process feeds.
        patience_s: Seconds to wait for another process to finish.

    Returns:
        The descriptor to close at the end.

    Raises:
        LaunchError: If another process feeds the sweep.
    """
    path, deadline = os.path.join(sweep, _FILE), time.monotonic() + patience_s
    while (fd := acquire(path)) is None:
        _wait(sweep, deadline)
    note = json.dumps({"pid": os.getpid(), "host": host(), "generation": generation})
    os.pwrite(fd, note.encode(), 0)
    os.ftruncate(fd, len(note))
    return fd


def check_not_busy(sweep: str, *, patience_s: float = 0.0) -> None:
    """Refuse to touch a sweep that another process feeds, and for which it has been waited `patience_s` seconds.

    Raises:
        LaunchError: If another process feeds the sweep.
    """
    deadline = time.monotonic() + patience_s
    while read_queue_owner(sweep) is not None:
        _wait(sweep, deadline)


def _wait(sweep: str, deadline: float) -> None:
    """Wait a moment for the process that feeds a sweep; after the deadline, raise an error that names it."""
    if time.monotonic() < deadline:
        time.sleep(_POLL_S)
        return
    deadline = time.monotonic() + _NOTE_S
    while (owner := read_queue_owner(sweep) or QueueOwner()).pid is None and time.monotonic() < deadline:
        time.sleep(0.01)  # it has the lock, and is about to write who it is
    who, name = f"process {owner.pid} on {owner.host}" if owner.pid else "another process", os.path.basename(sweep)
    raise LaunchError(f"the sweep {name} is being run by {who}", hint=f"launch watch {name}, or launch cancel {name}")
