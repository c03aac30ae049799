"""What a backend is: who schedules the attempts of a sweep."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from launch.disk.store import SweepStore
from launch.records import ManifestEntry, RunView

OnChange = Callable[[list[RunView]], None]


class Backend(ABC):
    """Schedules attempts. The run directories hold the truth; a backend fills in what they cannot know."""

    @abstractmethod
    def check(self, entries: Sequence[ManifestEntry]) -> None:
        """Refuse runs that could never start.

        Raises:
            LaunchError: Naming the key, what is asked for and what there is.
        """

    @abstractmethod
    def drive(self, sweep: SweepStore, generation: int, on_change: OnChange | None) -> None:
        """See the runs of a generation through, in the foreground.

        Args:
            sweep: The sweep.
            generation: The generation.
            on_change: Called with the views of its runs when one changes, and about once a second.

        Raises:
            LaunchError: Where another process feeds the sweep, or its folder cannot be written.
        """

    @abstractmethod
    def detach(self, sweep: SweepStore, generation: int) -> int:
        """See the runs of a generation through in the background; return the pid of who does."""

    @abstractmethod
    def stop(self, views: Sequence[RunView]) -> None:
        """Ask the live attempts of runs to end in good order."""
