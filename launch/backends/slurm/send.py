"""Submits arrays so that a kill at any instruction loses nothing and repeats nothing.

Written down, submitted held under a name that carries the uuid, its number written down, and only then released. An
array of which the number could not be written down any more is found by its name; it cannot have begun.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from launch.backends.slurm.arrays import mark_finished, record_job, write_array
from launch.backends.slurm.client import ClientError, Unreachable, run_client
from launch.backends.slurm.executor import ScriptExecutor
from launch.backends.slurm.request import SubmitRequest
from launch.backends.slurm.sbatch import sbatch
from launch.backends.slurm.sbatch_errors import explain_refusal, is_full
from launch.backends.slurm.squeue import ask
from launch.errors import BackendError, LaunchError
from launch.profiles.profile import Profile
from launch.store.files import fault_point

_SUBMIT_TIMEOUT_S = 120.0


@dataclass(kw_only=True)
class SentArrays:
    """What became of requests.

    Attributes:
        jobs: The job of every array that was submitted, by uuid.
        full: What Slurm said when its queue was full; None where everything fitted.
    """

    jobs: dict[str, str] = field(default_factory=dict[str, str])
    full: str | None = None


def send(
    folder: str, requests: Sequence[SubmitRequest], profile: Profile, lock: int, known: Mapping[str, str] | None = None
) -> SentArrays:
    """Submit arrays held, and release them when all are in.

    Args:
        folder: The sweep's folder.
        requests: The arrays.
        profile: What was asked for, for messages.
        lock: The descriptor of the sweep's queue, which every sbatch holds: an orphan of this process cannot submit
            behind the back of the next one.
        known: The jobs of arrays that are in the queue already, by uuid.

    Raises:
        LaunchError: Where one is refused for good. None of them is in the queue then.
    """
    sent = SentArrays()
    try:
        for request in requests:
            words = request.words({**(known or {}), **sent.jobs})
            sent.jobs[request.record.uuid] = _send_one(folder, request, words, lock)
    except ClientError as error:
        if not is_full(error):
            _withdraw(folder, sent)
            raise explain_refusal(error, profile) from error
        sent.full = error.message
    except BaseException:
        _withdraw(folder, sent)
        raise
    release(sent.jobs.values())
    return sent


def _send_one(folder: str, request: SubmitRequest, words: Sequence[str], lock: int) -> str:
    """Submit one array held; return the number of its job."""
    uuid = request.record.uuid
    write_array(folder, request.record, request.script)
    try:
        answer = sbatch(words, hold=[lock], timeout_s=_SUBMIT_TIMEOUT_S)
    except ClientError:
        mark_finished(folder, uuid)  # it was refused
        raise
    except Unreachable:
        # No answer does not mean that nothing was submitted.
        found = [row.job for row in ask().rows if row.name == request.record.name]
        if not found:
            raise
        answer = f"Submitted batch job {found[0]}"
    fault_point("sbatch.submitted")
    job = ScriptExecutor.job_in(answer)
    record_job(folder, uuid, job)
    return job


def release(jobs: Iterable[str]) -> None:
    """Let held arrays begin."""
    words = ",".join(jobs)
    if words:
        fault_point("release.before")
        run_client(["scontrol", "release", words])
        fault_point("release.after")


def _withdraw(folder: str, sent: SentArrays) -> None:
    """Remove what was submitted of a submission that is refused as a whole. What stays is held, and found again."""
    with suppress(BackendError, LaunchError):
        if sent.jobs:
            run_client(["scancel", *sent.jobs.values()])
            for uuid in sent.jobs:
                mark_finished(folder, uuid)
