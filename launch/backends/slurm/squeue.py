"""What the queue held a moment ago: one `squeue` for all sweeps, shared by every process of a user through a file."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass

from launch.backends.slurm.arrays import FOLDER, POLL_S
from launch.backends.slurm.client import run_client
from launch.backends.slurm.squeue_format import FORMAT, QueueRow, parse_rows
from launch.errors import BackendError, StoreError
from launch.store.files import read_bytes, replace_file
from launch.store.locks import acquire

_CACHE = "queue.json"
_LOCK = "queue.lock"


@dataclass(frozen=True, kw_only=True)
class QueueSnapshot:
    """What `squeue` said of this user's jobs.

    Attributes:
        rows: Its lines.
        taken: When it was asked, seconds since the epoch; 0 where it never answered.
        problem: Why it could not be asked now; None where the listing is as fresh as was wanted.
    """

    rows: tuple[QueueRow, ...] = ()
    taken: float = 0.0
    problem: str | None = None

    @property
    def count(self) -> int:
        """How many tasks and other jobs the queue holds."""
        return sum(max(1, len(row.tasks)) for row in self.rows)


def ask() -> QueueSnapshot:
    """Ask `squeue` now.

    Raises:
        BackendError: Where it does not answer.
    """
    taken = time.time()
    return QueueSnapshot(rows=tuple(parse_rows(run_client(_WORDS))), taken=taken)


_WORDS = ("squeue", "-h", "-u", str(os.getuid()), "-o", FORMAT)


def cached(root: str, max_age_s: float = POLL_S) -> QueueSnapshot:
    """Return the queue as it was at most so long ago.

    Args:
        root: The folder of all sweeps, which also holds the shared file.
        max_age_s: Seconds. Within them nobody asks Slurm again.

    Returns:
        The listing; an older one, with the problem said, where Slurm does not answer.
    """
    folder = os.path.join(root, FOLDER)
    found = _read(folder)
    if _is_fresh(found, max_age_s):
        return found
    lock = _lock(folder)
    try:
        found = _read(folder)  # somebody else may have asked while this process waited for its turn
        if lock is not None and _is_fresh(found, max_age_s):
            return found
        try:
            return _ask_and_share(folder)
        except BackendError as error:
            return QueueSnapshot(rows=found.rows, taken=found.taken, problem=error.message)
    finally:
        if lock is not None:
            os.close(lock)


def refresh(root: str) -> QueueSnapshot:
    """Ask `squeue` now, and share the answer.

    Raises:
        BackendError: Where it does not answer.
    """
    return _ask_and_share(os.path.join(root, FOLDER))


def invalidate(root: str) -> None:
    """See to it that whoever looks next asks Slurm: the queue was changed."""
    with suppress(OSError):
        os.unlink(os.path.join(root, FOLDER, _CACHE))


def _ask_and_share(folder: str) -> QueueSnapshot:
    listing = ask()
    with suppress(StoreError, OSError):  # a cache that cannot be written is none
        os.makedirs(folder, exist_ok=True)
        rows = [[r.job, _spans(r.tasks), r.throttle, r.state, r.reason, r.nodes, r.name] for r in listing.rows]
        document = {"version": 1, "taken": listing.taken, "rows": rows}
        replace_file(os.path.join(folder, _CACHE), json.dumps(document).encode())
    return listing


def _spans(tasks: tuple[int, ...]) -> list[list[int]]:
    spans: list[list[int]] = []
    for task in tasks:
        if spans and task == spans[-1][1] + 1:
            spans[-1][1] = task
        else:
            spans.append([task, task])
    return spans


def _read(folder: str) -> QueueSnapshot:
    try:
        document = json.loads(read_bytes(os.path.join(folder, _CACHE)))
        rows = tuple(
            QueueRow(
                job=job,
                tasks=tuple(number for first, last in spans for number in range(first, last + 1)),
                throttle=throttle,
                state=state,
                reason=reason,
                nodes=nodes,
                name=name,
            )
            for job, spans, throttle, state, reason, nodes, name in document["rows"]
        )
        return QueueSnapshot(rows=rows, taken=float(document["taken"]))
    except (OSError, ValueError, KeyError, TypeError):
        return QueueSnapshot()


def _is_fresh(listing: QueueSnapshot, max_age_s: float) -> bool:
    return 0 <= time.time() - listing.taken <= max_age_s


def _lock(folder: str) -> int | None:
    """Wait for this process's turn to ask; None where the folder cannot be written."""
    try:
        os.makedirs(folder, exist_ok=True)
        return acquire(os.path.join(folder, _LOCK), wait=True)
    except (OSError, StoreError):
        return None
