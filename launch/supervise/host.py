"""What surrounds an attempt: who started its supervisor, when its time ends, what a request to stop means there."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable

from launch.containers.runtimes import HostCommand
from launch.specs.resources import Resources
from launch.store.records import AttemptRecord
from launch.store.state import Reason

GRACE_VARIABLE = "LAUNCH_GRACE_S"


class Host:
    """A machine of which the launcher itself gives out the cores and GPUs.

    Attributes:
        job_id: The scheduler's job; None where there is no scheduler.
        node: The name that the scheduler knows the machine by.
        restarts: How often the scheduler had started the job before.
        resources: What the attempt is given, where that differs from what its run asks for.
        stop: The signal that asks the command to stop.
    """

    job_id: str | None = None
    node: str | None = None
    restarts: int = 0
    resources: Resources | None = None
    stop: int = signal.SIGTERM

    def host_command(self, call: HostCommand) -> HostCommand:
        """Return what starts a command here."""
        return call

    def limits(self, timeout_min: float | None) -> Callable[[], tuple[float, float]]:
        """Return what says when the command is asked to stop and when it is killed, on the monotonic clock.

        Args:
            timeout_min: Minutes that the attempt may take, from now; None for no limit.
        """
        if timeout_min is None:
            return lambda: (math.inf, math.inf)
        limit_s = timeout_min * 60
        grace_s = float(os.environ.get(GRACE_VARIABLE) or min(30.0, 0.1 * limit_s))
        now = time.monotonic()
        found = now + max(0.0, limit_s - grace_s), now + limit_s
        return lambda: found

    def stop_reason(self) -> Reason:
        """Return what a request to stop means. Asked once, after it was forwarded."""
        return Reason.INTERRUPTED

    def has_lost(self, record: AttemptRecord) -> bool:
        """Say whether the scheduler knows for certain that nobody works on an attempt of another machine.

        Args:
            record: The attempt's record.
        """
        return False
