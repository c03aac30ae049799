"""What a runtime is: how a command enters the place where it executes. Pure functions; nothing is started here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from launch.resources import Resources


@dataclass(frozen=True, kw_only=True)
class Call:
    """A command that is to execute.

    Attributes:
        command: The command line.
        variables: What it must find in its environment, beside what its surroundings give.
        folder: The folder it starts in: the attempt's, absolute.
        snapshot: The folder with its code, absolute; None for whatever is installed.
        resources: What it may use.
    """

    command: tuple[str, ...]
    variables: Mapping[str, str]
    folder: str
    snapshot: str | None
    resources: Resources


@dataclass(frozen=True, kw_only=True)
class HostCall:
    """A command for this machine's kernel: what to execute, and the whole environment to execute it in.

    Attributes:
        command: The command line.
        environment: Every variable.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]


class Runtime(ABC):
    """Wraps commands."""

    @abstractmethod
    def wrap(self, call: Call, surroundings: Mapping[str, str]) -> HostCall:
        """Return what to execute on the host so that the command executes inside.

        Args:
            call: The command.
            surroundings: The environment of the process that asks.

        Returns:
            The wrapped command.
        """
