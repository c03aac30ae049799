"""Remove waiting jobs from the queue, and ask running jobs to end."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from launch.backends.slurm.client import TIMEOUT_S, ClientError, client_environment, client_error, run_client
from launch.backends.slurm.squeue import task_words

# What scancel prints when a job has ended since squeue named it.
_ENDED = ("Invalid job id", "already")
# For a running task of an array that also has waiting tasks, scancel prints this although the signal was delivered.
# Without an interruption it would deliver the signal up to ten times within two minutes.
_DELIVERED = "transition"
# scancel signals tasks from this many threads, and a thread that repeats the signal takes no other task.
_TASKS_AT_ONCE = 10
# The slowest thread has this time before scancel is killed.
_SETTLE_S = 2.0
_CALLS_AT_ONCE = 16


def cancel_tasks(words: Sequence[str]) -> None:
    """Cancel waiting tasks, such as `12` or `12_[2,4-7]`; tasks that have begun meanwhile are cancelled too.

    Raises:
        BackendError: If Slurm does not answer or refuses.
    """
    if words:
        # No filter such as `--state=PENDING`: with a filter, Slurm 22.05 cancels all waiting tasks of a task's array.
        try:
            run_client(["scancel", *words])
        except ClientError as error:
            if not any(said in error.said for said in _ENDED):
                raise


def cancel_pending(jobs: Collection[str]) -> None:
    """Cancel all waiting tasks of jobs.

    Raises:
        BackendError: If Slurm does not answer.
    """
    with suppress(ClientError):  # they have left the queue already
        run_client(["scancel", "--state=PENDING", *jobs])


def ask_to_end(running: Mapping[str, Sequence[int]]) -> None:
    """Send SIGTERM to the batch scripts of running tasks: they write a checkpoint and end.

    A plain `scancel` would kill everything 30 s later, which may be too early for a checkpoint.

    Args:
        running: The indices of the tasks, by the job of their array.

    Raises:
        BackendError: If Slurm does not answer or refuses.
    """
    groups = [
        task_words(job, tasks[first : first + _TASKS_AT_ONCE])
        for job, tasks in running.items()
        for first in range(0, len(tasks), _TASKS_AT_ONCE)
    ]
    if groups:
        with ThreadPoolExecutor(min(_CALLS_AT_ONCE, len(groups))) as pool:
            list(pool.map(_signal, groups))


def _signal(words: str) -> None:
    """Send SIGTERM to the batch scripts of a few tasks of an array, such as `12_[2,4-7]`."""
    command = ["scancel", "--verbose", "--batch", "--signal=TERM", words]
    said = ""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=client_environment(), text=True
    ) as process:
        for line in process.stderr or ():
            said += line
            if _DELIVERED in line:
                time.sleep(_SETTLE_S)
                process.kill()
                return
        code = process.wait(TIMEOUT_S)
    if code and not any(word in said for word in _ENDED):
        raise client_error(command, said)
