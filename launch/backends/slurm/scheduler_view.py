"""Ask Slurm about the runs of a sweep: which runs wait, which jobs run, and how jobs ended."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from launch.backends.slurm.arrays import Array, live_arrays, users_of
from launch.backends.slurm.failed_start import FailedStarts
from launch.backends.slurm.job_ends import ask_accounting
from launch.backends.slurm.squeue import QueueRow, QueueSnapshot, cached
from launch.store.scheduler_view import SchedulerView


def read_queue(sweep: str) -> SchedulerView | None:
    """Return Slurm's answer about the sweep in a folder, at most `poll_s` old; None without arrays in the queue."""
    arrays = live_arrays(sweep)
    if not arrays:
        return None
    listing = cached(os.path.dirname(sweep), min(array.record.poll_s for array in arrays), users_of(arrays))
    seen = [array for array in arrays if not listing.hides(array.record)]
    starts = FailedStarts(sweep, seen, listing)
    return replace(
        scheduler_views(arrays, starts.queue),
        ends=lambda: {job: end.state for job, end in ask_accounting(seen).items()},
        find_failed_start=starts.find,
    )


def scheduler_views(arrays: Sequence[Array], listing: QueueSnapshot) -> SchedulerView:
    """Return the states that the queue has for the runs of a sweep's arrays. Pure.

    A run of an array that this queue cannot show counts as one that is in the queue, and its job as one that runs.
    """
    by_name = {array.record.name: array for array in arrays}
    tasks: dict[str, str] = {}
    retried: dict[str, int] = {}
    unseen: set[str] = set()
    running: set[str] = set()
    for array in arrays:
        if listing.hides(array.record):
            tasks |= {task.run_id: f"not visible from here: {array.place}" for task in array.record.tasks}
            retried |= {task.run_id: task.retried for task in array.record.tasks}
            unseen |= {task.run_id for task in array.record.tasks}
            running |= {f"{array.job}_{index}" for index in range(len(array.record.tasks))}
    jobs = {array.record.uuid: array.job for array in arrays}
    for row in listing.rows:
        array = by_name.get(row.name)
        runs = array.record.tasks if array is not None else ()
        for index in (index for index in row.tasks if index < len(runs)):
            own = runs[index]
            # Of two jobs of a run, the one of the newest retry counts; see `SchedulerView.has`.
            if own.retried >= retried.get(own.run_id, 0):
                tasks[own.run_id] = _why_it_waits(row, array, jobs)
                retried[own.run_id] = own.retried
                unseen.discard(own.run_id)
            if row.runs:
                running.add(f"{row.job}_{index}")
    return SchedulerView(
        tasks=tasks,
        retried=retried,
        unseen=frozenset(unseen),
        running=frozenset(running),
        taken=listing.taken,
        problem=listing.problem,
    )


def _why_it_waits(row: QueueRow, array: Array | None, jobs: Mapping[str, str | None]) -> str:
    """Return why the tasks of a row wait, in words; "" if they have started, or if Slurm does not say."""
    if row.is_held:  # a submission releases its arrays at its end
        return row.held_by if array is not None and array.released else "held until its submission is complete"
    if row.runs or row.reason == "None":
        return ""
    if row.reason == "JobArrayTaskLimit":
        at_once = "" if row.throttle is None else f": {row.throttle:,} of job {row.job} at once"
        return f"max_parallel{at_once}"
    if row.reason == "Dependency":
        waits = (jobs.get(name.partition("_")[0]) for name in (array.record.waits if array is not None else ()))
        before = ", ".join(dict.fromkeys(job for job in waits if job is not None))
        if before:
            return f"waits for job {before}"
        why = "max_parallel: " if array is not None and array.record.throttle is not None else ""
        return f"{why}waits for another job, which `squeue -j {row.job} -o %E` names"
    return row.reason
