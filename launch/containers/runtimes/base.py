"""What a runtime is: how a command enters the place where it executes. Pure functions; nothing is started here."""

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

# What an engine's command line returns where it has failed itself: Docker's convention, and Podman's.
REFUSED = 125
# What a driver of ours returns where it has not even reached its engine: nothing was asked for, nothing has started.
UNREACHED = 123


@dataclass(frozen=True, kw_only=True)
class ContainerCall:
    """A command that is to execute.

    Attributes:
        command: The command line.
        variables: What it must find in its environment, beside what its surroundings give.
        folder: The folder it starts in: the attempt's, absolute.
        snapshot: The folder with its code, absolute; None for whatever is installed.
        resources: What it may use.
        gpus: The GPUs of its slot, by their numbers on this machine; empty for none, or where a scheduler gives them.
        image: The image to execute in; None under `bare`.
        mounts: What it sees of the host, whole: its run's folder, the snapshot, data, caches and what the profile adds.
        labels: What it is found again by when its supervisor is gone.
        cores: The cores it is kept to; empty if it may use whatever it finds.
        container: How an engine sets its container up.
        needs_network: Whether it talks to other machines.
        handed: How many descriptors it is handed, the lifeline first.
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
    """A command for this machine's kernel: what to execute, and the whole environment to execute it in.

    Attributes:
        command: The command line.
        environment: Every variable.
        step: Options of srun where the command must be started as a job step, as under Pyxis; None if it need not.
        renumbers: Whether what it is handed (the lifeline first) must have the descriptors 3, 4 and so on, the only
            ones that some engines pass on.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    step: tuple[str, ...] | None = None
    renumbers: bool = False


@dataclass(frozen=True, kw_only=True)
class StartFailure:
    """What a runtime knows of the end of a command that the exit code does not say.

    Attributes:
        reason: Why it ended.
        message: One line for a person.
    """

    reason: Reason
    message: str


def last_line(log: str) -> str:
    """Return the last line of a log that says something; empty if none does."""
    return next((line for line in reversed(log.splitlines()) if line.strip()), "")


class Runtime(ABC):
    """Wraps commands.

    Attributes:
        contained: Whether commands execute in an image.
        python: The interpreter inside; None for the host's.
        has_own_group: Whether the kernel counts the command's memory apart from the supervisor's, and nobody but the
            kernel itself says when that was too much.
    """

    contained: ClassVar[bool] = True
    python: ClassVar[str | None] = "python"
    has_own_group: ClassVar[bool] = False

    @abstractmethod
    def wrap(self, call: ContainerCall, surroundings: Mapping[str, str]) -> HostCommand:
        """Return what to execute on the host so that the command executes inside.

        Args:
            call: The command.
            surroundings: The environment of the process that asks.

        Returns:
            The wrapped command.
        """

    def prepare(self, call: ContainerCall) -> None:
        """Make what must be on the host before the command is started; most runtimes need nothing.

        Args:
            call: The command.

        Raises:
            LaunchError: If the command could not be started.
        """
        del call

    def shell(self, call: ContainerCall, surroundings: Mapping[str, str], *, terminal: bool) -> HostCommand:
        """Return what to execute so that a person is inside.

        Args:
            call: What the person wants to execute.
            surroundings: The environment of the process that asks.
            terminal: Whether there is a terminal.

        Raises:
            LaunchError: If nobody can be.
        """
        del terminal
        self.prepare(call)
        return self.wrap(call, surroundings)

    def code(self, code: int) -> int:
        """Return a command's own exit code, negative for a signal, from that of the process which stood for it."""
        return 128 - code if self.contained and 128 < code <= 128 + signal.NSIG else code

    def find(self, code: int, log: str) -> StartFailure | None:
        """Return why a command ended where the runtime says so itself; None if the command speaks for itself.

        Args:
            code: The command's exit code, negative for a signal.
            log: The end of its log, to which the runtime has written too.
        """
        del code, log
        return None

    def remove_unstarted(self, folder: str) -> bool:
        """Remove what was made for an attempt's command and never started.

        Args:
            folder: The attempt's, absolute.

        Returns:
            Whether there was such.
        """
        del folder
        return False

    def engine(self, surroundings: Mapping[str, str]) -> str | None:
        """Return where the engine answers that starts containers, without secrets; None if nobody else does.

        Args:
            surroundings: The environment of the process that asks.
        """
        del surroundings
        return None

    def end(self, folder: str, *, grace_s: float = 0.0, engine: str | None = None) -> str | None:
        """End what an attempt has left running whose supervisor is gone: what a kill of our own processes leaves.

        Args:
            folder: The attempt's, absolute.
            grace_s: How long it may take to write a checkpoint, and its engine to answer.
            engine: Where that engine answers; None for the one that would be asked for a new container.

        Returns:
            What is in the way, where something of it may still run; None if nothing does.
        """
        del folder, grace_s, engine
        return None
