"""Ask Slurm about the runs of a sweep: which runs wait, which jobs run, and how jobs ended."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from launch.backends.slurm.arrays import Array, live_arrays, users_of
from launch.backends.slurm.client import run_client
from launch.backends.slurm.squeue import QueueRow, QueueSnapshot, cached
from launch.errors import BackendError
from launch.store.scheduler_view import SchedulerView

_GOING_ON = ("PENDING", "RUNNING", "REQUEUED", "SUSPENDED", "RESIZING")

# The answers of sacct about sets of jobs, with their time: `launch watch` would ask every two seconds.
_ends_of: dict[tuple[str, ...], tuple[float, dict[str, str]]] = {}


def read_queue(sweep: str) -> SchedulerView | None:
    """Return Slurm's answer about the sweep in a folder, at most `poll_s` old; None without arrays in the queue."""
    arrays = live_arrays(sweep)
    if not arrays:
        return None
    listing = cached(os.path.dirname(sweep), min(array.record.poll_s for array in arrays), users_of(arrays))
    seen = [array for array in arrays if not listing.hides(array.record)]
    return replace(scheduler_views(arrays, listing), ends=lambda: read_job_ends(seen))


def scheduler_views(arrays: Sequence[Array], listing: QueueSnapshot) -> SchedulerView:
    """Return what the queue says about the runs of a sweep's arrays. Pure.

    A run of an array that this queue cannot show counts as one that is in the queue, and its job as one that runs.
    """
    by_name = {array.record.name: array for array in arrays}
    tasks: dict[str, str] = {}
    unseen: dict[str, int] = {}
    running: set[str] = set()
    for array in arrays:
        if listing.hides(array.record):
            tasks |= {task.run_id: f"not visible from here: {array.place}" for task in array.record.tasks}
            unseen |= {task.run_id: task.retried for task in array.record.tasks}
            running |= {f"{array.job}_{index}" for index in range(len(array.record.tasks))}
    for row in listing.rows:
        array = by_name.get(row.name)
        runs = array.record.tasks if array is not None else ()
        for index in (index for index in row.tasks if index < len(runs)):
            tasks[runs[index].run_id] = _why_it_waits(row, released=array is not None and array.released)
            unseen.pop(runs[index].run_id, None)
            if row.runs:
                running.add(f"{row.job}_{index}")
    return SchedulerView(
        tasks=tasks, unseen=unseen, running=frozenset(running), taken=listing.taken, problem=listing.problem
    )


def _why_it_waits(row: QueueRow, *, released: bool) -> str:
    """Return why the tasks of a row wait, in words; "" if they have started, or if Slurm does not say."""
    if row.is_held:  # a submission releases its arrays at its end
        return row.held_by if released else "held until its submission is complete"
    return "" if row.runs or row.reason == "None" else row.reason


def read_job_ends(arrays: Sequence[Array]) -> Mapping[str, str]:
    """Return how tasks that left the queue ended: the `job_id` of an attempt to Slurm's word.

    One call of `sacct` answers for a sweep. Arrays of a cluster without accounting are missing. The result is empty if
    the accounting database does not answer.
    """
    known = [array for array in arrays if array.record.accounts and array.job is not None]
    jobs = tuple(array.job for array in known if array.job is not None)
    if not jobs:
        return {}
    asked, ends = _ends_of.get(jobs, (-1.0, {}))
    if asked < 0 or time.monotonic() - asked > min(array.record.poll_s for array in known):
        # Without a start time sacct leaves out jobs that began before midnight.
        since = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(min(array.record.created for array in known) - 60))
        words = ["sacct", "-n", "-P", "-X", "-D", "-S", since, "-j", ",".join(jobs), "-o", "JobID,State"]
        try:
            ends = parse_ends(run_client(words))
        except BackendError:
            ends = {}
        _ends_of[jobs] = time.monotonic(), ends
    return ends


def parse_ends(text: str) -> dict[str, str]:
    """Return the newest end of each job in the output of `sacct -n -P -o JobID,State`. Pure."""
    rows = (line.strip().split("|") for line in text.splitlines())
    return {row[0]: row[1] for row in rows if len(row) > 1 and row[1] and row[1].split()[0] not in _GOING_ON}
