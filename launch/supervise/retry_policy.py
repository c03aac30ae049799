"""Decide whether a run is tried again automatically: the sweep has a number of retries for each reason.

An attempt whose node failed cannot record that. The proof is that the scheduler started the same job again.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping

from launch.errors import LaunchError
from launch.store.attempts import attempt_numbers, attempt_path, find_attempt
from launch.store.state import Reason
from s5.run_dir.numbers import numbers_in
from s5.run_dir.result import CHECKPOINTS

# For sweeps of older versions, which have no number for node failures.
_NODE_FAILURES = 3
# How many attempts of a run a machine may fail to start, before the run waits until the user types the command again.
_MACHINE = 10


class TooManyNodeFailures(LaunchError):
    """Too many nodes have failed under a run: the run itself may be the cause."""


def failed_nodes(run_dir: str, *, since: int) -> list[str]:
    """Return the nodes that failed under a run since generation `since`, that of the user's last retry.

    A node has failed if an attempt on it has no recorded end and the scheduler started its job again.
    """
    records = [find_attempt(attempt_path(run_dir, number)) for number in attempt_numbers(run_dir)]
    return [
        one.machine
        for one, after in itertools.pairwise(records)
        if one is not None
        and after is not None
        and not one.has_ended
        and one.generation >= since
        and one.job_id is not None
        and one.job_id == after.job_id
        and after.restarts > one.restarts
    ]


def check_nodes(policy: Mapping[str, int], run_dir: str, *, since: int) -> None:
    """Raise if the nodes of a run failed more often than the sweep allows.

    Raises:
        TooManyNodeFailures: The message names the nodes.
    """
    nodes = failed_nodes(run_dir, since=since)
    if len(nodes) > node_failures(policy):
        raise TooManyNodeFailures(f"{len(nodes)} nodes failed under this run: {', '.join(nodes)}")


def node_failures(policy: Mapping[str, int]) -> int:
    """Return how many node failures of a run the policy allows."""
    return policy.get(Reason.NODE_FAILURE.value, _NODE_FAILURES)


def may_retry(policy: Mapping[str, int], reason: Reason, path: str, *, since: int) -> bool:
    """Return whether the policy allows another attempt.

    It allows none after a timeout without a new checkpoint: the next attempt would end in the same way.

    Args:
        policy: The number of retries for each reason.
        reason: Why the attempt ended.
        path: The attempt's folder.
        since: The generation of the user's last retry: only attempts since then count.
    """
    # `check_nodes` counts node failures and ends the attempt with this reason when there are too many.
    allowed = (
        0 if reason is Reason.NODE_FAILURE else policy.get(reason.value, _MACHINE if reason is Reason.MACHINE else 0)
    )
    if allowed <= 0 or (reason is Reason.TIMEOUT and not _made_progress(path)):
        return False
    records = map(find_attempt, _earlier(path))
    return sum(one is not None and one.reason is reason and one.generation >= since for one in records) < allowed


def allows_another(run_dir: str) -> bool:
    """Return whether the policy allowed another attempt when the newest attempt of a run ended."""
    record = find_attempt(attempt_path(run_dir, attempt_numbers(run_dir)[-1]))
    return record is not None and record.retry


def _made_progress(path: str) -> bool:
    """Return whether an attempt left a checkpoint of a later step than every attempt before it."""
    return _last_step(path) > max(map(_last_step, _earlier(path)), default=-1)


def _earlier(path: str) -> list[str]:
    """Return the folders of the attempts before the attempt in the folder `path`."""
    run_dir, own = os.path.dirname(os.path.dirname(path)), int(os.path.basename(path))
    return [attempt_path(run_dir, number) for number in attempt_numbers(run_dir) if number < own]


def _last_step(path: str) -> int:
    try:
        names = os.listdir(os.path.join(path, CHECKPOINTS))
    except OSError:
        return -1
    return max(numbers_in(names), default=-1)
