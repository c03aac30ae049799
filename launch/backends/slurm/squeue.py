"""Slurm's queue a moment ago: one `squeue` for all sweeps, shared by every process of a user through a file."""

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

# Job or array with its tasks, state, why it waits, nodes, name. The name comes last, since it may contain `|`.
FORMAT = "%i|%T|%r|%N|%j"

# A job in one of these states still runs, or may write.
RUNNING = frozenset(
    {"RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"}
)
_HELD_BY_PERSON = frozenset({"JobHeldUser", "JobHeldAdmin"})  # `sbatch --hold` counts as the user
# Slurm itself holds a job that a node could not start.
_HELD = _HELD_BY_PERSON | {"launch failed requeued held", "job requeued in held state"}


@dataclass(frozen=True)
class QueueRow:
    """One line of `squeue`: a job, a task of an array, or all tasks of an array that wait."""

    job: str  # the job's number; an array's own, not that of its task
    tasks: tuple[int, ...]  # the tasks it stands for; empty for a job without an array
    throttle: int | None  # how many tasks of the array may run at once; None if the line does not say
    state: str  # Slurm's word
    reason: str  # why it waits
    nodes: str  # where it runs
    name: str  # the job's name

    @property
    def runs(self) -> bool:
        """Whether it runs, or may still write."""
        return self.state in RUNNING

    @property
    def is_held(self) -> bool:
        """Whether it waits to be released."""
        return self.state == "PENDING" and self.reason.replace("_", " ") in _HELD

    @property
    def is_held_by_person(self) -> bool:
        """Whether it waits to be released and a person, or `sbatch --hold`, holds it."""
        return self.state == "PENDING" and self.reason in _HELD_BY_PERSON


@dataclass(frozen=True, kw_only=True)
class QueueSnapshot:
    """What `squeue` said of this user's jobs."""

    rows: tuple[QueueRow, ...] = ()  # its lines
    taken: float = 0.0  # when it was asked, seconds since the epoch; 0 if it never answered
    problem: str | None = None  # why it could not be asked now; None if the listing is as fresh as was wanted

    @property
    def count(self) -> int:
        """How many tasks and other jobs the queue holds."""
        return sum(max(1, len(row.tasks)) for row in self.rows)


def ask() -> QueueSnapshot:
    """Ask `squeue` now.

    Raises:
        BackendError: If it does not answer.
    """
    taken = time.time()
    answer = run_client(["squeue", "-h", "-u", str(os.getuid()), "-o", FORMAT])
    return QueueSnapshot(rows=tuple(parse_rows(answer)), taken=taken)


def cached(root: str, max_age_s: float = POLL_S) -> QueueSnapshot:
    """Return the queue as it was at most `max_age_s` seconds ago; older, with the problem, if Slurm does not answer.

    Args:
        root: The folder of all sweeps, which also holds the shared file.
        max_age_s: Seconds within which no process asks Slurm again.
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
        BackendError: If it does not answer.
    """
    return _ask_and_share(os.path.join(root, FOLDER))


def invalidate(root: str) -> None:
    """Make the next look ask Slurm: the queue was changed."""
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
    """Wait for this process's turn to ask; return None if the folder cannot be written."""
    try:
        os.makedirs(folder, exist_ok=True)
        return acquire(os.path.join(folder, _LOCK), wait=True)
    except (OSError, StoreError):
        return None


def parse_rows(text: str) -> list[QueueRow]:
    """Return the rows of `squeue -h -o FORMAT`; other lines are left out."""
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
    """Read `12`, `12_3`, or `12_[0-4,7,10-20:2%5]`."""
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
    """Return tasks of an array as a client command takes them: `12_[0-4,7]`."""
    spans = _spans(sorted(tasks))
    return f"{job}_[{','.join(str(a) if a == b else f'{a}-{b}' for a, b in spans)}]"


def _spans(tasks: Sequence[int]) -> list[list[int]]:
    """Return the first and the last of each unbroken row of numbers."""
    spans: list[list[int]] = []
    for task in tasks:
        if spans and task == spans[-1][1] + 1:
            spans[-1][1] = task
        else:
            spans.append([task, task])
    return spans
