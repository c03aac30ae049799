"""The interface of a runtime, which turns a command into the command that executes it in a container."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from launch.specs.container import ContainerSettings
from launch.specs.gpu import Gpu
from launch.specs.image import Image
from launch.specs.mount import Mount
from launch.specs.resources import Resources
from launch.store.state import Reason

# The exit code of `docker run` and `podman run` if the engine itself failed, not the command.
REFUSED = 125
# The exit code of our Docker driver if it did not reach the engine, so that no container started.
UNREACHED = 123


@dataclass(frozen=True, kw_only=True)
class CommandCall:
    """A command to execute.

    Attributes:
        command: The command line.
        variables: Variables that are added to the environment of the calling process.
        folder: The working folder: the attempt's folder, absolute.
        snapshot: The folder with the run's code, absolute; None for the installed code.
        resources: The resources that the command may use.
        gpus: The slot's GPUs on this machine; empty without GPUs, or if a scheduler assigns them.
        image: The image to execute in; None under `bare`.
        mounts: All files of the host that the command sees: the run's folder, the snapshot, data, caches and the
            profile's mounts.
        labels: The container's labels, by which it is found when its supervisor is gone.
        cores: The cores that the command may use; empty for all.
        container: The profile's settings for the container.
        needs_network: Whether the command talks to other machines.
        handed: The number of descriptors that the command inherits. The first is the lifeline, a pipe that closes
            when the supervisor ends.
    """

    command: tuple[str, ...]
    variables: Mapping[str, str]
    folder: str
    snapshot: str | None
    resources: Resources
    gpus: tuple[Gpu, ...] = ()
    image: Image | None = None
    mounts: tuple[Mount, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    cores: tuple[int, ...] = ()
    container: ContainerSettings = field(default_factory=ContainerSettings)
    needs_network: bool = False
    handed: int = 1


@dataclass(frozen=True, kw_only=True)
class HostCommand:
    """A command to execute on the host, with its whole environment.

    Attributes:
        command: The command line.
        environment: Every variable.
        step: Options of srun if the command must be a job step, as under Pyxis; None otherwise.
        renumbers: Whether the inherited descriptors (the lifeline first) must get the numbers 3, 4 and so on, since
            some engines pass on only these.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    step: tuple[str, ...] | None = None
    renumbers: bool = False


@dataclass(frozen=True, kw_only=True)
class RuntimeDiagnosis:
    """The reason why a command ended, if the runtime knows more than the exit code says.

    Attributes:
        reason: The kind of end, such as `start` if the command was not started.
        message: One line for the user.
    """

    reason: Reason
    message: str


def last_line(log: str) -> str:
    """Return the last line of a log that is not blank, or ""."""
    return next((line for line in reversed(log.splitlines()) if line.strip()), "")


class Runtime(ABC):
    """Wraps commands, so that they execute in a container.

    Attributes:
        contained: Whether commands execute in an image.
        python: The Python interpreter in the image; None to use the host's.
        has_own_group: Whether the command has a control group of its own. Then only the kernel's record of that
            group shows that the command used too much memory.
    """

    contained: ClassVar[bool] = True
    python: ClassVar[str | None] = "python"
    has_own_group: ClassVar[bool] = False

    @abstractmethod
    def wrap(self, call: CommandCall, surroundings: Mapping[str, str]) -> HostCommand:
        """Return the command of the host that executes `call` in a container. Starts nothing."""

    def prepare(self, call: CommandCall) -> None:
        """Prepare the host for the command; most runtimes need nothing.

        Raises:
            LaunchError: If the command cannot be started on this host.
        """
        del call

    def shell(self, call: CommandCall, surroundings: Mapping[str, str], *, terminal: bool) -> HostCommand:
        """Return the command of the host that executes `call` for `launch shell`, with a terminal if there is one.

        Raises:
            LaunchError: If the command cannot be started.
        """
        del terminal
        self.prepare(call)
        return self.wrap(call, surroundings)

    def code(self, code: int) -> int:
        """Return the command's own exit code, negative for a signal, from the exit code of the wrapping process."""
        return 128 - code if self.contained and 128 < code <= 128 + signal.NSIG else code

    def diagnose(self, code: int, log: str) -> RuntimeDiagnosis | None:
        """Return the reason why a command ended if the runtime knows it; None if only the exit code tells.

        Args:
            code: The command's exit code, negative for a signal.
            log: The end of the command's log; the runtime writes its own errors there too.
        """
        del code, log
        return None

    def remove_unstarted(self, folder: str) -> bool:
        """Remove an attempt's container that was created but never started; return whether there was one."""
        del folder
        return False

    def engine(self, surroundings: Mapping[str, str]) -> str | None:
        """Return the address of the engine that starts containers, without secrets; None without an engine."""
        del surroundings
        return None

    def end(self, folder: str, *, grace_s: float = 0.0, engine: str | None = None) -> str | None:
        """End the containers of an attempt whose supervisor is gone: containers survive a kill of the supervisor.

        Args:
            folder: The attempt's folder, absolute.
            grace_s: Seconds for the run to write its checkpoint; 0 to kill it at once.
            engine: The address of the engine; None for the engine that new containers use.

        Returns:
            The reason why a container may still be running; None if every container has ended.
        """
        del folder, grace_s, engine
        return None
