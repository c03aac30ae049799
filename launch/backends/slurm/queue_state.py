"""The runs of a sweep and its arrays in the queue: find runs to submit, and jobs whose dependencies are out of date."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import final

from launch.backends.slurm.arrays import Array
from launch.backends.slurm.cluster_identity import own_name
from launch.backends.slurm.job_dependencies import find_positions, pending_tasks
from launch.backends.slurm.scheduler_view import scheduler_views
from launch.backends.slurm.squeue import QueueSnapshot
from launch.store.dependencies import OpenRequirements
from launch.store.state import State
from launch.store.sweep_state import SweepState
from launch.store.view import RunView

# Runs in these states need no action of the user.
_ALIVE = (State.RUNNING, State.PENDING)


@final
class QueueState:
    """A sweep and its tasks in the queue, at one moment.

    Args:
        sweep: The sweep.
        arrays: Its arrays that are in the queue.
        listing: The queue.

    Attributes:
        manifest: The manifest of the sweep.
        listing: The queue.
        positions: The positions of the runs that are in the queue.
    """

    def __init__(self, sweep: SweepState, arrays: Sequence[Array], listing: QueueSnapshot) -> None:
        self.manifest = sweep.manifest
        self.listing = listing
        self._arrays = arrays
        # The views must use the same listing as the positions, so that they agree.
        self._sweep = SweepState(sweep.folder, sweep.manifest, lambda _: scheduler_views(arrays, listing), fed=())
        self.positions = find_positions(arrays, listing)
        if sweep.manifest.has_dependencies:
            # Slurm may still list a job that is about to end, and its run is to be submitted again.
            self.positions = {run: at for run, at in self.positions.items() if self._state(run) in _ALIVE}

    def view(self, run_id: str) -> RunView:
        """Return the view of a run, read once."""
        return self._sweep.view(run_id)

    def _state(self, run_id: str) -> State:
        # An array may contain a run whose manifest line cannot be read.
        return self.view(run_id).state if run_id in self.manifest.listed else State.LOST

    def unmet(self, run_ids: Iterable[str]) -> OpenRequirements:
        """Return the unmet requirements of runs."""
        return self._sweep.dependencies.open_requirements(run_ids, self._state)

    def submittable(self, waiting: Collection[str]) -> tuple[list[str], int]:
        """Return the runs that may be submitted now, in order, and the number of runs that may be submitted at all.

        Args:
            waiting: The runs that are left to submit. A run does not count if a predecessor is neither among these nor
                pending or running. It is not in the list if a pending or running predecessor has no task in the queue.
        """
        unmet = self.unmet(waiting)
        alive = {run_id for runs in unmet.left.values() for run_id in runs if self._state(run_id) in _ALIVE}
        ready = [run_id for level in unmet.levels(waiting, alive & self.positions.keys()) for run_id in level]
        return ready, sum(len(level) for level in unmet.levels(waiting, alive))

    def stale_jobs(self) -> dict[str, list[str]]:
        """Return the jobs in the queue whose dependencies are out of date, each with its waiting runs.

        After a failed run was submitted again, it is in another array. A job that waits for the old array never begins.
        """
        if not self.manifest.has_dependencies:
            return {}
        found: dict[str, list[str]] = {}
        for array in self._arrays:
            if array.record.user not in (None, own_name()):
                continue  # only its user may cancel it
            pending = [run for run in pending_tasks(array, self.listing).values() if run in self.manifest.listed]
            if pending and array.job is not None and not self._waits_rightly(array, pending):
                found[array.job] = pending
        return found

    def _waits_rightly(self, array: Array, pending: list[str]) -> bool:
        """Return whether an array waits for the jobs that now execute the predecessors of its runs."""
        record = array.record
        left = {run_id for runs in self.unmet(pending).left.values() for run_id in runs}
        if left:
            places = [self.positions.get(run_id) for run_id in left]
            return all(at is not None and not {at.array, at.task}.isdisjoint(record.waits) for at in places)
        waits_for_others = any(one.after or one.max_parallel for one in self.manifest.headers.values())
        if not record.waits or waits_for_others:
            return True
        # All predecessors have succeeded, but Slurm may not know: a controller that was killed may call a job failed.
        rows = (row for row in self.listing.rows if row.name == record.name)
        return not any(row.reason.startswith("Dependency") for row in rows)

    def without(self, jobs: Collection[str]) -> QueueState:
        """Return the state after the waiting tasks of some jobs have left the queue."""
        return QueueState(self._sweep, self._arrays, without_pending(self.listing, jobs))


def without_pending(listing: QueueSnapshot, jobs: Collection[str]) -> QueueSnapshot:
    """Return the queue without the waiting tasks of some jobs."""
    return replace(listing, rows=tuple(row for row in listing.rows if row.job not in jobs or row.runs))
