"""The machine that an attempt executes on, as its scheduler gave it: when time ends, what a request to stop means."""

from __future__ import annotations

import math
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

from launch.containers.runtimes import HostCommand
from launch.specs.resources import Resources
from launch.store.records import AttemptRecord
from launch.store.state import Reason

GRACE_VARIABLE = "LAUNCH_GRACE_S"


class Host(ABC):
    """What a supervisor must know of the scheduler that started it."""

    job_id: str | None  # the scheduler's job; None if the launcher itself schedules
    node: str | None  # the name that the scheduler knows the machine by
    restarts: int  # how often the scheduler had started the job before
    resources: Resources | None  # what the attempt is given, if that differs from what its run asks for

    @abstractmethod
    def host_command(self, command: HostCommand) -> HostCommand:
        """Return what starts a command on this machine, or on all machines of the job.

        Raises:
            TooManyNodeFailures: If the run must not start again on yet another node.
        """

    @abstractmethod
    def stop_signal(self, command: HostCommand) -> signal.Signals:
        """Return the signal that asks a command to stop."""

    @abstractmethod
    def limits(self, timeout_min: float | None) -> Callable[[], tuple[float, float]]:
        """Return what tells when the command is asked to stop and when it is killed, on the monotonic clock.

        Args:
            timeout_min: Minutes that the attempt may take, from now; None for no limit.
        """

    @abstractmethod
    def stop_reason(self) -> Reason:
        """Return what a request to stop means. Called once, after the request was forwarded."""

    @abstractmethod
    def job_is_gone(self, record: AttemptRecord) -> bool:
        """Return whether the scheduler knows for certain that an attempt on another machine is over."""


@final
class LocalHost(Host):
    """A machine whose cores and GPUs the launcher itself gives out."""

    job_id = None
    node = None
    restarts = 0
    resources = None

    def host_command(self, command: HostCommand) -> HostCommand:
        """Return the command itself."""
        return command

    def stop_signal(self, command: HostCommand) -> signal.Signals:
        """Return SIGTERM."""
        return signal.SIGTERM

    def limits(self, timeout_min: float | None) -> Callable[[], tuple[float, float]]:
        """Return the end of `timeout_min`, and before it the time that a checkpoint takes: `$LAUNCH_GRACE_S`."""
        if timeout_min is None:
            return lambda: (math.inf, math.inf)
        limit_s = timeout_min * 60
        grace_s = float(os.environ.get(GRACE_VARIABLE) or min(30.0, 0.1 * limit_s))
        now = time.monotonic()
        found = now + max(0.0, limit_s - grace_s), now + limit_s
        return lambda: found

    def stop_reason(self) -> Reason:
        """Return that the user or the launcher asked: no scheduler sends signals here."""
        return Reason.INTERRUPTED

    def job_is_gone(self, record: AttemptRecord) -> bool:
        """Return False: without a scheduler nothing is known of other machines."""
        return False
