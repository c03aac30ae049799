"""Access to the run directories of all sweeps: `runs/<sweep>/<run_id>/`."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import final

from launch.errors import StoreError
from launch.store.files import store_errors
from launch.store.sweep_state import Scheduler, SweepState
from launch.store.view import RunView

RUNS_VARIABLE = "LAUNCH_RUNS"

# Begins the hidden name of a sweep, or of a run in its sweep, that is being deleted.
REMOVED = ".removed-"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+-]*")


@final
class Store:
    """The run directories of all sweeps.

    Args:
        root: The folder of all sweeps; None for `$LAUNCH_RUNS`, or `./runs` if that is not set.
        scheduler: Returns a scheduler's answer about the sweep in a folder; None to ask no scheduler.

    Attributes:
        root: The folder of all sweeps, absolute.
    """

    def __init__(self, root: Path | None = None, scheduler: Scheduler | None = None) -> None:
        self.root = Path(os.path.abspath(root or os.environ.get(RUNS_VARIABLE) or "runs"))
        self._scheduler = scheduler

    def sweeps(self) -> list[str]:
        """Return the names of the sweeps, sorted."""
        with store_errors(f"read {self.root}"):
            try:
                names = os.listdir(self.root)
            except FileNotFoundError:
                return []
        return sorted(name for name in names if name[0] != "." and os.path.isdir(self.root / name / "manifest"))

    def sweep(self, name: str) -> SweepStore:
        """Return one sweep, whether or not its folder exists.

        Raises:
            StoreError: If the name is not valid.
        """
        if not _NAME.fullmatch(name):
            raise StoreError(
                f"{name!r} cannot be the name of a sweep",
                hint="use letters, digits and . _ = + -, and begin with a letter or a digit",
            )
        return SweepStore(self.root / name, self._scheduler)


@final
class SweepStore:
    """The run directories of one sweep.

    Args:
        path: `runs/<sweep>`.
        scheduler: Returns a scheduler's answer about the sweep; None to ask no scheduler.

    Attributes:
        path: `runs/<sweep>`.
        name: Name of the sweep.
    """

    def __init__(self, path: Path, scheduler: Scheduler | None = None) -> None:
        self.path = path
        self.name = path.name
        self._scheduler = scheduler

    def run_dir(self, run_id: str) -> Path:
        """Return a run's directory."""
        return self.path / run_id

    def state(self, *, fed: Collection[str] | None = None) -> SweepState:
        """Read the manifest and return the state of the sweep. The view of a run is read when it is first used.

        Args:
            fed: The runs that a queue is going to start; None to find them by the lock of the sweep's queue.
        """
        return SweepState.read(os.fspath(self.path), self._scheduler, fed=fed)

    def views(self) -> list[RunView]:
        """Return the view of every run that any generation lists; raise if the sweep does not exist."""
        return self.state().views()
