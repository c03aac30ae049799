"""Whether an attempt that ended is tried again without being asked: the sweep's number for each reason."""

from __future__ import annotations

import os
from collections.abc import Mapping

from launch.disk.attempts import attempt_numbers, attempt_path, read_plain
from launch.records import Reason
from s5.result import CHECKPOINTS


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
    allowed = policy.get(reason.value, 0)
    if allowed <= 0 or (reason is Reason.TIMEOUT and not made_progress(path)):
        return False
    run_dir, own = os.path.dirname(os.path.dirname(path)), int(os.path.basename(path))
    earlier = [read_plain(attempt_path(run_dir, k)) for k in attempt_numbers(run_dir) if k < own]
    return sum(e.get("reason") == reason.value and e.get("generation", 0) >= since for e in earlier) < allowed


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
