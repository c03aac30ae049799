"""The run directories of all sweeps: `runs/<sweep>/<run_id>/`. The only writer of launcher state.

Everything here may be killed at any instruction and done again: a run directory appears whole, a generation of the
manifest appears whole, and doing either twice changes nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from launch.errors import LaunchError, StoreError
from launch.store.files import store_error
from launch.store.manifest import Manifest, freeze, generation_numbers, read_header
from launch.store.queue_lock import QueueOwner, busy_error, lock_queue, read_queue_owner
from launch.store.records import ManifestEntry, ManifestHeader
from launch.store.sweep_state import Scheduler, SweepState
from launch.store.view import RunView

RUNS_VARIABLE = "LAUNCH_RUNS"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+-]*")


class Store:
    """All run directories.

    Args:
        root: Their folder; None for `$LAUNCH_RUNS`, else `./runs`.
        scheduler: Says what a scheduler knows of the sweep in a folder; None where nobody is asked.

    Attributes:
        root: The same, absolute.
    """

    def __init__(self, root: Path | None = None, scheduler: Scheduler | None = None) -> None:
        self.root = Path(os.path.abspath(root or os.environ.get(RUNS_VARIABLE) or "runs"))
        self._scheduler = scheduler

    def sweeps(self) -> list[str]:
        """Return the names of the sweeps, sorted."""
        try:
            with os.scandir(self.root) as entries:
                names = [entry.name for entry in entries if not entry.name.startswith(".")]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise store_error(error, f"read {self.root}") from error
        return sorted(name for name in names if os.path.isdir(self.root / name / "manifest"))

    def sweep(self, name: str) -> SweepStore:
        """Return one sweep, whether or not it is there yet.

        Raises:
            StoreError: For a name that cannot be a folder's.
        """
        if not _NAME.fullmatch(name):
            raise StoreError(
                f"{name!r} cannot be the name of a sweep",
                hint="use letters, digits and . _ = + -, and begin with a letter or a digit",
            )
        return SweepStore(self.root / name, self._scheduler)


class SweepStore:
    """The run directories of one sweep.

    Args:
        path: `runs/<sweep>`.
        scheduler: Says what a scheduler knows of it; None where nobody is asked.

    Attributes:
        path: The same.
        name: Name of the sweep.
    """

    def __init__(self, path: Path, scheduler: Scheduler | None = None) -> None:
        self.path = path
        self.name = path.name
        self._scheduler = scheduler
        self._folder = os.fspath(path)
        self._state = SweepState(self._folder, Manifest(), scheduler)

    def state(self, *, fed: Collection[str] | None = None) -> SweepState:
        """Read the manifest; the state reads the views of runs as they are asked for.

        Args:
            fed: The runs that a living queue is going to start; None for those of the process that holds the lock.
        """
        return SweepState.read(self._folder, self._scheduler, fed=fed)

    @property
    def problems(self) -> tuple[str, ...]:
        """What the last reading of the manifest could not read, one line each, naming the file."""
        return self._state.manifest.problems

    def run_dir(self, run_id: str) -> Path:
        """Return a run's directory."""
        return self.path / run_id

    def generations(self) -> list[int]:
        """Return the numbers of the manifest's generations, oldest first."""
        return generation_numbers(self._folder)

    def header(self, generation: int) -> ManifestHeader:
        """Return the first line of a generation.

        Raises:
            StoreError: If it cannot be read.
        """
        return read_header(self._folder, generation)

    def manifest(self) -> Manifest:
        """Read every generation; what cannot be read is left out and named in `problems`."""
        self._state = self.state()
        return self._state.manifest

    @property
    def scheduler_error(self) -> str | None:
        """Why what was last said of the sweep may be old: its scheduler did not answer."""
        return self._state.scheduler_error

    def freeze(self, header: ManifestHeader, entries: Sequence[ManifestEntry]) -> int:
        """Add a generation to the manifest; see `SweepState.freeze`."""
        return freeze(self._folder, header, entries).generation

    def views(self) -> list[RunView]:
        """Return what is known of every run that any generation lists. Changes nothing.

        Raises:
            StoreError: If there is no such sweep.
        """
        self._state = self.state()
        return self._state.views()

    def view(self, run_id: str) -> RunView:
        """Return what is known of one run.

        Raises:
            StoreError: If no generation lists it.
        """
        self._state = self.state()
        return self._state.views([run_id])[0]

    def queue(self) -> QueueOwner | None:
        """Return the process that feeds the sweep; None if no process does."""
        return read_queue_owner(self._folder)

    def lock_queue(self, generation: int, *, patience_s: float = 0.0) -> int:
        """Become the one process that feeds the sweep; see `launch.store.queue_lock`."""
        return lock_queue(self._folder, generation, patience_s=patience_s)

    def busy_error(self) -> LaunchError:
        """Return the error of a second launcher, which names the first."""
        return busy_error(self._folder)
