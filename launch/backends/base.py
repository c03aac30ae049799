"""What a backend is: the part that decides when and where the attempts of a sweep execute."""

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
    """What was given to a scheduler."""

    submitted: int  # how many runs the scheduler has now and did not have before
    left: int  # how many runs it has no room for
    words: str  # the same in one line for a person


class Backend(ABC):
    """Schedules attempts. The run directories hold the truth; a backend adds what they cannot know."""

    @abstractmethod
    def check(self, entries: Sequence[ManifestEntry]) -> None:
        """Refuse runs that could never start.

        Raises:
            LaunchError: Naming the key, what is asked for and what there is.
        """

    @abstractmethod
    def stop(self, sweep: SweepState, views: Sequence[RunView]) -> None:
        """Take waiting runs out of the queue, and ask running ones to save a checkpoint and end.

        Raises:
            BackendError: If a scheduler does not answer.
        """


class AttendedBackend(Backend):
    """A backend whose runs need a process of the launcher until they have ended."""

    @abstractmethod
    def run(self, sweep: SweepState, generation: int, on_change: OnChange | None) -> None:
        """Execute the runs of a generation; return when none is left to start or to wait for.

        Args:
            sweep: The sweep.
            generation: Its generation.
            on_change: Called with the views of its runs when one changes, and about once a second.

        Raises:
            LaunchError: If another process runs the sweep, or its folder cannot be written.
        """

    @abstractmethod
    def run_in_background(self, sweep: SweepState, generation: int) -> int:
        """Do as `run` in a process that outlives the terminal; return its pid.

        Raises:
            BackendError: If that process does not start.
        """


class SchedulerBackend(Backend):
    """A backend that hands its runs to the scheduler of a cluster, which keeps them."""

    @abstractmethod
    def submit(self, sweep: SweepState, generation: int, *, asked: bool = True) -> Submitted:
        """Submit the runs of a generation, as many as the queue has room for; `asked` if a person asked for it.

        Raises:
            LaunchError: If the scheduler does not answer or refuses; then it has nothing of this call.
        """

    @abstractmethod
    def preview(self, sweep: SweepState, entries: Sequence[ManifestEntry], max_parallel: int | None) -> list[str]:
        """Return as texts the commands and scripts that `submit` would use, `max_parallel` runs at once at most."""
