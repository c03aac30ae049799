"""Where the runs of a sweep stand that come before others: what in the queue waits in vain, and what may come now."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress

from launch.backends.slurm.arrays import Array, ArrayRecord, array_path, read_array
from launch.backends.slurm.client import ClientError, run_client
from launch.backends.slurm.job_dependencies import (
    Requirements,
    find_positions,
    find_requirements,
    is_tied_to_jobs,
    may_still_succeed,
    pending_tasks,
)
from launch.backends.slurm.squeue import QueueSnapshot
from launch.errors import StoreError
from launch.store.dependencies import DependencyGraph
from launch.store.manifest import Manifest
from launch.store.state import State
from launch.store.store import SweepStore
from launch.store.view import RunView

# Of these something becomes without anybody's doing.
_ALIVE = (State.RUNNING, State.PENDING)


class QueueState:
    """Where the runs of a sweep stand at one moment.

    Args:
        folder: The sweep's folder.
        arrays: Its arrays that are in the queue.
        listing: The queue.
        sweep: The sweep.
        manifest: What lists its runs.

    Attributes:
        spots: Where runs stand in the queue that are going to start, or have.
    """

    def __init__(
        self, folder: str, arrays: Sequence[Array], listing: QueueSnapshot, sweep: SweepStore, manifest: Manifest
    ) -> None:
        self._folder = folder
        self._arrays = arrays
        self._listing = listing
        self._sweep = sweep
        self._manifest = manifest
        self._before = DependencyGraph(manifest)
        self._views: dict[str, RunView] = {}
        self._records = {array.record.uuid: array.record for array in arrays}
        self.spots = find_positions(arrays, listing)
        if manifest.has_dependencies:
            # A job on its way out may be listed still, of a run that is to be submitted anew.
            self.spots = {run_id: spot for run_id, spot in self.spots.items() if self._state(run_id) in _ALIVE}

    def refresh(self, run_id: str) -> RunView:
        """Return the view of a run, as it was when it was first asked for."""
        if run_id not in self._views:
            self._views[run_id] = self._sweep.view_of(self._manifest.listed[run_id], fed=False)
        return self._views[run_id]

    def requirements(self, run_ids: Iterable[str]) -> Requirements:
        """Return what runs wait for."""
        return find_requirements(run_ids, self._before, self._state)

    def submittable(self, waiting: Collection[str]) -> tuple[list[str], int]:
        """Return what may be submitted now, in its order, and how much there is to come with no doing of a person's.

        Args:
            waiting: The runs that are to be submitted.
        """
        needs = self.requirements(waiting)
        alive = {run_id for runs in needs.left.values() for run_id in runs if self._state(run_id) in _ALIVE}
        there = alive & self.spots.keys()
        in_turn = [run_id for level in needs.levels(waiting, there) for run_id in level]
        return in_turn, sum(len(level) for level in needs.levels(waiting, alive))

    def stale_jobs(self) -> dict[str, list[str]]:
        """Return the jobs of arrays that wait in vain, or not for all that comes before, each with its waiting runs.

        A run that failed and is tried again stands in another array than the one that is waited for.
        """
        pending = {array.record.uuid: pending_tasks(array, self._listing) for array in self._arrays}
        needs = self.requirements(run_id for own in pending.values() for run_id in own)
        found: dict[str, list[str]] = {}
        for array in self._arrays:
            own = [run_id for run_id in pending[array.record.uuid] if run_id in self._manifest.listed]
            if own and array.job is not None and not self._waits_well(array, own, needs):
                found[array.job] = own
        return found

    def _waits_well(self, array: Array, own: list[str], needs: Requirements) -> bool:
        """Say whether an array waits for what it must, and not in vain."""
        more = array.record.throttle is not None or any(header.after for header in self._manifest.headers.values())
        if array.record.waits and not more and needs.keys.keys().isdisjoint(own):
            # Its turn has come. A controller that was killed may call a job failed whose run has succeeded. With `more`
            # it may wait for something else, such as another array that fills its room.
            rows = (row for row in self._listing.rows if row.name == array.record.name)
            return not any(row.reason.startswith("Dependency") for row in rows)
        return is_tied_to_jobs(array.record, own, needs, self.spots) and self._may_begin(array.record)

    def _may_begin(self, record: ArrayRecord) -> bool:
        """Say whether all that an array waits for has ended well, or can still."""
        for tie in record.waits:
            with suppress(StoreError):
                before = self._record(tie.partition("_")[0])
                if not may_still_succeed(tie, before, self.spots, self._state):
                    return False
        return True

    def _record(self, uuid: str) -> ArrayRecord:
        """Return the record of an array that is in the queue, or was."""
        if uuid not in self._records:
            self._records[uuid] = read_array(array_path(self._folder, uuid))
        return self._records[uuid]

    def _state(self, run_id: str) -> State:
        # An array may hold a run whose line in the manifest cannot be read.
        return self.refresh(run_id).state if run_id in self._manifest.listed else State.LOST


def cancel_pending(jobs: Collection[str]) -> None:
    """Take what waits of some arrays out of the queue. A task that begins in between finds out by itself, and leaves.

    Raises:
        BackendError: Where Slurm does not answer.
    """
    with suppress(ClientError):  # gone since
        run_client(["scancel", "--state=PENDING", *jobs])
