"""Read Slurm's queue with `squeue`: one call for all sweeps, which a user's processes share through a file."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass

from launch.backends.slurm.arrays import FOLDER, POLL_S
from launch.backends.slurm.client import run_client
from launch.errors import BackendError, StoreError
from launch.store.files import read_bytes, replace_file
from launch.store.locks import acquire

_CACHE = "queue.json"
_LOCK = "queue.lock"

# The job with its array tasks, state, reason, nodes, name. The name comes last, since it may contain `|`.
FORMAT = "%i|%T|%r|%N|%j"

# A job in one of these states still runs, or may still write files.
RUNNING = frozenset(
    {"RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"}
)
_HELD_BY_PERSON = frozenset({"JobHeldUser", "JobHeldAdmin"})  # also the reason after `sbatch --hold`
# The last two reasons: Slurm itself holds a job that a node could not start.
_HELD = _HELD_BY_PERSON | {"launch failed requeued held", "job requeued in held state"}


@dataclass(frozen=True)
class QueueRow:
    """One line of `squeue`: a job, a task of an array, or all tasks of an array that wait."""

    job: str  # the job's number; for a task, the number of its array
    tasks: tuple[int, ...]  # the indices of the array tasks in this line; empty for a job that is not an array
    throttle: int | None  # how many tasks of the array may run at once; None if the line does not say
    state: str  # Slurm's word for its state
    reason: str  # why it waits
    nodes: str  # the nodes that it runs on
    name: str  # the job's name

    @property
    def runs(self) -> bool:
        """Whether it runs, or may still write files."""
        return self.state in RUNNING

    @property
    def is_held(self) -> bool:
        """Whether it waits to be released."""
        return self.state == "PENDING" and self.reason.replace("_", " ") in _HELD

    @property
    def is_held_by_person(self) -> bool:
        """Whether a user or `sbatch --hold` holds it."""
        return self.state == "PENDING" and self.reason in _HELD_BY_PERSON


@dataclass(frozen=True, kw_only=True)
class QueueSnapshot:
    """The jobs of this user in the queue at one moment."""

    rows: tuple[QueueRow, ...] = ()  # the lines of `squeue`
    taken: float = 0.0  # when `squeue` was called, seconds since the epoch; 0 if it never answered
    problem: str | None = None  # why `squeue` did not answer now; None if the rows are as new as required

    @property
    def count(self) -> int:
        """The number of array tasks and other jobs in the queue."""
        return sum(max(1, len(row.tasks)) for row in self.rows)


def ask() -> QueueSnapshot:
    """Call `squeue` now and return the queue.

    Raises:
        BackendError: If Slurm does not answer.
    """
    taken = time.time()
    answer = run_client(["squeue", "-h", "-u", str(os.getuid()), "-o", FORMAT])
    return QueueSnapshot(rows=tuple(parse_rows(answer)), taken=taken)


def cached(root: str, max_age_s: float = POLL_S) -> QueueSnapshot:
    """Return a queue at most `max_age_s` seconds old; if Slurm does not answer, the last one, with the problem.

    Args:
        root: The folder of all sweeps, which also contains the shared file.
        max_age_s: The largest age of the shared file in seconds.
    """
    folder = os.path.join(root, FOLDER)
    found = _read(folder)
    if _is_fresh(found, max_age_s):
        return found
    lock = _lock(folder)
    try:
        found = _read(folder)  # another process may have asked while this one waited
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
        BackendError: If Slurm does not answer.
    """
    return _ask_and_share(os.path.join(root, FOLDER))


def invalidate(root: str) -> None:
    """Delete the shared file, so that the next reader asks Slurm: the queue was changed."""
    with suppress(OSError):
        os.unlink(os.path.join(root, FOLDER, _CACHE))


def _ask_and_share(folder: str) -> QueueSnapshot:
    listing = ask()
    with suppress(StoreError, OSError):  # without the file every process asks for itself
        os.makedirs(folder, exist_ok=True)
        rows = [[job, _spans(tasks), *rest] for job, tasks, *rest in map(astuple, listing.rows)]
        document = {"version": 1, "taken": listing.taken, "rows": rows}
        replace_file(os.path.join(folder, _CACHE), json.dumps(document).encode())
    return listing


def _read(folder: str) -> QueueSnapshot:
    try:
        document = json.loads(read_bytes(os.path.join(folder, _CACHE)))
        rows = (
            QueueRow(job, tuple(number for first, last in spans for number in range(first, last + 1)), *rest)
            for job, spans, *rest in document["rows"]
        )
        return QueueSnapshot(rows=tuple(rows), taken=float(document["taken"]))
    except (OSError, ValueError, KeyError, TypeError):
        return QueueSnapshot()


def _is_fresh(listing: QueueSnapshot, max_age_s: float) -> bool:
    return 0 <= time.time() - listing.taken <= max_age_s


def _lock(folder: str) -> int | None:
    """Wait for the lock that lets one process at a time ask; return None if the folder cannot be written."""
    try:
        os.makedirs(folder, exist_ok=True)
        return acquire(os.path.join(folder, _LOCK), wait=True)
    except (OSError, StoreError):
        return None


def parse_rows(text: str) -> list[QueueRow]:
    """Return the rows in the output of `squeue -h -o FORMAT`; lines in another format are left out."""
    rows: list[QueueRow] = []
    for line in text.splitlines():
        words = line.split("|", 4)
        if len(words) != 5:
            continue
        job, tasks, throttle = _read_id(words[0].strip())
        if job.isdigit():
            state, reason, nodes, name = (word.strip() for word in words[1:])
            rows.append(QueueRow(job, tasks, throttle, state, reason, nodes, name))
    return rows


def _read_id(text: str) -> tuple[str, tuple[int, ...], int | None]:
    """Return job, tasks and throttle of an id such as `12`, `12_3`, or `12_[0-4,7,10-20:2%5]`."""
    job, _, rest = text.partition("_")
    rest, _, throttle = rest.strip("[]").partition("%")
    limit = int(throttle) if throttle.isdigit() else None
    return job, tuple(number for part in rest.split(",") if part for number in _expand(part)), limit


def _expand(part: str) -> Iterator[int]:
    span, _, step = part.partition(":")
    first, _, last = span.partition("-")
    if first.isdigit() and (last or first).isdigit():
        yield from range(int(first), int(last or first) + 1, int(step or 1))


def task_words(job: str, tasks: Sequence[int]) -> str:
    """Return tasks of an array in the form that Slurm's client commands accept: `12_[0-4,7]`."""
    spans = _spans(sorted(tasks))
    return f"{job}_[{','.join(str(a) if a == b else f'{a}-{b}' for a, b in spans)}]"


def _spans(tasks: Sequence[int]) -> list[list[int]]:
    """Return the first and the last number of each unbroken sequence, such as `[[0, 4], [7, 7]]`."""
    spans: list[list[int]] = []
    for task in tasks:
        if spans and task == spans[-1][1] + 1:
            spans[-1][1] = task
        else:
            spans.append([task, task])
    return spans
