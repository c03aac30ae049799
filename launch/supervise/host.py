"""The machine of an attempt and its scheduler: the time limit, and the reason for a request to stop."""

from __future__ import annotations

import math
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import final

from launch.containers.runtimes import HostCommand
from launch.specs.resources import Resources
from launch.store.records import AttemptRecord
from launch.store.state import Reason

GRACE_VARIABLE = "LAUNCH_GRACE_S"

# The seconds between the request to stop and the kill, on this machine. `timeout_min` may leave less.
GRACE_S = 30.0


def local_grace_s() -> float:
    """Return how many seconds after a request to stop a command on this machine is killed."""
    with suppress(ValueError):  # a command must be ended, whatever the variable says
        return float(os.environ.get(GRACE_VARIABLE) or GRACE_S)
    return GRACE_S


class Host(ABC):
    """The machine of an attempt, and what the supervisor needs to know about the machine's scheduler."""

    job_id: str | None  # the scheduler's job; None if the launcher itself schedules
    node: str | None  # the scheduler's name of the machine
    restarts: int  # how often the scheduler had started the job before
    resources: Resources | None  # the resources of the attempt; None for those that its run asks for

    @abstractmethod
    def host_command(self, command: HostCommand) -> HostCommand:
        """Return the command that starts a command on this machine, or on all machines of the job.

        Raises:
            TooManyNodeFailures: If too many nodes failed under the run, so that it must not start again.
        """

    @abstractmethod
    def stop_signal(self, command: HostCommand) -> signal.Signals:
        """Return the signal that asks a command to stop."""

    @abstractmethod
    def limits(self, timeout_min: float | None) -> Callable[[], tuple[float, float]]:
        """Return a function that computes two times of the monotonic clock: to ask the command to stop, and to kill it.

        Args:
            timeout_min: Minutes that the attempt may take, from now; None for no limit.
        """

    @abstractmethod
    def stop_reason(self) -> Reason:
        """Return the reason for a request to stop. Called once, after the request was forwarded."""

    @abstractmethod
    def grace_s(self, reason: Reason) -> float:
        """Return how many seconds after a request to stop a command is killed; infinity if its scheduler kills it."""

    @abstractmethod
    def ending_reason(self) -> Reason | None:
        """Return why the scheduler is ending the job; None if it is not. Called if a command was stopped unasked."""

    @abstractmethod
    def job_is_gone(self, record: AttemptRecord) -> bool:
        """Return whether the scheduler knows for certain that an attempt on another machine has ended."""


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
        """Return the function: the command is killed after `timeout_min`, asked to stop `$LAUNCH_GRACE_S` s before."""
        if timeout_min is None:
            return lambda: (math.inf, math.inf)
        limit_s = timeout_min * 60
        grace_s = float(os.environ.get(GRACE_VARIABLE) or min(GRACE_S, 0.1 * limit_s))
        now = time.monotonic()
        found = now + max(0.0, limit_s - grace_s), now + limit_s
        return lambda: found

    def stop_reason(self) -> Reason:
        """Return INTERRUPTED: without a scheduler, the user or the launcher has sent the signal."""
        return Reason.INTERRUPTED

    def grace_s(self, reason: Reason) -> float:
        """Return `$LAUNCH_GRACE_S`, or 30, for every reason."""
        return local_grace_s()

    def ending_reason(self) -> None:
        """Return None: nothing but signals ends an attempt."""

    def job_is_gone(self, record: AttemptRecord) -> bool:
        """Return False: without a scheduler nothing is known about other machines."""
        return False
