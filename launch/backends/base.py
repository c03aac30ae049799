"""The interface of a backend, which decides when and where the attempts of a sweep execute."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from launch.store.records import ManifestEntry
from launch.store.sweep_state import SweepState
from launch.store.view import RunView

OnChange = Callable[[list[RunView]], None]


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """The outcome of a submission to a scheduler."""

    submitted: int  # how many runs were added to the scheduler's queue
    left: int  # how many runs the queue has no room for
    words: str  # the same in one line for the user
    warnings: tuple[str, ...] = ()  # what the scheduler and the site's filters said about the accepted runs, once each


class Backend(ABC):
    """Schedules attempts. The state of a run is in its run directory; a backend adds what only a scheduler knows."""

    @abstractmethod
    def check(self, entries: Sequence[ManifestEntry]) -> list[str]:
        """Raise if a run could never start; return what a scheduler says about runs that can, one line each.

        Raises:
            LaunchError: The message names the key, the value that is asked for and the value that is available.
        """

    @abstractmethod
    def stop(self, sweep: SweepState, views: Sequence[RunView]) -> dict[str, str]:
        """Take waiting runs out of the queue, and ask running ones to save a checkpoint and end.

        Returns:
            The runs that could not be reached, each with the place where it is.

        Raises:
            BackendError: If a scheduler does not answer.
        """


class AttendedBackend(Backend):
    """A backend that needs a process of the launcher until its runs have ended."""

    @abstractmethod
    def run(self, sweep: SweepState, generation: int, on_change: OnChange | None) -> None:
        """Execute the runs of a generation; return when no run is left to start or to wait for.

        Args:
            sweep: The sweep.
            generation: The generation.
            on_change: Called with the views of the runs when one changes, and about once a second.

        Raises:
            LaunchError: If another process runs the sweep, or its folder cannot be written.
        """

    @abstractmethod
    def run_in_background(self, sweep: SweepState, generation: int) -> int:
        """Do what `run` does, in a background process that outlives the terminal; return its pid.

        Raises:
            BackendError: If the process does not start.
        """


class SchedulerBackend(Backend):
    """A backend that submits its runs to the scheduler of a cluster."""

    @abstractmethod
    def submit(self, sweep: SweepState, generation: int, *, asked: bool = True) -> Submitted:
        """Submit the runs of a generation, as many as the queue has room for. `asked` is whether the user asked for it.

        Raises:
            LaunchError: If the scheduler does not answer or refuses; then this call has submitted nothing.
        """

    @abstractmethod
    def preview(self, sweep: SweepState, entries: Sequence[ManifestEntry], max_parallel: int | None) -> list[str]:
        """Return the texts of the commands and scripts of `submit`, with at most `max_parallel` runs at once."""
