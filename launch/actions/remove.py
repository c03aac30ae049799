"""Delete sweeps and runs with everything in their folders.

A sweep is first renamed to a hidden name, so that it is gone at once. Runs are first listed in a generation of the
manifest that says so, then renamed. What an interruption leaves has such a name, and `launch gc` deletes it.
"""

from __future__ import annotations

import errno
import os
import shlex
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from launch.actions.gc import remove_tree, size_of
from launch.actions.orphans import end_orphans, refuse_stuck
from launch.actions.targets import find_target
from launch.backends.slurm.squeue import invalidate
from launch.errors import BackendError, LaunchError, StoreError
from launch.results.latest import removed_configurations, runs_left
from launch.store.attempts import attempt_numbers, attempt_path
from launch.store.files import fault_point, store_error, store_errors
from launch.store.liveness import is_locked
from launch.store.queue_lock import check_not_busy, lock_queue
from launch.store.records import Trigger
from launch.store.state import State
from launch.store.store import REMOVED

if TYPE_CHECKING:
    from launch.store.store import Store
    from launch.store.sweep_state import SweepState

_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Removal:
    """A sweep, or some of its runs, that can be deleted.

    Attributes:
        state: The state of the sweep.
        run_ids: The runs; None for the whole sweep.
        size: The size of the files in bytes.
    """

    state: SweepState
    run_ids: tuple[str, ...] | None
    size: int

    @property
    def chosen(self) -> Sequence[str]:
        """The runs that are deleted."""
        return tuple(self.state.manifest.listed) if self.run_ids is None else self.run_ids


def plan_removal(store: Store, targets: Sequence[str]) -> list[Removal]:
    """Return the sweeps and runs that can be deleted. Changes nothing.

    Args:
        store: The store of the runs.
        targets: Sweeps and runs: names, files, folders, run ids, beginnings of run ids, or `SWEEP/RUN`.

    Raises:
        LaunchError: If a target names neither a sweep nor a run, or a run is at work, waits in a queue, or must succeed
            before another one.
        BackendError: If a scheduler that may have some of the runs does not answer.
    """
    invalidate(str(store.root))  # what has just ended may still be in the last answer of a cluster
    named: dict[str, dict[str, None] | None] = {}
    for target in targets:
        sweep, _, run_id = find_target(store, _without_folder(store, target)).partition("/")
        runs = named.setdefault(sweep, {})
        if not run_id:
            named[sweep] = None
        elif runs is not None:
            runs[run_id] = None
    found: list[Removal] = []
    for sweep, runs in named.items():
        state = store.sweep(sweep).state()
        check_not_busy(state.folder)
        run_ids = None if runs is None else tuple(runs)
        _check_idle(state.refreshed(fed=()), run_ids)
        places = [state.folder] if run_ids is None else [f"{state.folder}/{run_id}" for run_id in run_ids]
        found.append(Removal(state=state, run_ids=run_ids, size=sum(size_of(Path(place)) for place in places)))
    _check_dependents(store, found)
    return found


def remove_all(removals: Sequence[Removal]) -> int:
    """Delete sweeps and runs; return the number of bytes freed.

    Raises:
        LaunchError: If a run has started since `plan_removal`, or another process runs its sweep.
        StoreError: If a folder cannot be renamed or deleted.
    """
    hidden: list[tuple[str, int]] = []
    for removal in removals:
        # With the lock, no other process starts or submits a run of the sweep.
        lock = lock_queue(removal.state.folder, removal.state.manifest.newest)
        try:
            state = removal.state.refreshed(fed=())
            _check_idle(state, removal.run_ids)
            _check_rights(state, removal.run_ids)
            refuse_stuck(end_orphans(view for view in state.views(removal.run_ids) if view.state is State.LOST))
            places = _hide(state, removal.run_ids)
        finally:
            os.close(lock)
        hidden += [(place, removal.size if number == 0 else 0) for number, place in enumerate(places)]
        fault_point("remove.hidden")
    for place, _ in hidden:
        with store_errors(f"delete {place}"), suppress(FileNotFoundError):  # `launch gc` may delete it too
            remove_tree(Path(place))
    return sum(size for _, size in hidden)


def _hide(state: SweepState, run_ids: Collection[str] | None) -> list[str]:
    """Take a sweep or runs out of the store; return the folders that are left to delete."""
    if run_ids is None or state.manifest.listed.keys() <= set(run_ids):  # a sweep has runs
        return [_rename(state.folder)]
    configurations = removed_configurations(state, run_ids)
    header = replace(
        state.manifest.newest_header(), why=Trigger.REMOVE, created=time.time(), configurations=configurations
    )
    state.freeze(header, [state.manifest.listed[run_id].entry for run_id in run_ids])
    fault_point("remove.listed")
    present = (f"{state.folder}/{run_id}" for run_id in run_ids)
    return [_rename(folder) for folder in present if os.path.lexists(folder)]


def _rename(folder: str) -> str:
    hidden = os.path.join(os.path.dirname(folder), f"{REMOVED}{os.urandom(6).hex()}")
    with store_errors(f"rename {folder}"):
        os.rename(folder, hidden)
    return hidden


def _without_folder(store: Store, target: str) -> str:
    """Return the name of a sweep whose folder is named, such as `runs/mnist5k`; else `target` itself."""
    path = Path(os.path.abspath(target))
    return path.name if path.parent == store.root and path.name in store.sweeps() else target


def _check_idle(state: SweepState, run_ids: Sequence[str] | None) -> None:
    """Raise if a process may work on a run or is going to start it."""
    if (problem := state.scheduler_error) is not None:
        raise BackendError(
            f"the runs of {state.name} may be in the queue of a cluster, which does not answer: {problem}",
            hint="type it again when the cluster answers, or on a machine that sees it",
        )
    queued = () if state.scheduled is None else state.scheduled.tasks
    busy = {
        view.run_id: str(view.state).lower()
        if view.state is State.RUNNING or view.run_id not in queued
        else "in the queue of the cluster"
        for view in state.views(run_ids)
        if view.state in (State.RUNNING, State.PENDING) or view.run_id in queued
    }
    folders = [e.name for e in os.scandir(state.folder) if e.name[0] != "."] if run_ids is None else run_ids
    busy |= {name: "running" for name in folders if name not in busy and _is_held(f"{state.folder}/{name}")}
    if busy:
        words = _words([f"{run_id} is {what}" for run_id, what in busy.items()])
        names = [state.name] if run_ids is None else [f"{state.name}/{run_id}" for run_id in busy]
        hint = f"`launch cancel {shlex.join(names)}` stops what runs or waits"
        raise LaunchError(f"{state.name}: {words}", hint=hint)


def _check_rights(state: SweepState, run_ids: Sequence[str] | None) -> None:
    """Raise if a folder cannot be deleted: after the renaming it would be out of sight, and still there."""
    for top in [state.folder] if run_ids is None else [f"{state.folder}/{run_id}" for run_id in run_ids]:
        for place, _, _ in os.walk(top):
            if os.stat(place).st_uid != os.getuid() and not os.access(place, os.W_OK | os.X_OK):
                error = PermissionError(errno.EACCES, os.strerror(errno.EACCES), place)
                raise store_error(error, f"delete {place}; nothing was deleted")


def _is_held(run_dir: str) -> bool:
    """Return whether a process still works on the newest attempt of a run, for example on its last lines."""
    with suppress(NotADirectoryError):
        numbers = attempt_numbers(run_dir)
        return bool(numbers) and is_locked(attempt_path(run_dir, numbers[-1]))
    return False


def _check_dependents(store: Store, removals: Sequence[Removal]) -> None:
    """Raise if a run that has not succeeded comes after one that is to be deleted: it would start without it."""
    whole = {removal.state.name for removal in removals if removal.run_ids is None}
    for removal in removals:
        state = removal.state
        after = state.dependencies.dependents(removal.chosen) if removal.run_ids is not None else ()
        _refuse([run_id for run_id in after if state.view(run_id).state is not State.SUCCEEDED], state.name)
        for name in store.sweeps():
            other = store.sweep(name).state()
            with suppress(StoreError):  # without a manifest that can be read, nothing is known about it
                if name not in whole and state.name in other.manifest.newest_header().after and runs_left(other):
                    _refuse([f"the sweep {name}"], state.name)


def _refuse(waiting: Sequence[str], sweep: str) -> None:
    if waiting:
        verbs = ("comes", "has") if len(waiting) == 1 else ("come", "have")
        raise LaunchError(
            f"{_words(sorted(waiting))} {verbs[0]} after runs of {sweep} and {verbs[1]} not succeeded: "
            "nothing was deleted",
            hint="delete both with one command, or wait until they have succeeded",
        )


def _words(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
