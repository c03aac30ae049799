"""What a backend is: who schedules the attempts of a sweep."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from launch.store.records import ManifestEntry
from launch.store.store import SweepStore
from launch.store.view import RunView

OnChange = Callable[[list[RunView]], None]


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """What was given to a scheduler that needs nobody here.

    Attributes:
        submitted: Runs that it has now and had not before.
        left: Runs that it has no room for.
        words: The same in words, one line.
    """

    submitted: int
    left: int
    words: str


class Backend(ABC):
    """Schedules attempts. The run directories hold the truth; a backend fills in what they cannot know.

    Attributes:
        attended: Whether a process here must stay until the runs have ended.
    """

    attended = True

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

    def preview(self, sweep: SweepStore, entries: Sequence[ManifestEntry], max_parallel: int | None) -> list[str]:
        """Return what a scheduler would be asked for runs, as texts; nothing where there is none.

        Args:
            sweep: The sweep.
            entries: Its runs.
            max_parallel: How many of them may execute at once.
        """
        return []

    def submit(self, sweep: SweepStore, generation: int, *, asked: bool = True) -> Submitted:
        """Give the runs of a generation to a scheduler that needs nobody here.

        Args:
            sweep: The sweep.
            generation: The generation.
            asked: Whether a person asked for it.

        Raises:
            LaunchError: Where it does not answer, or refuses; it has nothing of them then.
        """
        raise NotImplementedError

    @abstractmethod
    def stop(self, sweep: SweepStore, views: Sequence[RunView]) -> None:
        """Take runs that wait out of the queue, and ask those at work to end in good order."""
