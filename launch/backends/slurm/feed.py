"""Gives Slurm what it has room for: what a command does when it is typed, or a watcher, or a run that leaves.

`python -m launch.backends.slurm.feed SWEEP_DIR PROFILE GENERATION JOB` does so from a node, for a task that leaves.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from launch.backends.slurm import squeue
from launch.backends.slurm.arrays import ArrayTask, live_arrays, record_left_queue
from launch.backends.slurm.cluster import read_limits
from launch.backends.slurm.exclude_nodes import exclude_failed_nodes
from launch.backends.slurm.queue_state import QueueState, cancel_pending
from launch.backends.slurm.reconcile import reconcile, throttle
from launch.backends.slurm.request import Limits, SubmissionInput, build_requests
from launch.backends.slurm.resubmission import excluded_nodes, resources_for_retry, should_resubmit
from launch.backends.slurm.scheduler_view import scheduler_views
from launch.backends.slurm.send import send
from launch.backends.slurm.squeue import QueueSnapshot
from launch.backends.slurm.sweep_dependencies import jobs_of_predecessors
from launch.errors import LaunchError
from launch.profiles.profile import Profile, load_profile
from launch.specs.resources import Resources
from launch.store.files import SNAPSHOTS, fault_point
from launch.store.manifest import Manifest
from launch.store.state import State
from launch.store.store import SweepStore
from launch.store.view import RunView
from launch.supervise.arguments import CWD_VARIABLE

_TO_SUBMIT = (State.PLANNED, State.PREEMPTED, State.LOST)

# How long to wait for another feeder, or for an sbatch that outlived the command that started it.
_PATIENCE_S = 130.0
# A run that leaves waits for another that feeds: who came before it saw it in the queue still, and left no room.
_LEAVING_PATIENCE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class FeedResult:
    """What was given to Slurm.

    Attributes:
        arrays: How many arrays were submitted.
        submitted: How many runs.
        left: How many runs wait for room in the queue, or for others that do.
        blocked: How many runs wait for others that nobody is going to start without being asked.
        adopted: Jobs of an interrupted submission that go on.
        removed: Jobs that were left over from one, and are gone.
        full: What Slurm said when its queue was full.
    """

    arrays: int = 0
    submitted: int = 0
    left: int = 0
    blocked: int = 0
    adopted: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    full: str | None = None


def feed(
    sweep: SweepStore, generation: int, profile: Profile, *, asked: bool = True, leaving: str | None = None
) -> FeedResult:
    """Submit the runs of a generation that nobody works on, as many as the queue has room for.

    Args:
        sweep: The sweep.
        generation: The generation.
        profile: What the cluster wants to be told.
        asked: Whether a person asked for it: then everything is tried again that was not judged.
        leaving: The task that feeds as its last deed: its own run may be what is to be submitted.

    Returns:
        What was submitted, and what was not.

    Raises:
        LaunchError: Where Slurm does not answer or refuses. Nothing of this call is in its queue then.
    """
    lock = sweep.lock_queue(generation, patience_s=_PATIENCE_S if asked else _LEAVING_PATIENCE_S)
    try:
        fault_point("feed.held")
        return _feed(sweep.path, generation, profile, lock, asked=asked, leaving=leaving)
    finally:
        os.close(lock)
        squeue.invalidate(os.fspath(sweep.path.parent))


def _feed(path: Path, generation: int, profile: Profile, lock: int, *, asked: bool, leaving: str | None) -> FeedResult:
    folder = os.fspath(path)
    listing = squeue.refresh(os.fspath(path.parent))
    found = reconcile(folder, listing)
    fault_point("feed.reconciled")
    seen = without_runs(listing, leaving)
    sweep = SweepStore(path, lambda folder: scheduler_views(live_arrays(folder), seen))
    manifest = sweep.manifest()
    header = manifest.headers[generation]
    standing = QueueState(folder, found.live, seen, sweep, manifest)
    loose = standing.stale_jobs()
    if loose:
        cancel_pending(loose)
        seen, listing = _less(seen, loose), _less(listing, loose)
        found = replace(found, lanes=tuple(lane for lane in found.lanes if lane.array not in loose))
        sweep.manifest()  # it asks the scheduler anew, which has less now
        standing = QueueState(folder, found.live, seen, sweep, manifest)
    lanes = throttle(found, header.max_parallel, listing)
    # What was taken out goes in again, whichever generation it was submitted for.
    own = dict.fromkeys((*manifest.run_ids[generation], *(run_id for runs in loose.values() for run_id in runs)))
    views = [standing.refresh(run_id) for run_id in own]
    bad = excluded_nodes(views, profile.site.exclude_after)
    exclude_failed_nodes(folder, found.live, seen, bad, profile.site.exclude)
    waiting = {v.run_id: v for v in views if v.state in _TO_SUBMIT and (asked or should_resubmit(v, manifest))}
    in_turn, may_come = standing.submittable(waiting)
    if not in_turn:
        record_left_queue(folder, may_come)
        return FeedResult(adopted=found.adopted, removed=found.removed, left=may_come, blocked=len(waiting) - may_come)
    limits = read_limits(profile.site)
    chosen = in_turn[: free_places(limits, sum(max(1, len(row.tasks)) for row in listing.rows))]
    want = SubmissionInput(
        sweep=sweep.name,
        folder=folder,
        generation=generation,
        tasks=_tasks([waiting[run_id] for run_id in chosen], manifest),
        max_parallel=header.max_parallel,
        live=lanes,
        exclude=bad,
        after=jobs_of_predecessors(sweep.path.parent, header.after, listing),
        needs=standing.requirements(chosen),
        spots=standing.spots,
        cwd=os.environ.get(CWD_VARIABLE) or os.getcwd(),
        now=time.time(),
        home=_home(sweep, header.snapshot),
    )
    requests = build_requests(want, profile, limits, lambda: uuid.uuid4().hex[:16])
    sent = send(folder, requests, profile, lock, {array.record.uuid: array.job or "" for array in found.live})
    submitted = sum(len(request.record.tasks) for request in requests if request.record.uuid in sent.jobs)
    record_left_queue(folder, may_come - submitted)
    return FeedResult(
        arrays=len(sent.jobs),
        submitted=submitted,
        left=may_come - submitted,
        blocked=len(waiting) - may_come,
        adopted=found.adopted,
        removed=found.removed,
        full=sent.full,
    )


def _home(sweep: SweepStore, snapshot: str | None) -> str | None:
    """Return the snapshot where it holds the launcher too: an edit must not reach what waits in the queue."""
    folder = None if snapshot is None else sweep.path.parent / SNAPSHOTS / snapshot
    return os.fspath(folder) if folder and (folder / "launch" / "supervise" / "task.py").is_file() else None


def free_places(limits: Limits, queued: int) -> int | None:
    """Return how many tasks more the queue takes of this user; None for no limit."""
    return None if limits.submit is None else max(0, limits.submit - queued)


def without_runs(listing: QueueSnapshot, task: str | None) -> QueueSnapshot:
    """Return a listing without a task of an array."""
    job, _, index = (task or "").partition("_")
    rows = [
        replace(row, tasks=tuple(own for own in row.tasks if str(own) != index)) if row.job == job else row
        for row in listing.rows
    ]
    return replace(listing, rows=tuple(rows))


def _less(listing: QueueSnapshot, jobs: Collection[str]) -> QueueSnapshot:
    """Return a listing without what waits of some jobs."""
    return replace(listing, rows=tuple(row for row in listing.rows if row.job not in jobs or row.runs))


def _tasks(views: Sequence[RunView], manifest: Manifest) -> list[tuple[ArrayTask, Resources]]:
    tasks: list[tuple[ArrayTask, Resources]] = []
    for view in views:
        listed = manifest.listed[view.run_id]
        task = ArrayTask(run_id=view.run_id, generation=listed.generation, retried=listed.retried)
        tasks.append((task, resources_for_retry(view, listed.retried)))
    return tasks


def main(words: Sequence[str], environment: Mapping[str, str] = os.environ) -> int:
    """Feed a sweep from a node, on behalf of a run that leaves. Whatever stands in the way is for the next one."""
    folder, name, generation, job = words
    os.chdir(environment.get(CWD_VARIABLE) or "/")
    path = Path(folder)
    try:
        profile = replace(load_profile(name), name=name)
        feed(SweepStore(path), int(generation), profile, asked=False, leaving=job)
    except LaunchError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
