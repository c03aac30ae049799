"""Submit as many runs as the queue has room for, if it has less room than its limits say."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import replace

from launch.backends.slurm.client import ClientError, run_client
from launch.backends.slurm.request import Limits, SubmissionInput, build_requests
from launch.backends.slurm.sbatch import TableFull
from launch.backends.slurm.sbatch_errors import limit_in
from launch.backends.slurm.send import Sent, send
from launch.errors import BackendError
from launch.profiles.profile import Profile


def send_what_fits(
    want: SubmissionInput, profile: Profile, limits: Limits, lock: int, known: Mapping[str, str], *, queued: bool
) -> tuple[Sent, int]:
    """Submit runs; if there is no room even for the first array, submit fewer runs.

    Args:
        want: The runs.
        profile: The cluster's settings.
        limits: The limits of the cluster.
        lock: The descriptor of the lock on the sweep's queue.
        known: The jobs of arrays that are in the queue already, by uuid.
        queued: Whether this user has jobs in the queue.

    Returns:
        The outcome, and how many runs were submitted.

    Raises:
        LaunchError: If Slurm does not answer or refuses. Then nothing was submitted.
    """
    count, sent, full = len(want.tasks), Sent(), None
    while count:
        part = replace(want, tasks=want.tasks[:count])
        requests = build_requests(part, profile, limits, lambda: uuid.uuid4().hex[:16])
        sent = send(want.folder, requests, profile, lock, known, queued=queued)
        full = full or sent.full
        if sent.full is None or sent.jobs:
            sent.full = full
            taken = {t.run_id for r in requests if r.record.uuid in sent.jobs for t in r.record.tasks}
            return sent, len(taken) + _send_rest(part, taken, sent, profile, limits, lock, known)
        count = _fewer(count, sent.full, limits)
    return sent, 0


def explain_full(error: ClientError, limits: Limits) -> str:
    """Return why the queue has no room for more runs."""
    if isinstance(error, TableFull):
        age = f", and jobs that have ended stay in it for {limits.job_age_s} s" if limits.job_age_s else ""
        return f"Slurm's table of all users' jobs is full (MaxJobCount={limits.job_table}{age}): {error.message}"
    return limit_in(error) or error.message


def _send_rest(
    want: SubmissionInput,
    taken: Collection[str],
    sent: Sent,
    profile: Profile,
    limits: Limits,
    lock: int,
    known: Mapping[str, str],
) -> int:
    """Submit a part of the first array that did not fit; return how many runs were submitted, and add them to `sent`.

    Arrays that share `max_parallel`, or that wait for others, are left to the next command.
    """
    if sent.full is None or not isinstance(sent.full, TableFull) or want.max_parallel is not None or want.unmet.left:
        return 0
    rest = [(task, resources) for task, resources in want.tasks if task.run_id not in taken]
    rest = rest[: _fewer(len(rest), sent.full, limits)]
    more, count = send_what_fits(replace(want, tasks=rest), profile, limits, lock, known, queued=True)
    sent.jobs |= more.jobs
    sent.notes |= more.notes
    return count


def _fewer(count: int, full: ClientError, limits: Limits) -> int:
    """Return how many runs to submit after `count` runs were too many; 0 if there is no room at all."""
    if isinstance(full, TableFull) and limits.job_table is not None:
        try:
            jobs = len(run_client(["squeue", "-h", "-a", "-r", "-t", "all", "-o", "%i"]).splitlines())
        except BackendError:
            return count // 2
        room = limits.job_table - jobs - 1  # a site that hides other users' jobs has less
        if room < count:
            return max(0, room)
    return count // 2
