"""Submit arrays so that no run is lost or submitted twice, even if the launcher is killed at any moment.

Each array is recorded; then it is submitted held, under a name with its uuid; then its job number is recorded; and only
then is it released. If the number was not recorded, the array is found by its name, and it cannot have begun.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from launch.backends.slurm.arrays import mark_finished, mark_released, record_job, write_array
from launch.backends.slurm.client import ClientError, Unreachable, run_client
from launch.backends.slurm.executor import ScriptExecutor
from launch.backends.slurm.request import SubmitRequest
from launch.backends.slurm.sbatch import Answer, TableFull, sbatch
from launch.backends.slurm.sbatch_errors import explain_refusal, is_full
from launch.backends.slurm.squeue import ask
from launch.errors import LaunchError
from launch.profiles.profile import Profile
from launch.store.files import fault_point

_SUBMIT_TIMEOUT_S = 120.0


@dataclass(kw_only=True)
class Sent:
    """The outcome of a submission."""

    jobs: dict[str, str] = field(default_factory=dict[str, str])  # the job of every array that was submitted, by uuid
    notes: dict[str, None] = field(default_factory=dict[str, None])  # what sbatch printed about them, each line once
    full: ClientError | None = None  # the answer to the first array for which there was no room


def send(
    folder: str,
    requests: Sequence[SubmitRequest],
    profile: Profile,
    lock: int,
    known: Mapping[str, str] | None = None,
    *,
    queued: bool = False,
) -> Sent:
    """Submit arrays held, and release them when all are submitted.

    Args:
        folder: The sweep's folder.
        requests: The arrays.
        profile: The cluster's settings, for error messages.
        lock: The descriptor of the lock on the sweep's queue. Every sbatch inherits it: if this process is killed, no
            other process feeds the sweep until the sbatch has ended too.
        known: The jobs of arrays that are in the queue already, by uuid.
        queued: Whether this user has jobs in the queue.

    Returns:
        The outcome; it has only the first arrays if the queue is full.

    Raises:
        LaunchError: If Slurm refuses an array for another reason than a full queue. Then all of them are cancelled.
    """
    sent = Sent()
    for request in requests:
        try:
            words = request.words({**(known or {}), **sent.jobs})
            job, answer = _send_one(folder, request, words, lock)
        except ClientError as error:
            if is_full(error, queued=queued or bool(sent.jobs)):
                sent.full = error
                break
            _withdraw(folder, sent.jobs)
            raise explain_refusal(error, profile, request.record.resources) from error
        except BaseException:
            _withdraw(folder, sent.jobs)
            raise
        sent.jobs[request.record.uuid] = job
        sent.notes |= dict.fromkeys(answer.notes)
    release(folder, sent.jobs)
    return sent


def _send_one(folder: str, request: SubmitRequest, words: Sequence[str], lock: int) -> tuple[str, Answer]:
    """Record one array and submit it held; return the number of its job, and the answer."""
    uuid = request.record.uuid
    write_array(folder, request.record, request.script)
    try:
        answer = sbatch(words, hold=[lock], timeout_s=_SUBMIT_TIMEOUT_S)
    except (TableFull, Unreachable) as error:
        # The controller may have taken the array although its answer did not arrive.
        found = [row.job for row in ask().rows if row.name == request.record.name]
        if not found and isinstance(error, TableFull):
            mark_finished(folder, uuid)  # if it appears in the queue nevertheless, the next command cancels it
        if not found:
            raise
        answer = Answer(f"Submitted batch job {found[0]}")
    except ClientError:
        mark_finished(folder, uuid)  # it was refused
        raise
    fault_point("sbatch.submitted")
    job = ScriptExecutor.job_in(answer.out)
    record_job(folder, uuid, job)
    return job, answer


def release(folder: str, jobs: Mapping[str, str]) -> None:
    """Release held arrays of a sweep, so that they can begin. `jobs` maps their uuids to job numbers."""
    if jobs:
        fault_point("release.before")
        run_client(["scontrol", "release", ",".join(jobs.values())])
        fault_point("release.after")
        for uuid in jobs:
            mark_released(folder, uuid)


def _withdraw(folder: str, jobs: Mapping[str, str]) -> None:
    """Cancel the arrays of a submission that has failed. An array that cannot be cancelled now stays held."""
    with suppress(LaunchError):
        if jobs:
            run_client(["scancel", *jobs.values()])
            for uuid in jobs:
                mark_finished(folder, uuid)
