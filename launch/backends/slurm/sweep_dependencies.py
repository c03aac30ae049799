"""What a sweep waits for that comes after other sweeps: the jobs of those in the queue."""

from __future__ import annotations

import os
from collections.abc import Sequence

from launch.backends.slurm.arrays import live_arrays
from launch.backends.slurm.scheduler_view import read_queue
from launch.backends.slurm.squeue import QueueSnapshot
from launch.errors import LaunchError
from launch.results.latest import runs_left
from launch.store.state import State
from launch.store.sweep_state import SweepState


def jobs_of_predecessors(root: str, names: Sequence[str], listing: QueueSnapshot) -> list[str]:
    """Return the jobs that must succeed before a sweep's own begin.

    Args:
        root: The folder of all sweeps.
        names: The sweeps that come first.
        listing: The queue.

    Raises:
        LaunchError: If a run of theirs will not succeed unless a person does something.
    """
    jobs: dict[str, None] = {}
    for name in names:
        folder = os.path.join(root, name)
        left = runs_left(SweepState.read(folder, read_queue))
        for view in left:
            if view.state not in (State.PENDING, State.RUNNING):
                raise LaunchError(
                    f"the sweep {name}, which this one comes after, will not succeed: {view.run_id} is {view.state}",
                    hint=f"`launch status {name}` shows why; mend it, then type the command again",
                )
        own = {array.record.name for array in live_arrays(folder)} if left else ()
        jobs |= dict.fromkeys(row.job for row in listing.rows if row.name in own)
    return list(jobs)
