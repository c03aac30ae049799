"""Whether an attempt that ended is tried again without being asked: the sweep's number for each reason.

An attempt whose node failed cannot say so itself. That the scheduler started the very same job again does.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping

from launch.errors import LaunchError
from launch.store.attempts import attempt_numbers, attempt_path, find_attempt
from launch.store.state import Reason
from s5.run_dir.result import CHECKPOINTS

# Of sweeps that were submitted before there was such a number.
_NODE_FAILURES = 3


class TooManyNodeFailures(LaunchError):
    """A run under which too many nodes have failed: the fault may be its own."""


def failed_nodes(run_dir: str, *, since: int) -> list[str]:
    """Return the nodes that failed under a run, one for each attempt that left no word and whose job was started again.

    Args:
        run_dir: The run directory.
        since: The generation from which on attempts count: the last that the user asked to retry.
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
    """Refuse to go on with a run whose nodes failed more often than the sweep allows.

    Raises:
        WornOut: With the nodes.
    """
    nodes = failed_nodes(run_dir, since=since)
    if len(nodes) > node_failures(policy):
        raise TooManyNodeFailures(f"the node under it failed {len(nodes)} times: {', '.join(nodes)}")


def node_failures(policy: Mapping[str, int]) -> int:
    """Return how often a run may lose its node."""
    return policy.get(Reason.NODE_FAILURE.value, _NODE_FAILURES)


def may_retry(policy: Mapping[str, int], reason: Reason, path: str, *, since: int) -> bool:
    """Say whether the run may be tried again.

    Args:
        policy: How often each reason is tried again.
        reason: Why the attempt ended.
        path: Its folder.
        since: The generation from which on attempts count: the last that the user asked to retry.

    Returns:
        Whether. A timeout without a new checkpoint would only repeat itself, so it is not tried again.
    """
    allowed = 0 if reason is Reason.NODE_FAILURE else policy.get(reason.value, 0)  # that was the last one allowed
    if allowed <= 0 or (reason is Reason.TIMEOUT and not made_progress(path)):
        return False
    run_dir, own = os.path.dirname(os.path.dirname(path)), int(os.path.basename(path))
    earlier = [find_attempt(attempt_path(run_dir, k)) for k in attempt_numbers(run_dir) if k < own]
    return sum(e is not None and e.reason is reason and e.generation >= since for e in earlier) < allowed


def made_progress(path: str) -> bool:
    """Say whether an attempt left a checkpoint of a later step than every attempt before it."""
    run_dir, own = os.path.dirname(os.path.dirname(path)), int(os.path.basename(path))
    before = max((_last_step(attempt_path(run_dir, k)) for k in attempt_numbers(run_dir) if k < own), default=-1)
    return _last_step(path) > before


def _last_step(path: str) -> int:
    try:
        names = os.listdir(os.path.join(path, CHECKPOINTS))
    except OSError:
        return -1
    return max((int(name) for name in names if name.isdigit()), default=-1)
