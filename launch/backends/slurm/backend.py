"""The Slurm backend: Slurm's queue contains the runs, so no process of the launcher has to wait."""

from __future__ import annotations

import itertools
import os
import shlex
import tempfile
import time
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import final

from launch.backends.base import SchedulerBackend, Submitted
from launch.backends.slurm import squeue
from launch.backends.slurm.arrays import Array, ArrayTask, live_arrays, users_of
from launch.backends.slurm.client import ClientError, Unreachable, run_client
from launch.backends.slurm.cluster import check_memory, check_partition, read_partitions
from launch.backends.slurm.cluster_identity import own_name
from launch.backends.slurm.feed import feed
from launch.backends.slurm.request import Limits, SubmissionInput, SubmitRequest, build_requests
from launch.backends.slurm.sbatch import sbatch
from launch.backends.slurm.sbatch_errors import explain_refusal, is_full
from launch.backends.slurm.scancel import ask_to_end, cancel_tasks
from launch.profiles.profile import Profile
from launch.store.dependencies import DependencyGraph, blocks_of
from launch.store.manifest import ListedRun, Manifest
from launch.store.records import ManifestEntry
from launch.store.state import State
from launch.store.sweep_state import SweepState
from launch.store.view import RunView


@final
class SlurmBackend(SchedulerBackend):
    """Runs attempts as tasks of job arrays.

    Args:
        profile: The cluster's settings.
    """

    def __init__(self, profile: Profile) -> None:
        self._profile = profile

    def check(self, entries: Sequence[ManifestEntry]) -> list[str]:
        """Let Slurm test one submission for each set of resources (`sbatch --test-only`). Submits nothing.

        Raises:
            LaunchError: The message names the key that is wrong and quotes Slurm.
        """
        try:
            return self._check(entries)
        except Unreachable as error:
            named = f"profile {self._profile.name}" + (f" ({self._profile.file})" if self._profile.file else "")
            raise Unreachable(f"{named}: {error.message}", hint=error.hint) from error

    def _check(self, entries: Sequence[ManifestEntry]) -> list[str]:
        notes: dict[str, None] = {}
        file = self._profile.file or f"profile {self._profile.name}"
        longest = max((e.resources.timeout_min for e in entries if e.resources.timeout_min is not None), default=None)
        check_partition(self._profile.site, longest, read_partitions(run_client(["sinfo", "-h", "-o", "%P|%l"])), file)
        check_memory(self._profile.site, entries, file)
        with tempfile.TemporaryDirectory(prefix="launch-") as folder:
            kinds = {entry.resources: entry for entry in reversed(entries)}
            for request in self._requests("test", folder, list(kinds.values()), None):
                script = Path(folder, f"{request.record.uuid}.sh")
                script.write_text(request.script)
                try:
                    notes |= dict.fromkeys(sbatch(["sbatch", "--test-only", os.fspath(script)]).notes)
                except ClientError as error:
                    if not is_full(error, queued=True):
                        raise explain_refusal(error, self._profile, request.record.resources) from error
        return list(notes)

    def preview(self, sweep: SweepState, entries: Sequence[ManifestEntry], max_parallel: int | None) -> list[str]:
        """Return the sbatch command and the script of each array, as far as they are known before a submission."""
        requests = self._requests(sweep.name, sweep.folder, entries, max_parallel)
        return [f"$ {shlex.join(request.words({}))}\n{request.script}" for request in requests]

    def _requests(
        self, sweep: str, folder: str, entries: Sequence[ManifestEntry], max_parallel: int | None
    ) -> tuple[SubmitRequest, ...]:
        tasks = [(ArrayTask(run_id=entry.run_id, generation=1), entry.resources) for entry in entries]
        listed = {entry.run_id: ListedRun(entry=entry, generation=1) for entry in entries}
        want = SubmissionInput(
            sweep=sweep,
            folder=folder,
            generation=1,
            tasks=tasks,
            max_parallel=max_parallel,
            cwd=os.getcwd(),
            now=time.time(),
            unmet=DependencyGraph(Manifest(listed=listed)).open_requirements(listed, lambda _: State.PLANNED),
            blocks={entry.run_id: blocks_of(entry) for entry in entries},
        )
        numbers = itertools.count()
        return build_requests(want, self._profile, Limits(), lambda: f"{next(numbers):016x}")

    def submit(self, sweep: SweepState, generation: int, *, asked: bool = True) -> Submitted:
        """Submit the PLANNED, PREEMPTED and LOST runs of a generation, as many as the queue has room for."""
        return feed(sweep, generation, self._profile, asked=asked)

    def stop(self, sweep: SweepState, views: Sequence[RunView]) -> dict[str, str]:
        """Take waiting runs out of the queue, and ask running ones to save a checkpoint and end.

        A task that begins meanwhile sees that its run is cancelled, and ends at once.

        Returns:
            The runs that could not be reached because their jobs are on another cluster or belong to another user, each
            with the cluster or the user.

        Raises:
            BackendError: If Slurm does not answer. Runs that are marked as cancelled still end at once when they begin.
        """
        arrays = live_arrays(sweep.folder)
        if not arrays:
            return {}
        root = os.path.dirname(sweep.folder)
        listing = squeue.refresh(root, users_of(arrays))
        wanted = {view.run_id for view in views}
        own = {array.record.name: array for array in arrays if array.record.user in (None, own_name())}
        _stop_tasks(own, wanted, listing.rows)
        unreached: dict[str, str] = {}
        for array in arrays:
            reached = not listing.hides(array.record)
            if reached and array.record.name not in own:
                try:
                    _stop_tasks({array.record.name: array}, wanted, listing.rows)
                except ClientError:  # the job of another user
                    reached = False
            if not reached:
                left = (task for task in array.record.tasks if task.run_id in wanted)
                unreached |= {task.run_id: array.place for task in left if task.counts_in(sweep.manifest)}
        squeue.invalidate(root)
        return unreached


def _stop_tasks(arrays: Mapping[str, Array], wanted: Set[str], rows: Sequence[squeue.QueueRow]) -> None:
    """Stop the tasks of some runs in arrays, by name. See `SlurmBackend.stop`."""
    waiting: list[str] = []
    running: dict[str, list[int]] = {}
    for row in rows:
        tasks = arrays[row.name].record.tasks if row.name in arrays else ()
        chosen = [index for index in row.tasks if index < len(tasks) and tasks[index].run_id in wanted]
        if chosen and row.runs:
            running.setdefault(row.job, []).extend(chosen)
        elif chosen:
            waiting.append(squeue.task_words(row.job, chosen))
    cancel_tasks(waiting)
    ask_to_end(running)
