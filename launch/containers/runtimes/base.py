"""The interface of a runtime: how a command enters its container. Pure functions; nothing is started here."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from launch.specs.container import ContainerSettings
from launch.specs.image import Image
from launch.specs.mount import Mount
from launch.specs.resources import Resources
from launch.store.state import Reason

# The exit code of an engine's command line if the engine itself has failed: a convention of Docker and Podman.
REFUSED = 125
# The exit code of our driver if it did not reach its engine, so that nothing has started.
UNREACHED = 123


@dataclass(frozen=True, kw_only=True)
class ContainerCall:
    """A command to execute.

    Attributes:
        command: The command line.
        variables: Variables besides those of its surroundings.
        folder: The folder it starts in: the attempt's, absolute.
        snapshot: The folder with its code, absolute; None for the installed code.
        resources: The resources it may use.
        gpus: The GPUs of its slot, by their numbers on this machine; empty for none, or if a scheduler gives them.
        image: The image to execute in; None under `bare`.
        mounts: All that it sees of the host: its run's folder, the snapshot, data, caches and the profile's mounts.
        labels: The labels by which it is found when its supervisor is gone.
        cores: The cores it is kept to; empty for all.
        container: How an engine sets its container up.
        needs_network: Whether it talks to other machines.
        handed: The number of descriptors that it inherits, the lifeline first.
    """

    command: tuple[str, ...]
    variables: Mapping[str, str]
    folder: str
    snapshot: str | None
    resources: Resources
    gpus: tuple[int, ...] = ()
    image: Image | None = None
    mounts: tuple[Mount, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    cores: tuple[int, ...] = ()
    container: ContainerSettings = field(default_factory=ContainerSettings)
    needs_network: bool = False
    handed: int = 1


@dataclass(frozen=True, kw_only=True)
class HostCommand:
    """A command of this machine, with its whole environment.

    Attributes:
        command: The command line.
        environment: Every variable.
        step: Options of srun if the command must be a job step, as under Pyxis; None otherwise.
        renumbers: Whether the descriptors that it inherits (the lifeline first) must be 3, 4 and so on, the only ones
            that some engines pass on.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    step: tuple[str, ...] | None = None
    renumbers: bool = False


@dataclass(frozen=True, kw_only=True)
class StartFailure:
    """Why a command ended, if the exit code does not tell and the runtime knows.

    Attributes:
        reason: Why it ended.
        message: One line for a person.
    """

    reason: Reason
    message: str


def last_line(log: str) -> str:
    """Return the last line of a log that is not blank, or ""."""
    return next((line for line in reversed(log.splitlines()) if line.strip()), "")


class Runtime(ABC):
    """Wraps commands.

    Attributes:
        contained: Whether commands execute in an image.
        python: The interpreter inside; None for the host's.
        has_own_group: Whether the kernel counts the command's memory apart from the supervisor's, and only the kernel
            tells when that was too much.
    """

    contained: ClassVar[bool] = True
    python: ClassVar[str | None] = "python"
    has_own_group: ClassVar[bool] = False

    @abstractmethod
    def wrap(self, call: ContainerCall, surroundings: Mapping[str, str]) -> HostCommand:
        """Return the command of the host that executes the command inside."""

    def prepare(self, call: ContainerCall) -> None:
        """Prepare the host for the command; most runtimes need nothing.

        Raises:
            LaunchError: If the command could not be started.
        """
        del call

    def shell(self, call: ContainerCall, surroundings: Mapping[str, str], *, terminal: bool) -> HostCommand:
        """Return the command of the host that executes the command inside for a person.

        Raises:
            LaunchError: If it cannot be started.
        """
        del terminal
        self.prepare(call)
        return self.wrap(call, surroundings)

    def code(self, code: int) -> int:
        """Return a command's own exit code, negative for a signal, from that of the wrapping process."""
        return 128 - code if self.contained and 128 < code <= 128 + signal.NSIG else code

    def find(self, code: int, log: str) -> StartFailure | None:
        """Return why a command ended if the runtime knows; None if the exit code tells.

        Args:
            code: The command's exit code, negative for a signal.
            log: The end of its log, to which the runtime writes too.
        """
        del code, log
        return None

    def remove_unstarted(self, folder: str) -> bool:
        """Remove an attempt's container that was never started; return whether there was one."""
        del folder
        return False

    def engine(self, surroundings: Mapping[str, str]) -> str | None:
        """Return the address of the engine that starts containers, without secrets; None without an engine."""
        del surroundings
        return None

    def end(self, folder: str, *, grace_s: float = 0.0, engine: str | None = None) -> str | None:
        """End the containers of an attempt whose supervisor is gone; a kill of our own processes leaves them.

        Args:
            folder: The attempt's folder, absolute.
            grace_s: How many seconds the run may take to write a checkpoint, and its engine to answer.
            engine: The address of that engine; None for the one that would start a new container.

        Returns:
            Why a container may still run; None if none does.
        """
        del folder, grace_s, engine
        return None
