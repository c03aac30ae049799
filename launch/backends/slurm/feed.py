"""Submit as many runs as Slurm's queue has room for: for a command that submits or feeds, and for a task that ends.

A task that ends executes `python -m launch.backends.slurm.feed SWEEP_DIR PROFILE GENERATION JOB` on its node.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from launch.backends.base import Submitted
from launch.backends.slurm import squeue
from launch.backends.slurm.arrays import ArrayTask, live_arrays, record_left_queue, users_of
from launch.backends.slurm.cluster import read_limits
from launch.backends.slurm.cluster_identity import own_name
from launch.backends.slurm.failed_start import FailedStarts
from launch.backends.slurm.parallel_limit import apply_limit
from launch.backends.slurm.queue_state import QueueState, without_pending
from launch.backends.slurm.reconcile import Reconciled, exclude_failed_nodes, reconcile
from launch.backends.slurm.request import TASK_MODULE, Limits, SubmissionInput
from launch.backends.slurm.resubmission import excluded_nodes, resources_for_retry, should_resubmit
from launch.backends.slurm.room import explain_full, send_what_fits
from launch.backends.slurm.scancel import cancel_pending, cancel_tasks
from launch.backends.slurm.scheduler_view import read_queue
from launch.backends.slurm.send import Sent
from launch.backends.slurm.squeue import QueueSnapshot
from launch.errors import LaunchError
from launch.profiles.profile import Profile, load_profile
from launch.results.latest import runs_left
from launch.specs.resources import Resources
from launch.store.dependencies import blocks_of
from launch.store.files import SNAPSHOTS, fault_point
from launch.store.queue_lock import SUBMIT_PATIENCE_S, lock_queue
from launch.store.records import ManifestHeader
from launch.store.state import SUBMITTABLE, State
from launch.store.sweep_state import SweepState
from s5.run_dir.result import CWD_VARIABLE

# A task that ends waits for another process that submits: that one may have counted this task, and left no room for it.
_LEAVING_PATIENCE_S = 60.0


def feed(
    sweep: SweepState, generation: int, profile: Profile, *, asked: bool = True, leaving: str | None = None
) -> Submitted:
    """Submit the PLANNED, PREEMPTED and LOST runs of a generation, as many as the queue has room for.

    Args:
        sweep: The sweep.
        generation: The generation.
        profile: The cluster's settings.
        asked: Whether the user asked for it. If not, runs that the user stopped or that have no retries left wait.
        leaving: The task that calls this just before it ends, as `12_3`: its own run may be submitted too.

    Raises:
        LaunchError: If Slurm does not answer or refuses. Then this call has submitted nothing.
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
    found, listing, state, taken_out = _settle_queue(sweep.refreshed(), leaving, asked=asked)
    header = state.manifest.headers[generation]
    parallel = apply_limit(folder, found.live, state.manifest, header.max_parallel, listing)
    views = [state.view(run_id) for run_id in dict.fromkeys((*state.manifest.run_ids[generation], *taken_out))]
    bad = excluded_nodes(views, profile.site.exclude_after)
    own = [array for array in found.live if array.record.user in (None, own_name())]
    exclude_failed_nodes(folder, own, state.listing, bad, profile.site.exclude)
    to_submit = [v for v in views if v.state in SUBMITTABLE and (asked or should_resubmit(v, state.manifest))]
    ready, may_come = state.submittable([view.run_id for view in to_submit])
    submitted, sent, full = 0, Sent(), None
    if ready:
        limits = read_limits(profile.site)
        want = replace(
            _submission(state, sweep.folder, ready[: free_places(limits, listing.count)], header),
            shares=parallel.shares,
            exclude=bad,
            cluster=listing.cluster and listing.cluster.name,
            user=own_name(),
            predecessor_jobs=_jobs_of_predecessors(root, header.after, listing),
        )
        known = {array.record.uuid: array.job or "" for array in found.live}
        queued = any(row.user == own_name() for row in listing.rows)
        sent, submitted = send_what_fits(want, profile, limits, lock, known, queued=queued)
        full = sent.full and explain_full(sent.full, limits)
    left = may_come - submitted
    record_left_queue(folder, left)
    words = [f"{submitted:,} submitted to {profile.name} in {len(sent.jobs)} array{'s' if len(sent.jobs) != 1 else ''}"]
    words = words if submitted else [f"nothing new for {profile.name}"]
    words += [parallel.words] if parallel.words else []
    words += _remarks(found, left=left, blocked=len(to_submit) - may_come, asked=asked, full=full)
    words += _hidden(found, state)
    return Submitted(submitted=submitted, left=left, words="; ".join(words), warnings=tuple(sent.notes))


def _remarks(found: Reconciled, *, left: int, blocked: int, asked: bool, full: str | None) -> Iterator[str]:
    """Yield remarks for the user about the queue, and about the runs that were not submitted."""
    if found.adopted:
        yield f"continued with job {', '.join(found.adopted)} of an interrupted submission"
    if found.removed:
        yield f"cancelled job {', '.join(found.removed)}, which an interrupted submission had left in the queue"
    if left:
        yield f"{left:,} wait for room in the queue{f' ({full})' if full else ''}"
    if blocked:
        yield f"{blocked:,} wait for runs that have not succeeded and are not started again automatically"
    if found.unlaunched:
        jobs = ",".join(found.unlaunched)
        done = "released" if asked else f"`scontrol release {jobs}` releases"
        yield f"{done} job {jobs}, which a node could not start"
    for row in found.held:
        yield f"job {row.job} is {row.held_by}"


def _hidden(found: Reconciled, state: QueueState) -> Iterator[str]:
    """Yield remarks for the user about runs that are left alone, since this queue does not show their arrays."""
    for array in found.hidden:
        listed = (task.run_id for task in array.record.tasks if task.counts_in(state.manifest))
        if count := sum(state.view(run_id).state in (State.PENDING, State.RUNNING) for run_id in listed):
            yield f"{count:,} left to {array.place}, which cannot be seen from here"


def _settle_queue(
    sweep: SweepState, leaving: str | None, *, asked: bool
) -> tuple[Reconciled, QueueSnapshot, QueueState, list[str]]:
    """Make the records of the sweep's arrays agree with the queue; cancel tasks whose dependencies are out of date.

    Returns:
        The arrays in the queue; the queue; the state of the sweep without the task `leaving`; and the runs whose tasks
        were cancelled. The caller submits these runs again, whatever their generation.
    """
    root = os.path.dirname(sweep.folder)
    after = (name for header in sweep.manifest.headers.values() for name in header.after)
    folders = [sweep.folder, *(os.path.join(root, name) for name in dict.fromkeys(after))]
    queue = squeue.refresh(root, users_of(array for folder in folders for array in live_arrays(folder)))
    starts = FailedStarts(sweep.folder, live_arrays(sweep.folder), queue)
    cancel_tasks(starts.stuck_tasks)
    starts.record()
    listing = starts.queue
    found = reconcile(sweep.folder, listing, asked=asked)
    fault_point("feed.reconciled")
    state = QueueState(sweep, (*found.live, *found.hidden), without_task(listing, leaving))
    stale = state.stale_jobs()
    if stale:
        cancel_pending(stale)  # a task that begins meanwhile finds that its predecessors have no result, and ends
        state, listing = state.without(stale), without_pending(listing, stale)
    return found, listing, state, [run_id for runs in stale.values() for run_id in runs]


def _submission(state: QueueState, folder: str, chosen: Sequence[str], header: ManifestHeader) -> SubmissionInput:
    """Return the input of a submission of some runs, without the fields that depend on the rest of the queue."""
    # Tasks use the launcher in the snapshot, if it has one: an edit of the code must not change tasks in the queue.
    home = header.snapshot and os.path.join(os.path.dirname(folder), SNAPSHOTS, header.snapshot)
    has_task = home and os.path.isfile(os.path.join(home, *TASK_MODULE.split(".")) + ".py")
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
    """Return the jobs of other sweeps that must succeed before the jobs of a sweep begin.

    Raises:
        LaunchError: If a run of these sweeps is neither pending nor running, so that it will not succeed by itself.
    """
    jobs: dict[str, None] = {}
    for name in names:
        folder = os.path.join(root, name)
        left = runs_left(SweepState.read(folder, read_queue))
        for view in left:
            if view.state not in (State.PENDING, State.RUNNING):
                raise LaunchError(
                    f"this sweep comes after the sweep {name}, whose run {view.run_id} is {view.state}",
                    hint=f"`launch status {name}` shows why; start it again (`launch retry {name}` if it failed), "
                    "then type this sweep's command again",
                )
        for array in live_arrays(folder) if left else ():
            if listing.hides(array.record):
                raise LaunchError(
                    f"this sweep comes after the sweep {name}, whose {array.place} cannot be seen from here",
                    hint="type this sweep's command on that cluster, or again when those runs have succeeded",
                )
            jobs |= dict.fromkeys(row.job for row in listing.rows if row.name == array.record.name)
    return list(jobs)


def free_places(limits: Limits, queued: int) -> int | None:
    """Return how many more tasks of this user the queue accepts; None for no limit."""
    return None if limits.submit is None else max(0, limits.submit - queued)


def without_task(listing: QueueSnapshot, task: str | None) -> QueueSnapshot:
    """Return the queue without one task of an array."""
    job, _, index = (task or "").partition("_")
    rows = [
        replace(row, tasks=tuple(own for own in row.tasks if str(own) != index)) if row.job == job else row
        for row in listing.rows
    ]
    return replace(listing, rows=tuple(rows))


def main(words: Sequence[str], environment: Mapping[str, str] = os.environ) -> int:
    """Submit runs from a node, for a task that ends; return the exit code. After an error the next task tries again."""
    folder, name, generation, job = words
    os.chdir(environment.get(CWD_VARIABLE) or "/")
    try:
        profile = replace(load_profile(name), name=name)
        submitted = feed(SweepState.read(folder), int(generation), profile, asked=False, leaving=job)
        sys.stderr.writelines(f"{warning}\n" for warning in submitted.warnings)
    except LaunchError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
