"""What Slurm knows of a sweep's runs that their files cannot: who waits, and which jobs are at work."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from launch.backends.slurm.arrays import Array, live_arrays
from launch.backends.slurm.sacct import read_job_ends
from launch.backends.slurm.squeue import QueueSnapshot, cached
from launch.store.scheduler_view import SchedulerView


def read_queue(sweep: str) -> SchedulerView | None:
    """Return what Slurm knows of a sweep, at most one poll old; None for a sweep that has nothing there.

    Args:
        sweep: Its folder.
    """
    arrays = live_arrays(sweep)
    if not arrays:
        return None
    listing = cached(os.path.dirname(sweep), min(array.record.poll_s for array in arrays))
    return replace(scheduler_views(arrays, listing), ends=lambda: read_job_ends(arrays))


def scheduler_views(arrays: Sequence[Array], listing: QueueSnapshot) -> SchedulerView:
    """Return what a listing says of the runs of arrays. Pure.

    Args:
        arrays: The sweep's arrays that may have tasks in the queue.
        listing: The queue.
    """
    by_name = {array.record.name: array for array in arrays}
    tasks: dict[str, str] = {}
    running: set[str] = set()
    for row in listing.rows:
        runs = by_name[row.name].record.tasks if row.name in by_name else ()
        for index in (index for index in row.tasks if index < len(runs)):
            tasks[runs[index].run_id] = "" if row.runs or row.reason == "None" else row.reason
            if row.runs:
                running.add(f"{row.job}_{index}")
    return SchedulerView(tasks=tasks, running=frozenset(running), taken=listing.taken, problem=listing.problem)
