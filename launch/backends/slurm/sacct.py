"""How jobs ended that the queue has forgotten: one `sacct` for a sweep, where its cluster keeps accounts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from launch.backends.slurm.arrays import Array
from launch.backends.slurm.client import run_client
from launch.errors import BackendError

_GOING_ON = ("PENDING", "RUNNING", "REQUEUED", "SUSPENDED", "RESIZING")

# What was said of a set of jobs, and when: `watch` looks every other second.
_said: dict[tuple[str, ...], tuple[float, dict[str, str]]] = {}


def read_job_ends(arrays: Sequence[Array]) -> Mapping[str, str]:
    """Return in Slurm's words how tasks of arrays ended, by job as attempts name it; empty where nobody knows.

    Args:
        arrays: The arrays. Those of a cluster without accounts are passed over.
    """
    known = [array for array in arrays if array.record.accounts and array.job is not None]
    jobs = tuple(array.job for array in known if array.job is not None)
    if not jobs:
        return {}
    asked, ends = _said.get(jobs, (-1.0, {}))
    if asked < 0 or time.monotonic() - asked > min(array.record.poll_s for array in known):
        # Without a start it says nothing of what began before midnight.
        since = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(min(array.record.created for array in known) - 60))
        words = ["sacct", "-n", "-P", "-X", "-D", "-S", since, "-j", ",".join(jobs), "-o", "JobID,State"]
        try:
            ends = parse_ends(run_client(words))
        except BackendError:
            ends = {}  # the accounts' daemon is away
        _said[jobs] = time.monotonic(), ends
    return ends


def parse_ends(text: str) -> dict[str, str]:
    """Return the newest end of each job in what `sacct -n -P -o JobID,State` prints. Pure."""
    rows = (line.strip().split("|") for line in text.splitlines())
    return {row[0]: row[1] for row in rows if len(row) > 1 and row[1] and row[1].split()[0] not in _GOING_ON}
