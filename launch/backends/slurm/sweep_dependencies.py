"""What a sweep waits for that comes after others: the jobs of theirs that are in the queue."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from launch.backends.slurm.arrays import live_arrays
from launch.backends.slurm.scheduler_view import read_queue
from launch.backends.slurm.squeue import QueueSnapshot
from launch.errors import LaunchError
from launch.results.latest import current_views
from launch.store.state import State
from launch.store.store import SweepStore


def jobs_of_predecessors(root: Path, names: Sequence[str], listing: QueueSnapshot) -> list[str]:
    """Return the jobs that must end well before a sweep's own may begin; none where all runs have succeeded.

    Args:
        root: The folder of all sweeps.
        names: The sweeps that it comes after.
        listing: The queue.

    Raises:
        LaunchError: Where a run of theirs is not going to succeed without somebody's doing.
    """
    jobs: list[str] = []
    for name in names:
        sweep = SweepStore(root / name, read_queue)
        left = [view for view in current_views(sweep.state()) if view.state is not State.SUCCEEDED]
        stuck = [view for view in left if view.state not in (State.PENDING, State.RUNNING)]
        if stuck:
            state = stuck[0].state
            raise LaunchError(
                f"the sweep {name}, which this one comes after, will not succeed: {stuck[0].run_id} is {state}",
                hint=f"`launch status {name}` shows why; mend it, then type the command again",
            )
        if left:
            own = {array.record.name for array in live_arrays(os.fspath(sweep.path))}
            jobs += dict.fromkeys(row.job for row in listing.rows if row.name in own)
    return jobs
