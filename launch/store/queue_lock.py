"""The lock of a sweep's queue: one process at a time feeds the sweep, that is, starts or submits its runs."""

from __future__ import annotations

import json
import os
import time
from typing import NamedTuple

from launch.errors import LaunchError
from launch.store.files import read_bytes
from launch.store.locks import acquire, is_held
from launch.store.processes import host
from s5.run_dir.json_file import parse_json

_FILE = "queue.lock"  # in the sweep's folder
_NOTE_S = 1.0  # how long a process with the lock may take to write its pid into the file
_POLL_S = 0.05

# How long to wait for another process that submits to a scheduler: longer than an sbatch may take.
SUBMIT_PATIENCE_S = 130.0


class QueueOwner(NamedTuple):
    """The process that feeds a sweep. All fields are None if the lock file cannot be read."""

    pid: int | None = None
    host: str | None = None
    generation: int | None = None  # the generation that it feeds


def read_queue_owner(sweep: str) -> QueueOwner | None:
    """Return the process that feeds a sweep; None without such a process.

    Args:
        sweep: The sweep's folder, `runs/<sweep>`, as in all functions here.
    """
    path = os.path.join(sweep, _FILE)
    if not is_held(path):
        return None
    try:
        note = parse_json(read_bytes(path))
        return QueueOwner(pid=int(note["pid"]), host=str(note["host"]), generation=int(note["generation"]))
    except (OSError, ValueError, KeyError, TypeError):
        return QueueOwner()


def lock_queue(sweep: str, generation: int, *, patience_s: float = 0.0) -> int:
    """Take the lock of a sweep's queue: from then on only this process feeds the sweep.

    Args:
        sweep: The sweep's folder.
        generation: The generation that this process feeds.
        patience_s: Seconds to wait for another process to finish.

    Returns:
        The descriptor that holds the lock; close it to release the lock.

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
    """Raise if another process feeds a sweep and has not finished after `patience_s` seconds.

    Raises:
        LaunchError: If another process feeds the sweep.
    """
    deadline = time.monotonic() + patience_s
    while read_queue_owner(sweep) is not None:
        _wait(sweep, deadline)


def _wait(sweep: str, deadline: float) -> None:
    """Sleep for a moment; after the deadline, raise an error that names the process that feeds the sweep."""
    if time.monotonic() < deadline:
        time.sleep(_POLL_S)
        return
    deadline = time.monotonic() + _NOTE_S
    while (owner := read_queue_owner(sweep) or QueueOwner()).pid is None and time.monotonic() < deadline:
        time.sleep(0.01)  # it has the lock, and is about to write its pid
    who, name = f"process {owner.pid} on {owner.host}" if owner.pid else "another process", os.path.basename(sweep)
    raise LaunchError(
        f"the sweep {name} is being run by {who}",
        hint=f"`launch watch {name}` shows it, `launch cancel {name}` stops it",
    )
