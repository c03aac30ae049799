"""A sweep at one moment: its manifest and the state of its runs. A command reads it once and hands it along."""

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
from launch.store.scheduler_view import SchedulerView
from launch.store.status import read_view
from launch.store.view import RunView

# Returns what a scheduler knows of the sweep in a folder; None if it does not schedule that sweep.
Scheduler = Callable[[str], SchedulerView | None]


@final
class SweepState:
    """The manifest of a sweep and the views of its runs, each read at most once. Only `freeze` writes.

    It never changes: two answers of one state do not contradict each other, and to see something newer means to get
    another state. `refreshed` is cheap: generations never change, so it reads only those that were added since.

    Args:
        folder: `runs/<sweep>`.
        manifest: Its manifest.
        scheduler: Returns what a scheduler knows of it; None to ask no scheduler.
        fed: The runs that a living queue is going to start; None for those of the process that holds the queue's lock.
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
        """Read the state of a sweep, whether or not it is there yet. What cannot be read is in `manifest.problems`."""
        return cls(folder, read_manifest(folder), scheduler, fed=fed)

    def refreshed(self, *, fed: Collection[str] | None = None) -> SweepState:
        """Return the state of now: only generations that were added since are read, views and scheduler again."""
        manifest = read_manifest(self.folder, self.manifest)
        return SweepState(self.folder, manifest, self._scheduler, fed=fed)

    def freeze(self, header: ManifestHeader, entries: Sequence[ManifestEntry]) -> tuple[SweepState, int]:
        """Add a generation to the manifest on disk: atomic, durable, never changed again.

        Args:
            header: Its first line; its number is set here.
            entries: Its runs.

        Returns:
            The state with that generation, and its number.

        Raises:
            StoreError: If it cannot be written.
        """
        frozen, manifest = freeze(self.folder, header, entries), self.manifest
        if frozen.generation != manifest.newest + 1 or manifest.problems:  # another process added one meanwhile
            manifest = read_manifest(self.folder, manifest)
        else:
            manifest = manifest.with_generation(frozen, entries)
        return SweepState(self.folder, manifest, self._scheduler, fed=self._given_fed), frozen.generation

    def with_entries(self, entries: Sequence[ManifestEntry]) -> SweepState:
        """Return the state as if runs had been submitted now, which a dry run shows. Writes nothing."""
        listed = self.manifest.listed
        if all(entry.run_id in listed and listed[entry.run_id].entry == entry for entry in entries):
            return self
        return SweepState(self.folder, self.manifest.with_planned(entries), self._scheduler, fed=self._given_fed)

    @cached_property
    def dependencies(self) -> DependencyGraph:
        """Which runs come before which."""
        return DependencyGraph(self.manifest)

    @cached_property
    def scheduled(self) -> SchedulerView | None:
        """What a scheduler knows of the sweep, asked at most once; None if it has no scheduler."""
        return None if self._scheduler is None else self._scheduler(self.folder)

    @property
    def scheduler_error(self) -> str | None:
        """Why the scheduler's answer may be out of date: it did not answer when it was asked last."""
        return None if self.scheduled is None else self.scheduled.problem

    @cached_property
    def fed(self) -> Collection[str]:
        """The runs that a living queue is going to start."""
        if self._given_fed is not None:
            return self._given_fed
        queue = read_queue_owner(self.folder)
        if queue is None:
            return frozenset()
        return frozenset(self.manifest.run_ids.get(queue.generation or 0, self.manifest.listed))

    def view(self, run_id: str) -> RunView:
        """Return what is known of one run, without what it waits for. Read once.

        Raises:
            StoreError: If no generation lists it.
        """
        if run_id not in self._views:
            self._views[run_id] = self.read_view(run_id)
        return self._views[run_id]

    def read_view(self, run_id: str) -> RunView:
        """Read what is known of one run now, to watch runs change. The state itself does not change.

        Raises:
            StoreError: If no generation lists it.
        """
        listed = self.manifest.listed.get(run_id)
        if listed is None:
            raise StoreError(f"no run {run_id!r} in the sweep {self.name!r}")
        run_dir = f"{self.folder}/{run_id}"
        return read_view(self.name, run_dir, listed, fed=run_id in self.fed, ask=lambda: self.scheduled)

    def views(self, run_ids: Iterable[str] | None = None) -> list[RunView]:
        """Return what is known of runs; one that has not begun says which others it waits for.

        Args:
            run_ids: Runs that the manifest lists; None for all of them.

        Raises:
            StoreError: If there is no such sweep.
        """
        if run_ids is None and not self.manifest.listed and not self.manifest.problems:
            raise StoreError(f"no sweep {self.name!r} under {os.path.dirname(self.folder)}")
        views = [self.view(run_id) for run_id in (self.manifest.listed if run_ids is None else run_ids)]
        if not self.manifest.has_dependencies:
            return views
        return self.dependencies.describe_waiting(views, self.view, fed=self.fed)
