"""Gives Slurm what it has room for: for a command that is typed, for one that waits, or for a task that ends.

`python -m launch.backends.slurm.feed SWEEP_DIR PROFILE GENERATION JOB` does so from a node, for a task that leaves.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from launch.backends.base import Submitted
from launch.backends.slurm import squeue
from launch.backends.slurm.arrays import ArrayTask, live_arrays, record_left_queue
from launch.backends.slurm.cluster import read_limits
from launch.backends.slurm.queue_state import QueueState, without_pending
from launch.backends.slurm.reconcile import Reconciled, exclude_failed_nodes, reconcile, throttle
from launch.backends.slurm.request import TASK_MODULE, Limits, SubmissionInput, build_requests
from launch.backends.slurm.resubmission import excluded_nodes, resources_for_retry, should_resubmit
from launch.backends.slurm.scancel import cancel_pending
from launch.backends.slurm.scheduler_view import read_queue
from launch.backends.slurm.send import send
from launch.backends.slurm.squeue import QueueSnapshot
from launch.errors import LaunchError
from launch.profiles.profile import Profile, load_profile
from launch.results.latest import runs_left
from launch.specs.resources import Resources
from launch.store.dependencies import blocks_of
from launch.store.files import SNAPSHOTS, fault_point
from launch.store.queue_lock import SUBMIT_PATIENCE_S, lock_queue
from launch.store.records import ManifestHeader
from launch.store.state import State
from launch.store.sweep_state import SweepState
from s5.run_dir.result import CWD_VARIABLE

_TO_SUBMIT = (State.PLANNED, State.PREEMPTED, State.LOST)

# A run that leaves waits for another that feeds: who came before it saw it in the queue still, and left no room.
_LEAVING_PATIENCE_S = 60.0


def feed(
    sweep: SweepState, generation: int, profile: Profile, *, asked: bool = True, leaving: str | None = None
) -> Submitted:
    """Submit the runs of a generation that nothing works on, as many as the queue has room for.

    Args:
        sweep: The sweep.
        generation: The generation.
        profile: The cluster's settings.
        asked: Whether a person asked for it. If not, runs that a person stopped and runs whose policy is used up wait.
        leaving: The task that feeds just before it ends: its own run may be one of those to submit.

    Raises:
        LaunchError: If Slurm does not answer or refuses. Then nothing of this call is in its queue.
    """
    lock = lock_queue(sweep.folder, generation, patience_s=SUBMIT_PATIENCE_S if asked else _LEAVING_PATIENCE_S)
    try:
        fault_point("feed.held")
        return _feed(sweep, generation, profile, lock, asked=asked, leaving=leaving)
    finally:
        os.close(lock)
        squeue.invalidate(os.path.dirname(sweep.folder))


def _feed(
    sweep: SweepState, generation: int, profile: Profile, lock: int, *, asked: bool, leaving: str | None
) -> Submitted:
    folder, root = sweep.folder, os.path.dirname(sweep.folder)
    found, listing, state, taken_out = _settle_queue(sweep.refreshed(), leaving)
    header = state.manifest.headers[generation]
    shares = throttle(found, header.max_parallel, listing)
    views = [state.view(run_id) for run_id in dict.fromkeys((*state.manifest.run_ids[generation], *taken_out))]
    bad = excluded_nodes(views, profile.site.exclude_after)
    exclude_failed_nodes(folder, found.live, state.listing, bad, profile.site.exclude)
    to_submit = [v for v in views if v.state in _TO_SUBMIT and (asked or should_resubmit(v, state.manifest))]
    ready, may_come = state.submittable([view.run_id for view in to_submit])
    submitted, jobs = 0, dict[str, str]()
    if ready:
        limits = read_limits(profile.site)
        want = replace(
            _submission(state, sweep.folder, ready[: free_places(limits, listing.count)], header),
            shares=shares,
            exclude=bad,
            predecessor_jobs=_jobs_of_predecessors(root, header.after, listing),
        )
        requests = build_requests(want, profile, limits, lambda: uuid.uuid4().hex[:16])
        jobs = send(folder, requests, profile, lock, {array.record.uuid: array.job or "" for array in found.live})
        submitted = sum(len(request.record.tasks) for request in requests if request.record.uuid in jobs)
    left = may_come - submitted
    record_left_queue(folder, left)
    words = [f"{submitted:,} submitted to {profile.name} in {len(jobs)} array{'s' if len(jobs) != 1 else ''}"]
    words = words if submitted else [f"nothing new for {profile.name}"]
    words += _remarks(found, left=left, blocked=len(to_submit) - may_come)
    return Submitted(submitted=submitted, left=left, words="; ".join(words))


def _remarks(found: Reconciled, *, left: int, blocked: int) -> Iterator[str]:
    """Yield what else a person should know: of the queue, and of the runs that are left for now or blocked."""
    if found.adopted:
        yield f"went on with job {', '.join(found.adopted)} of an interrupted submission"
    if found.removed:
        yield f"removed job {', '.join(found.removed)}, left over from one"
    if left:
        yield f"{left:,} wait for room in the queue"
    if blocked:
        yield f"{blocked:,} wait for runs that have not succeeded, and that nothing starts again by itself"
    if found.held:
        jobs = ",".join(found.held)
        yield f"job {jobs} is held by a person: `scontrol release {jobs}` lets it go on"


def _settle_queue(sweep: SweepState, leaving: str | None) -> tuple[Reconciled, QueueSnapshot, QueueState, list[str]]:
    """Bring the sweep's records and its jobs into agreement.

    Returns:
        The arrays in the queue, the queue, the state of the sweep without the task that leaves, and the runs that were
        taken out of the queue since they waited for the wrong jobs. These go in again, whatever their generation.
    """
    listing = squeue.refresh(os.path.dirname(sweep.folder))
    found = reconcile(sweep.folder, listing)
    fault_point("feed.reconciled")
    state = QueueState(sweep, found.live, without_task(listing, leaving))
    stale = state.stale_jobs()
    if stale:
        cancel_pending(stale)  # a task that begins meanwhile finds that it is too early, and leaves
        state, listing = state.without(stale), without_pending(listing, stale)
        found = replace(found, shares=tuple(one for one in found.shares if one.array not in stale))
    return found, listing, state, [run_id for runs in stale.values() for run_id in runs]


def _submission(state: QueueState, folder: str, chosen: Sequence[str], header: ManifestHeader) -> SubmissionInput:
    """Return what sbatch is to be asked for some runs, but for what depends on the rest of the queue."""
    # Tasks run the launcher of the snapshot, if it has one: an edit of the code must not reach what waits in the queue.
    home = os.path.join(os.path.dirname(folder), SNAPSHOTS, header.snapshot or "none")
    has_task = os.path.isfile(os.path.join(home, *TASK_MODULE.split(".")) + ".py")
    tasks: list[tuple[ArrayTask, Resources]] = []
    blocks: dict[str, tuple[str, ...]] = {}
    for run_id in chosen:
        listed = state.manifest.listed[run_id]
        task = ArrayTask(run_id=run_id, generation=listed.generation, retried=listed.retried)
        tasks.append((task, resources_for_retry(state.view(run_id), listed.retried)))
        blocks[run_id] = blocks_of(listed.entry)
    return SubmissionInput(
        sweep=os.path.basename(folder),
        folder=folder,
        generation=header.generation,
        tasks=tasks,
        max_parallel=header.max_parallel,
        unmet=state.unmet(chosen),
        positions=state.positions,
        blocks=blocks,
        cwd=os.environ.get(CWD_VARIABLE) or os.getcwd(),
        now=time.time(),
        home=home if has_task else None,
    )


def _jobs_of_predecessors(root: str, names: Sequence[str], listing: QueueSnapshot) -> list[str]:
    """Return the jobs of other sweeps that must succeed before a sweep's own begin.

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


def free_places(limits: Limits, queued: int) -> int | None:
    """Return how many more tasks of this user the queue takes; None for no limit."""
    return None if limits.submit is None else max(0, limits.submit - queued)


def without_task(listing: QueueSnapshot, task: str | None) -> QueueSnapshot:
    """Return a listing without a task of an array."""
    job, _, index = (task or "").partition("_")
    rows = [
        replace(row, tasks=tuple(own for own in row.tasks if str(own) != index)) if row.job == job else row
        for row in listing.rows
    ]
    return replace(listing, rows=tuple(rows))


def main(words: Sequence[str], environment: Mapping[str, str] = os.environ) -> int:
    """Feed a sweep from a node, on behalf of a run that leaves. Whatever stands in the way is for the next one."""
    folder, name, generation, job = words
    os.chdir(environment.get(CWD_VARIABLE) or "/")
    try:
        profile = replace(load_profile(name), name=name)
        feed(SweepState.read(folder), int(generation), profile, asked=False, leaving=job)
    except LaunchError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
