"""Jobs that ended before their supervisor had begun: each counts as an attempt that failed to start.

Such a job has left the queue, and no attempt has its number. Its log tells why if a line of `setup` failed, or if the
supervisor cannot be executed on that node. Otherwise Slurm says how the job ended. A task that was cancelled or
preempted, or that had nothing to do, has not failed.

Readers derive the attempt from these files; a process that submits writes it to the run's folder, once.
"""

from __future__ import annotations

import os
import re
import signal as signals
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import final

from launch.backends.slurm.arrays import MARK, Array, array_path, task_log
from launch.backends.slurm.cluster_identity import own_name
from launch.backends.slurm.job_ends import JobEnd, ask_accounting, ask_controller
from launch.backends.slurm.squeue import QueueRow, QueueSnapshot, task_words
from launch.errors import printable
from launch.store.attempts import attempt_numbers, attempt_path, find_attempt
from launch.store.cancel_mark import is_cancelled
from launch.store.claims import place_ended_attempt
from launch.store.files import fault_point
from launch.store.manifest import read_header, was_removed_since
from launch.store.records import AttemptRecord, ManifestHeader
from launch.store.run_result import has_result
from launch.store.scheduler_view import FailedStart
from launch.store.state import Reason
from launch.supervise.outcome import Outcome
from launch.supervise.retry_policy import may_retry

# Ends that are not a failure of the job itself: the run is submitted again.
_INNOCENT = ("CANCELLED", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "REVOKED")
_TAIL_BYTES = 1 << 13
_SAID = re.compile(rf"{MARK}([^:]*): (.*)")
_NOT_SAID = re.compile(rf"{MARK}|\++ ")  # lines of this launcher's shell lines, and what `set -x` prints
_ENDED_WITH = re.compile(r" ended with (\d+)$")
_SHELL = re.compile(r"^\S*slurm_script: (?:line \d+: )?")
# What Slurm writes to the log of a job that it ends.
_SCANCEL = re.compile(r"CANCELLED AT \S+ \*\*\*")
_CANCELLED = re.compile(r"CANCELLED AT \S+( DUE TO TIME LIMIT)?")


@dataclass(frozen=True, kw_only=True)
class _Why:
    """Why a job ended before the run started."""

    message: str  # begins after the number of the job
    exit_code: int | None
    node: str | None
    reason: Reason = Reason.START
    signal: int | None = None


@final
class FailedStarts:
    """Finds the failed starts of a sweep.

    Commands that only read, and the one that records failed starts, get the same answer from here.

    Args:
        sweep: The sweep's folder.
        arrays: Its arrays that may have tasks in the queue, oldest first.
        listing: The queue.

    Attributes:
        stuck_tasks: Tasks, such as `12_[3]`, that Slurm holds because their node could not start them, and whose log
            says why. They count as failed starts and must not be released: the prolog would fail on the next node,
            and Slurm would take that node out of service too. Cancel them before `record` is called.
        queue: The queue without these tasks.
    """

    def __init__(self, sweep: str, arrays: Sequence[Array], listing: QueueSnapshot) -> None:
        self._sweep = sweep
        self._arrays = arrays
        self._gone: dict[str, tuple[Array, int]] = {}  # run id to the array that had it last, and its index there
        stuck = _find_stuck(sweep, arrays, listing)
        self._stuck = {f"{row.job}_{index}" for row in stuck for index in row.tasks}
        self.stuck_tasks = [task_words(row.job, row.tasks) for row in stuck]
        self.queue = replace(listing, rows=tuple(row for row in listing.rows if row not in stuck))
        queued: dict[str, set[int]] = {}
        for row in self.queue.rows:
            queued.setdefault(row.name, set()).update(row.tasks)
        for array in arrays if listing.problem is None else ():
            if not listing.hides(array.record) and _was_released(sweep, array, listing.taken):
                own = queued.get(array.record.name, set[int]())
                for index, task in enumerate(array.record.tasks):
                    if index in own:
                        self._gone.pop(task.run_id, None)
                    else:
                        self._gone[task.run_id] = array, index

    def find(self, run_id: str) -> FailedStart | None:
        """Return the failed start of a run that is newer than its recorded attempts; None without one."""
        if run_id not in self._gone:
            return None
        array, index = self._gone[run_id]
        run_dir, job, log = os.path.join(self._sweep, run_id), f"{array.job}_{index}", _log(self._sweep, array, index)
        earlier, said = attempt_numbers(run_dir), _last_lines(log)
        last = find_attempt(attempt_path(run_dir, earlier[-1])) if earlier else None
        if earlier and (last is None or not (job in self._stuck or _is_newer(last, array, job, log, said))):
            return None
        why = _told(said)
        if job in self._stuck:
            why = _Why(message=f"could not be started by its node: {said[-1]}", exit_code=None, node=None)
        elif why is None and (last is None or last.job_id != job):
            why = self._asked(array, index, log, said)
        if why is None:
            return None
        if was_removed_since(self._sweep, array.record.generation, run_id):
            return None  # the user has deleted that run, and then submitted the same one
        number = earlier[-1] + 1 if earlier else 0
        record = _record(self._sweep, array, index, number, why, _mtime(log) or time.time())
        return FailedStart(record=record, log=log)

    def record(self) -> None:
        """Write each failed start to the folder of its run. Only a process that may submit runs calls this.

        Raises:
            StoreError: If a folder cannot be written.
        """
        for run_id, (array, index) in self._gone.items():
            run_dir = os.path.join(self._sweep, run_id)
            if has_result(run_dir) or is_cancelled(run_dir, retried=array.record.tasks[index].retried):
                continue
            if (found := self.find(run_id)) is not None:
                place_ended_attempt(run_dir, found.record, found.log)
                fault_point("start.recorded")

    def _asked(self, array: Array, index: int, log: str, said: Sequence[str]) -> _Why | None:
        """Return why a job ended, from Slurm's answer and its log; None if it did not fail."""
        begun, job = os.path.exists(log), f"{array.job}_{index}"
        if not begun and os.path.exists(task_log(self._sweep, array.record.uuid, index, "early.log")):
            return None
        end = ask_accounting(self._arrays).get(job) or ask_controller(array).get(job) or _end_in_log(begun, said)
        code, _, signal = (end.exit_code if end else "").partition(":")
        if end is None or end.state.split(" ")[0] in _INNOCENT or code == str(int(Outcome.RETRY)):
            return None
        if end.state == "COMPLETED" and not begun:  # the run had a result, or another process worked on it
            return None
        words = [] if end.state in ("", "FAILED", "COMPLETED") else [f"as {end.state}"]
        # Slurm has own codes above the signals, such as 0:53 for a log that cannot be opened.
        killed_by = int(signal) if end.state == "FAILED" and signal.isdigit() and 0 < int(signal) <= 31 else None
        words += [f"with signal {killed_by}"] if killed_by else []
        shown = code if signal in ("", "0") else end.exit_code
        words += [f"with exit code {shown}"] if code.isdigit() and (int(code) or not words) else []
        where = f"on {end.node} " if end.node else ""
        detail = (
            f": {_SHELL.sub('', said[-1])}"
            if said
            else ""
            if begun
            else f"; it has no log: perhaps its node does not see {self._sweep}"
        )
        message = f"{where}ended {' '.join([*words, 'before the run started'])}{detail}"
        return _Why(
            message=message,
            exit_code=int(code) if code.isdigit() and not killed_by else None,
            node=end.node or None,
            reason=Reason.KILLED if killed_by == signals.SIGKILL else Reason.START,
            signal=killed_by,
        )


def _find_stuck(sweep: str, arrays: Sequence[Array], listing: QueueSnapshot) -> frozenset[QueueRow]:
    uuids = {array.record.name: array.record.uuid for array in arrays}
    own = own_name()  # only the owner of a job may cancel it
    rows = (row for row in listing.rows if row.launch_failed and row.name in uuids and row.user == own)
    return frozenset(
        row for row in rows if any(_last_lines(task_log(sweep, uuids[row.name], index)) for index in row.tasks)
    )


def _was_released(sweep: str, array: Array, taken: float) -> bool:
    """Return whether an array could begin before the queue was read."""
    since = _mtime(array_path(sweep, array.record.uuid, "released" if array.released else "job"))
    return array.job is not None and since is not None and since < taken


def _log(sweep: str, array: Array, index: int) -> str:
    """Return the log of a task. An older version of the launcher has one log for all tasks of an array."""
    own, shared = task_log(sweep, array.record.uuid, index), array_path(sweep, array.record.uuid, "log")
    return shared if not os.path.exists(own) and os.path.exists(shared) else own


def _is_newer(last: AttemptRecord, array: Array, job: str, log: str, said: Sequence[str]) -> bool:
    """Return whether a job that has ended failed to start after an attempt: after a requeue, or in a later array."""
    if last.job_id != job:
        return last.started < array.record.created
    written = _mtime(log)
    return last.ended is not None and written is not None and written > last.ended and _told(said) is not None


def _told(said: Sequence[str]) -> _Why | None:
    """Return why a job ended, if its batch shell has told it at the end of the log."""
    if any(_SCANCEL.search(line) for line in said):  # the shell cannot always tell a signal from a failure
        return None
    said = [line for line in said if not line.startswith("slurmstepd")]
    match = _SAID.match(said[-1]) if said else None
    if match is None:
        return None
    node, message = match.groups()
    code = _ENDED_WITH.search(message)
    before = next((_SHELL.sub("", line) for line in reversed(said[:-1]) if not _NOT_SAID.match(line)), None)
    detail = f": {before}" if before else ""
    return _Why(message=f"on {node}: {message}{detail}", exit_code=int(code[1]) if code else None, node=node)


def _end_in_log(begun: bool, said: Sequence[str]) -> JobEnd | None:
    """Return how a job ended that Slurm has forgotten, from its log; None if it was cancelled or never began."""
    cut = next((match for line in reversed(said) if (match := _CANCELLED.search(line))), None)
    if not begun or (cut is not None and cut[1] is None):
        return None
    return JobEnd("TIMEOUT" if cut else "")


def _record(sweep: str, array: Array, index: int, number: int, why: _Why, ended: float) -> AttemptRecord:
    """Return the record of an attempt that failed to start."""
    task, job = array.record.tasks[index], f"{array.job}_{index}"
    header, path = _header(sweep, task.generation), attempt_path(os.path.join(sweep, task.run_id), number)
    return AttemptRecord(
        attempt=number,
        generation=task.generation,
        backend=header.backend,
        profile=array.record.profile,
        runtime=header.runtime,
        image=header.image,
        snapshot=header.snapshot,
        resources=array.record.resources,
        command=(),
        threads=None,
        devices=(),
        host=why.node or "",
        boot_id="",
        pid=0,
        pid_start=0,
        job_id=job,
        node=why.node,
        started=ended,
        ended=ended,
        reason=why.reason,
        exit_code=why.exit_code,
        signal=why.signal,
        message=printable(f"job {job} {why.message}"),
        retry=may_retry(header.retry, why.reason, path, since=task.retried),
    )


@lru_cache
def _header(sweep: str, generation: int) -> ManifestHeader:
    return read_header(sweep, generation)


def _last_lines(log: str) -> list[str]:
    """Return the last lines of a log that are not empty, without control characters at their ends."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            return [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        return []


def _mtime(path: str) -> float | None:
    with suppress(OSError):
        return os.stat(path).st_mtime
    return None
