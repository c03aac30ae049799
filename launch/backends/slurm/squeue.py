"""Read Slurm's queue with `squeue`: one call for all sweeps, which a user's processes share through a file.

The file belongs to one user and one cluster: others who look at the same folder of runs have files of their own.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, replace

from launch.backends.slurm.arrays import FOLDER, POLL_S, ArrayRecord
from launch.backends.slurm.client import run_client
from launch.backends.slurm.cluster_identity import ClusterIdentity, configuration_key, exists, own_name, read_identity
from launch.errors import BackendError, StoreError
from launch.store.files import read_bytes, replace_file
from launch.store.locks import acquire
from s5.run_dir.json_file import parse_json

# The job with its array tasks, state, reason, nodes, user, name. The name comes last, since it may contain `|`.
FORMAT = "%i|%T|%r|%N|%u|%j"

# A job in one of these states still runs, or may still write files.
RUNNING = frozenset(
    {"RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"}
)
_HELD_BY_ADMIN = "JobHeldAdmin"
# By `scontrol hold` and `scontrol requeuehold`; the first two are also the reason after `sbatch --hold`.
_HELD_BY_PERSON = frozenset({"JobHeldUser", _HELD_BY_ADMIN, "job requeued in held state"})
_MOST_TASKS = 10_000_000  # Slurm allows 4,000,000 in an array
_HELD_BY_SLURM = "launch failed requeued held"  # a node could not start it


@dataclass(frozen=True)
class QueueRow:
    """One line of `squeue`: a job, a task of an array, or all tasks of an array that wait."""

    job: str  # the job's number; for a task, the number of its array
    tasks: tuple[int, ...]  # the indices of the array tasks in this line; empty for a job that is not an array
    throttle: int | None  # how many tasks of the array may run at once; None if the line does not say
    state: str  # Slurm's word for its state
    reason: str  # why it waits
    nodes: str  # the nodes that it runs on
    user: str  # the name of its user
    name: str  # the job's name

    @property
    def runs(self) -> bool:
        """Whether it runs, or may still write files."""
        return self.state in RUNNING

    @property
    def is_held(self) -> bool:
        """Whether it waits to be released."""
        return self.is_held_by_person or self.launch_failed

    @property
    def launch_failed(self) -> bool:
        """Whether Slurm holds it because its node could not start it, for example because the prolog failed."""
        return self.state == "PENDING" and self._reason == _HELD_BY_SLURM

    @property
    def is_held_by_person(self) -> bool:
        """Whether a user or `sbatch --hold` holds it."""
        return self.state == "PENDING" and self._reason in _HELD_BY_PERSON

    @property
    def held_by(self) -> str:
        """Who holds it, and how it is released."""
        if self._reason == _HELD_BY_SLURM:
            return "held by Slurm, since a node could not start it: the sweep's command releases it"
        if self.reason == _HELD_BY_ADMIN:
            return f"held by an administrator: only an administrator can release it, with `scontrol release {self.job}`"
        return f"held by a user: `scontrol release {self.job}` releases it"

    @property
    def _reason(self) -> str:
        return self.reason.replace("_", " ")  # versions of Slurm differ in this


@dataclass(frozen=True, kw_only=True)
class QueueSnapshot:
    """The jobs of some users in the queue of a cluster at one moment."""

    rows: tuple[QueueRow, ...] = ()  # the lines of `squeue`
    taken: float = 0.0  # when `squeue` was called, seconds since the epoch; 0 if it never answered
    problem: str | None = None  # why `squeue` did not answer now; None if the rows are as new as required
    users: frozenset[str] = frozenset()  # the users whose jobs were asked for
    cluster: ClusterIdentity | None = None  # the cluster; None if it never answered

    @property
    def own_rows(self) -> list[QueueRow]:
        """The rows of this user's jobs."""
        return [row for row in self.rows if row.user == own_name()]

    @property
    def count(self) -> int:
        """The number of this user's array tasks and other jobs in the queue."""
        return sum(max(1, len(row.tasks)) for row in self.own_rows)

    def hides(self, record: ArrayRecord) -> bool:
        """Return whether an array cannot be seen in this queue: it is on another cluster, or of a private user."""
        if self.cluster is None or any(row.name == record.name for row in self.rows):
            return False
        elsewhere = record.cluster is not None and record.cluster != self.cluster.name
        return elsewhere or (self.cluster.hides_others and record.user not in (None, own_name()))


def ask(users: Collection[str] = (), cluster: ClusterIdentity | None = None) -> QueueSnapshot:
    """Call `squeue` now and return the queue.

    Args:
        users: The users whose jobs are listed besides those of this user.
        cluster: The cluster, if it is known already.

    Raises:
        BackendError: If Slurm does not answer.
    """
    taken, known = time.time(), frozenset({own_name(), *users})
    asked = ",".join(sorted(filter(exists, known)))  # squeue refuses a name that this machine does not know
    answer = run_client(["squeue", "-h", "-u", asked, "-o", FORMAT])
    cluster = cluster or read_identity()
    return QueueSnapshot(rows=tuple(parse_rows(answer)), taken=taken, users=known, cluster=cluster)


def cached(root: str, max_age_s: float = POLL_S, users: Collection[str] = ()) -> QueueSnapshot:
    """Return a queue at most `max_age_s` seconds old; if Slurm does not answer, the last one, with the problem.

    Args:
        root: The folder of all sweeps, which also contains the shared file.
        max_age_s: The largest age of the shared file in seconds.
        users: The users whose jobs are listed besides those of this user.
    """
    file = _shared_file(root)
    found = _read(file)
    if _is_fresh(found, max_age_s, users):
        return found
    lock = _lock(file)
    try:
        found = _read(file)  # another process may have asked while this one waited
        if lock is not None and _is_fresh(found, max_age_s, users):
            return found
        try:
            # Sweeps of several users are listed together, so that their readers do not replace each other's answer.
            return _ask_and_share(file, {*users, *found.users}, found.cluster)
        except BackendError as error:
            return replace(found, problem=error.message)
    finally:
        if lock is not None:
            os.close(lock)


def refresh(root: str, users: Collection[str] = ()) -> QueueSnapshot:
    """Ask `squeue` now, and share the answer; see `cached` for the arguments.

    Raises:
        BackendError: If Slurm does not answer.
    """
    return _ask_and_share(_shared_file(root), users, None)


def invalidate(root: str) -> None:
    """Delete the shared file, so that the next reader asks Slurm: the queue was changed."""
    with suppress(OSError):
        os.unlink(_shared_file(root))


def _shared_file(root: str) -> str:
    """Return the path of the file that this user's processes share for the cluster of this machine."""
    return os.path.join(root, FOLDER, f"queue-{os.getuid()}-{configuration_key()}.json")


def _ask_and_share(file: str, users: Collection[str], cluster: ClusterIdentity | None) -> QueueSnapshot:
    listing = ask(users, cluster)
    with suppress(StoreError, OSError):  # without the file every process asks for itself
        os.makedirs(os.path.dirname(file), exist_ok=True)
        rows = [[job, _spans(tasks), *rest] for job, tasks, *rest in map(astuple, listing.rows)]
        document = {"version": 1, "taken": listing.taken, "users": sorted(listing.users), "cluster": listing.cluster}
        replace_file(file, json.dumps({**document, "rows": rows}).encode())
    return listing


def _read(file: str) -> QueueSnapshot:
    try:
        document = parse_json(read_bytes(file))
        rows = (QueueRow(job, _numbers(spans), *rest) for job, spans, *rest in document["rows"])
        users, cluster = frozenset(document["users"]), ClusterIdentity(*document["cluster"])
        return QueueSnapshot(rows=tuple(rows), taken=float(document["taken"]), users=users, cluster=cluster)
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return QueueSnapshot()


def _numbers(spans: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Return the numbers of spans such as `[[0, 4], [7, 7]]`; raise ValueError for more than an array can have."""
    if sum(last - first + 1 for first, last in spans) > _MOST_TASKS:
        raise ValueError("more tasks than an array can have")
    return tuple(number for first, last in spans for number in range(first, last + 1))


def _is_fresh(listing: QueueSnapshot, max_age_s: float, users: Collection[str]) -> bool:
    return 0 <= time.time() - listing.taken <= max_age_s and listing.users.issuperset(users)


def _lock(file: str) -> int | None:
    """Wait for the lock that lets one process at a time ask; return None if the folder cannot be written."""
    try:
        os.makedirs(os.path.dirname(file), exist_ok=True)
        return acquire(file.removesuffix("json") + "lock", wait=True)
    except (OSError, StoreError):
        return None


def parse_rows(text: str) -> list[QueueRow]:
    """Return the rows in the output of `squeue -h -o FORMAT`; lines in another format are left out."""
    rows: list[QueueRow] = []
    for line in text.splitlines():
        words = line.split("|", 5)
        if len(words) != 6:
            continue
        job, tasks, throttle = _read_id(words[0].strip())
        if job.isdigit():
            state, reason, nodes, user, name = (word.strip() for word in words[1:])
            rows.append(QueueRow(job, tasks, throttle, state, reason, nodes, user, name))
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
