"""The state of a sweep at one moment: its manifest and its runs. A command reads it once and passes it on."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property
from typing import final

from launch.errors import StoreError
from launch.store.dependencies import DependencyGraph
from launch.store.manifest import Manifest, freeze, read_manifest
from launch.store.queue_lock import read_queue_owner
from launch.store.records import ManifestEntry, ManifestHeader
from launch.store.scheduler_view import FailedStart, SchedulerView
from launch.store.status import read_view
from launch.store.view import RunView

# Returns a scheduler's answer about the sweep in a folder; None if no scheduler has that sweep.
Scheduler = Callable[[str], SchedulerView | None]


@final
class SweepState:
    """The manifest of a sweep and the views of its runs, each read at most once. Only `freeze` writes.

    A state never changes, so its answers do not contradict each other; `refreshed` returns a newer state. That is cheap
    for the manifest: generations never change, so only new generations are read.

    Args:
        folder: `runs/<sweep>`.
        manifest: The manifest of the sweep.
        scheduler: Returns a scheduler's answer about the sweep; None to ask no scheduler.
        fed: The runs that a queue is going to start; None to find them by the lock of the sweep's queue.
    """

    def __init__(
        self,
        folder: str,
        manifest: Manifest,
        scheduler: Scheduler | None = None,
        *,
        fed: Collection[str] | None = None,
    ) -> None:
        self.name = os.path.basename(folder)
        self.folder = folder
        self.manifest = manifest
        self._scheduler = scheduler
        self._given_fed = fed
        self._views: dict[str, RunView] = {}

    @classmethod
    def read(cls, folder: str, scheduler: Scheduler | None = None, *, fed: Collection[str] | None = None) -> SweepState:
        """Read the state of a sweep, whether or not its folder exists. Read errors are in `manifest.problems`."""
        return cls(folder, read_manifest(folder), scheduler, fed=fed)

    def refreshed(self, *, fed: Collection[str] | None = None) -> SweepState:
        """Return the state of the sweep now: new generations are read now, views and the scheduler when first used."""
        manifest = read_manifest(self.folder, self.manifest)
        return SweepState(self.folder, manifest, self._scheduler, fed=fed)

    def freeze(self, header: ManifestHeader, entries: Sequence[ManifestEntry]) -> tuple[SweepState, int]:
        """Add a generation to the manifest on disk: atomic, durable, never changed again.

        Args:
            header: The header of the generation; its number is set here.
            entries: The entries of its runs.

        Returns:
            The state with the new generation, and the generation's number.

        Raises:
            StoreError: If the generation cannot be written.
        """
        frozen, manifest = freeze(self.folder, header, entries), self.manifest
        if frozen.generation != manifest.newest + 1 or manifest.problems:  # another process added one meanwhile
            manifest = read_manifest(self.folder, manifest)
        else:
            manifest = manifest.with_generation(frozen, entries)
        return SweepState(self.folder, manifest, self._scheduler, fed=self._given_fed), frozen.generation

    def with_entries(self, entries: Sequence[ManifestEntry]) -> SweepState:
        """Return the state as if runs had been submitted now, for a dry run. Writes nothing."""
        listed = self.manifest.listed
        if all(entry.run_id in listed and listed[entry.run_id].entry == entry for entry in entries):
            return self
        return SweepState(self.folder, self.manifest.with_planned(entries), self._scheduler, fed=self._given_fed)

    @cached_property
    def dependencies(self) -> DependencyGraph:
        """The order between the runs of the sweep."""
        return DependencyGraph(self.manifest)

    @cached_property
    def scheduled(self) -> SchedulerView | None:
        """The scheduler's answer about the sweep, asked for at most once; None without a scheduler."""
        return None if self._scheduler is None else self._scheduler(self.folder)

    def failed_start(self, run_id: str) -> FailedStart | None:
        """Return the last attempt of a run if its job died before it began, and no process has recorded that yet."""
        scheduled = self.scheduled
        return None if scheduled is None or run_id in scheduled.tasks else scheduled.find_failed_start(run_id)

    @property
    def scheduler_error(self) -> str | None:
        """Why the scheduler did not answer when it was last asked; None if it did."""
        return None if self.scheduled is None else self.scheduled.problem

    @cached_property
    def fed(self) -> Collection[str]:
        """The runs that a running queue is going to start."""
        if self._given_fed is not None:
            return self._given_fed
        queue = read_queue_owner(self.folder)
        if queue is None:
            return frozenset()
        return frozenset(self.manifest.run_ids.get(queue.generation or 0, self.manifest.listed))

    def view(self, run_id: str) -> RunView:
        """Return the view of one run, read at most once. It does not say which runs this run waits for.

        Raises:
            StoreError: If no generation lists the run.
        """
        if run_id not in self._views:
            self._views[run_id] = self.read_view(run_id)
        return self._views[run_id]

    def read_view(self, run_id: str) -> RunView:
        """Return the view of one run as it is now, to watch runs change. The state itself does not change.

        Raises:
            StoreError: If no generation lists the run.
        """
        listed = self.manifest.listed.get(run_id)
        if listed is None:
            raise StoreError(f"no run {run_id!r} in the sweep {self.name!r}")
        run_dir = f"{self.folder}/{run_id}"
        return read_view(self.name, run_dir, listed, fed=run_id in self.fed, ask=lambda: self.scheduled)

    def views(self, run_ids: Iterable[str] | None = None) -> list[RunView]:
        """Return the views of runs. The view of a run that has not begun says which runs it waits for.

        Args:
            run_ids: Runs that the manifest lists; None for all runs.

        Raises:
            StoreError: If the sweep does not exist.
        """
        if run_ids is None and not self.manifest.listed and not self.manifest.problems:
            raise StoreError(f"no sweep {self.name!r} under {os.path.dirname(self.folder)}")
        views = [self.view(run_id) for run_id in (self.manifest.listed if run_ids is None else run_ids)]
        if not self.manifest.has_dependencies:
            return views
        return self.dependencies.describe_waiting(views, self.view, fed=self.fed)
