"""The run directories of all sweeps: `runs/<sweep>/<run_id>/`. The only writer of launcher state.

Everything here may be killed at any instruction and done again: a run directory appears whole, a generation of the
manifest appears whole, and doing either twice changes nothing.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from launch.errors import LaunchError, StoreError
from launch.store.dependencies import DependencyGraph
from launch.store.files import read_bytes, store_error
from launch.store.locks import acquire, is_held
from launch.store.manifest import (
    ListedRun,
    Manifest,
    freeze,
    generation_numbers,
    read_entries,
    read_header,
    read_manifest,
)
from launch.store.processes import host
from launch.store.records import ManifestEntry, ManifestHeader, RunView
from launch.store.run_dirs import PlannedRun, RunDirWriter, WriteReport
from launch.store.scheduler_view import SchedulerView
from launch.store.status import read_view

RUNS_VARIABLE = "LAUNCH_RUNS"

_NOTE_S = 1.0
_LOOK_S = 0.05

# Says what a scheduler knows of the sweep in a folder.
Scheduler = Callable[[str], SchedulerView | None]

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


@dataclass(frozen=True, kw_only=True)
class QueueLock:
    """The process that feeds a sweep.

    Attributes:
        pid: Its pid; None where its note cannot be read.
        host: Its machine.
        generation: The generation it feeds; None where its note cannot be read.
    """

    pid: int | None = None
    host: str | None = None
    generation: int | None = None


class SweepStore:
    """The run directories of one sweep.

    Args:
        path: `runs/<sweep>`.
        scheduler: Says what a scheduler knows of it; None where nobody is asked.

    Attributes:
        path: The same.
        name: Name of the sweep.
        problems: What the last reading of the manifest could not read, one line each, naming the file.
    """

    def __init__(self, path: Path, scheduler: Scheduler | None = None) -> None:
        self.path = path
        self.name = path.name
        self.problems: list[str] = []
        self._scheduler = scheduler
        self._asked = False
        self._scheduled: SchedulerView | None = None
        self._folder = os.fspath(path)
        self._manifest = os.path.join(self._folder, "manifest")
        self._queue_lock = os.path.join(self._folder, "queue.lock")

    def run_dir(self, run_id: str) -> Path:
        """Return a run's directory."""
        return self.path / run_id

    def generations(self) -> list[int]:
        """Return the numbers of the manifest's generations, oldest first."""
        return generation_numbers(self._manifest)

    def header(self, generation: int) -> ManifestHeader:
        """Return the first line of a generation.

        Raises:
            StoreError: Where it cannot be read.
        """
        return read_header(self._manifest, generation)

    def entries(self, generation: int) -> list[ManifestEntry]:
        """Return the runs of a generation.

        Raises:
            StoreError: Where one cannot be read.
        """
        return read_entries(self._manifest, generation)

    def manifest(self) -> Manifest:
        """Read every generation; what cannot be read is left out and named in `problems`."""
        manifest = read_manifest(self._manifest)
        self.problems = manifest.problems
        self._asked = False  # whoever reads anew wants to know what is so now
        return manifest

    def scheduled(self) -> SchedulerView | None:
        """Return what a scheduler knows of the sweep, asked once for every reading of the manifest."""
        if not self._asked:
            self._asked = True
            self._scheduled = None if self._scheduler is None else self._scheduler(self._folder)
        return self._scheduled

    @property
    def scheduler_error(self) -> str | None:
        """Why what was last said of the sweep may be old: its scheduler did not answer."""
        return None if self._scheduled is None else self._scheduled.problem

    def freeze(self, header: ManifestHeader, entries: Sequence[ManifestEntry]) -> int:
        """Add a generation to the manifest: atomic, durable, never changed again.

        Args:
            header: Its first line; its number is set here.
            entries: Its runs.

        Returns:
            Its number.

        Raises:
            StoreError: Where it cannot be written.
        """
        while True:
            number = max(self.generations(), default=0) + 1
            frozen = freeze(self._manifest, replace(header, generation=number), entries)
            if frozen is not None:
                return frozen

    def views(self) -> list[RunView]:
        """Return what is known of every run that any generation lists. Changes nothing.

        Raises:
            StoreError: Where there is no such sweep.
        """
        manifest = self.manifest()
        if not manifest.listed and not self.problems:
            raise StoreError(f"no sweep {self.name!r} under {self.path.parent}")
        fed = self._is_fed(manifest)
        views = [self.view_of(listed, fed=listed.entry.run_id in fed) for listed in manifest.listed.values()]
        return self.annotate_waiting(views, manifest, fed)

    def view(self, run_id: str) -> RunView:
        """Return what is known of one run.

        Raises:
            StoreError: Where no generation lists it.
        """
        manifest = self.manifest()
        if run_id not in manifest.listed:
            raise StoreError(f"no run {run_id!r} in the sweep {self.name!r}")
        fed = self._is_fed(manifest)
        return self.annotate_waiting([self.view_of(manifest.listed[run_id], fed=run_id in fed)], manifest, fed)[0]

    def annotate_waiting(
        self, views: Sequence[RunView], manifest: Manifest, fed: Collection[str] = ()
    ) -> list[RunView]:
        """Return views in which every run that has not begun says which others it waits for.

        Args:
            views: Views of runs that the manifest lists.
            manifest: The manifest.
            fed: Runs that a living queue feeds.
        """
        if not manifest.has_dependencies:
            return list(views)

        def look(run_id: str) -> RunView:
            return self.view_of(manifest.listed[run_id], fed=run_id in fed)

        return DependencyGraph(manifest).describe_waiting(views, look, fed=fed)

    def view_of(self, listed: ListedRun, *, fed: bool) -> RunView:
        """Return what is known of a run without reading the manifest again.

        Args:
            listed: The run in the manifest.
            fed: Whether a living queue is going to start it.
        """
        run_dir = f"{self._folder}/{listed.entry.run_id}"
        return read_view(self.name, run_dir, listed, fed=fed, ask=self.scheduled)

    def _is_fed(self, manifest: Manifest) -> frozenset[str]:
        """Return the runs that a living queue feeds."""
        queue = self.queue()
        if queue is None:
            return frozenset()
        if queue.generation in manifest.run_ids:
            return frozenset(manifest.run_ids[queue.generation])
        return frozenset(manifest.listed)

    def queue(self) -> QueueLock | None:
        """Return the process that feeds the sweep; None where there is none."""
        if not is_held(self._queue_lock):
            return None
        try:
            note = json.loads(read_bytes(self._queue_lock))
            return QueueLock(pid=int(note["pid"]), host=str(note["host"]), generation=int(note["generation"]))
        except (OSError, ValueError, KeyError, TypeError):
            return QueueLock()

    def lock_queue(self, generation: int, *, patience_s: float = 0.0) -> int:
        """Become the one process that feeds the sweep.

        Args:
            generation: The generation that it feeds.
            patience_s: Seconds to wait for another one to finish.

        Returns:
            The descriptor to close when it is done.

        Raises:
            LaunchError: Where another process feeds it.
        """
        deadline = time.monotonic() + patience_s
        while (fd := acquire(self._queue_lock)) is None:
            if time.monotonic() >= deadline:
                raise self.busy_error()
            time.sleep(_LOOK_S)
        note = json.dumps({"pid": os.getpid(), "host": host(), "generation": generation})
        os.pwrite(fd, note.encode(), 0)
        os.ftruncate(fd, len(note))
        return fd

    def busy_error(self) -> LaunchError:
        """Return the error of a second launcher, which names the first."""
        deadline = time.monotonic() + _NOTE_S
        while (queue := self.queue() or QueueLock()).pid is None and time.monotonic() < deadline:
            time.sleep(0.01)  # it has the lock, and is about to say who it is
        who = f"process {queue.pid} on {queue.host}" if queue.pid else "another process"
        return LaunchError(
            f"the sweep {self.name} is being run by {who}",
            hint=f"launch watch {self.name}, or launch cancel {self.name}",
        )

    def write_run_dirs(self, runs: Iterable[PlannedRun], *, dry: bool = False) -> WriteReport:
        """Make the directories of runs, as far as they are missing.

        Args:
            runs: Runs with their configs.
            dry: Whether only to say what would be done.

        Returns:
            What was done, and what resolves differently than before.

        Raises:
            StoreError: Where a directory cannot be written, or belongs to a run of another science.
        """
        return RunDirWriter(self._folder, self.manifest(), dry=dry).write(runs)
