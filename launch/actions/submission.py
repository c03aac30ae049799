"""A sweep that is ready to be driven: which runs, which generation of the manifest, where they stand."""

from __future__ import annotations

import fnmatch
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from launch.backends.base import AttendedBackend, Backend
from launch.errors import LaunchError, StoreError, nearest
from launch.grammar import format_value
from launch.profiles.profile import Profile
from launch.results.latest import runs_left
from launch.store.manifest import Manifest, same_but_for_time
from launch.store.records import ManifestEntry, ManifestHeader, row_of
from launch.store.run_dirs import WriteReport
from launch.store.run_result import adopt_result, has_result
from launch.store.state import OVER, State
from launch.store.store import Store, SweepStore
from launch.store.view import RunView

if TYPE_CHECKING:
    from launch.actions.container_plan import ContainerPlan
    from launch.compose.composer import Run

# How long to wait for another process that hands over to a scheduler.
_PATIENCE_S = 130.0
_LOOK_S = 0.05

# Where the code lies that runs execute, unless another place is named: the one this launcher was imported from.
_SOURCE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A sweep that is ready to be driven.

    Attributes:
        sweep: Name of the sweep.
        generation: The manifest generation to feed; None for a dry run.
        profile: Where its runs execute.
        runs: The selected runs; empty for a retry.
        report: What planning did.
        views: The selected runs as they stood before anything was started.
        warnings: What the user should know, one line each.
        max_parallel: How many of the runs may execute at once; None for as many as fit.
        containment: What they execute in; None where that was not found out.
        obstacles: What would keep the runs of a dry run from starting here.
    """

    sweep: str
    generation: int | None
    profile: Profile
    runs: tuple[Run, ...]
    report: WriteReport
    views: tuple[RunView, ...]
    warnings: tuple[str, ...]
    max_parallel: int | None = None
    containment: ContainerPlan | None = None
    obstacles: tuple[LaunchError, ...] = ()

    @property
    def counts(self) -> Counter[State]:
        """How many of the selected runs are in each state."""
        return Counter(view.state for view in self.views)

    @property
    def left_alone(self) -> tuple[RunView, ...]:
        """Failed and cancelled runs, which only `launch retry` starts again."""
        return tuple(view for view in self.views if view.state in (State.FAILED, State.CANCELLED))


def select(runs: Sequence[Run], only: str | None) -> list[Run]:
    """Return the runs that a glob picks by their id, their experiment, or a setting as `key=value`."""
    selected = [run for run in runs if only is None or any(fnmatch.fnmatchcase(n, only) for n in _names(run))]
    if not selected:
        raise LaunchError(
            f"--only {only!r} matches none of the {len(runs)} runs",
            hint=f"it is held against {', '.join(_names(runs[0]))}, for the first run" if runs else None,
        )
    return selected


def _names(run: Run) -> list[str]:
    """Return all that a run may be picked by; a setting by every ending of its key: `optim.lr=1` and `lr=1`."""
    record = run.record
    names = [record.run_id, record.experiment]
    for key, value in {**run.settings, "seed": record.seed}.items():
        parts, text = key.split("."), value if isinstance(value, str) else format_value(value)
        names += [f"{'.'.join(parts[start:])}={text}" for start in range(len(parts))]
    return names


def entry_of(run: Run) -> ManifestEntry:
    """Return the line that lists a run."""
    record = run.record
    return ManifestEntry(
        run_id=record.run_id,
        experiment=record.experiment,
        settings=run.settings,
        seed=record.seed,
        resources=run.spec.resources,
        gives=run.spec.dependencies.provides,
        after=run.spec.dependencies.requires,
    )


def freeze_or_reuse(sweep: SweepStore, header: ManifestHeader, entries: Sequence[ManifestEntry]) -> int:
    """Return the generation that says this already, or add one that does."""
    manifest = sweep.manifest()
    for generation in sorted(manifest.headers, reverse=True):
        found = manifest.headers[generation]
        if not same_but_for_time(found, header):
            break  # what came before it has been superseded
        if found.why == "submit":
            if _lists(manifest, generation, entries):
                return generation
            if _replaces(manifest, generation, entries):
                break  # reused, what came before it would stay the older
    return sweep.freeze(header, entries)


def _lists(manifest: Manifest, generation: int, entries: Sequence[ManifestEntry]) -> bool:
    """Say whether a generation lists exactly these runs, and nothing newer asks for other resources."""
    return manifest.run_ids[generation] == tuple(entry.run_id for entry in entries) and all(
        manifest.listed[entry.run_id].entry == entry for entry in entries
    )


def _replaces(manifest: Manifest, generation: int, entries: Sequence[ManifestEntry]) -> bool:
    """Say whether a generation has other runs in the place of these, as after an edit of the sweep file."""
    own = {entry.run_id for entry in entries}
    rows = {row_of(entry.experiment, entry.settings) for entry in entries}
    others = [manifest.listed[run_id].entry for run_id in manifest.run_ids[generation] if run_id not in own]
    return any(row_of(other.experiment, other.settings) in rows for other in others)


def view_runs(sweep: SweepStore, entries: Sequence[ManifestEntry]) -> tuple[RunView, ...]:
    """Return the views of runs, listed or not yet."""
    return tuple(sweep.state(fed=()).with_entries(entries).views(entry.run_id for entry in entries))


def find_predecessors(chosen: Sequence[Run], planned: Sequence[Run]) -> list[Run]:
    """Return the runs that chosen ones come directly after, and that were not chosen with them.

    Args:
        chosen: The runs that are to be submitted.
        planned: All runs of the sweep.
    """
    own = {run.record.run_id for run in chosen}
    tokens = {token for run in chosen for token in run.spec.dependencies.requires}
    return [
        run for run in planned if run.record.run_id not in own and not tokens.isdisjoint(run.spec.dependencies.provides)
    ]


def find_left_out(chosen: Sequence[Run], before: Sequence[Run], sweep: SweepStore) -> list[LaunchError]:
    """Return what keeps runs from ever starting that were chosen without those that come before them.

    Args:
        chosen: The runs that are to be submitted.
        before: What `find_before` returned.
        sweep: Where they lie: what has succeeded need not be chosen.
    """
    for run in before:
        run_id = run.record.run_id
        if not has_result(str(sweep.run_dir(run_id))):
            other, token = next(
                (other.record.run_id, token)
                for other in chosen
                for token in other.spec.dependencies.requires
                if token in run.spec.dependencies.provides
            )
            message = f"{other} comes after {token}, of which {run_id} has not succeeded and is left out"
            return [LaunchError(message, hint="choose both with --only, or run what comes first before")]
    return []


def adopt(sweep: SweepStore, views: tuple[RunView, ...]) -> tuple[RunView, ...]:
    """Publish the results of runs that finished after their supervisor was gone."""
    adopted = [view.run_id for view in views if view.state is State.LOST and adopt_result(view.run_dir)]
    if not adopted:
        return views
    return tuple(sweep.view(view.run_id) if view.run_id in adopted else view for view in views)


def check_after(names: Sequence[str], store: Store, *, attended: bool) -> None:
    """Refuse a sweep whose turn has not come, unless its scheduler lets it wait.

    Args:
        names: The sweeps that it comes after.
        store: Where they lie.
        attended: Whether it has no such scheduler.

    Raises:
        LaunchError: Where one of them is not there, or has not ended well.
    """
    for name in names:
        if name not in store.sweeps():
            near = nearest(name, store.sweeps())
            hint = f"did you mean {near}? " if near else ""
            raise StoreError(
                f"there is no sweep {name!r} that this one could come after", hint=f"{hint}See `after:` in its file"
            )
        left = runs_left(store.sweep(name).state())
        if left and attended:
            bad = [view for view in left if view.state in OVER]
            shown = bad or left
            words = ", ".join(f"{count} {state}" for state, count in Counter(view.state for view in left).items())
            raise LaunchError(
                f"the sweep {name}, which this one comes after, has not succeeded: {words} ({shown[0].run_id})",
                hint=f"`launch retry {name}` starts them anew"
                if bad
                else f"`launch wait {name}` returns when it has ended",
            )


def backend_of(profile: Profile) -> Backend:
    """Return the backend that a profile names, which is loaded only now."""
    from launch.backends.choose import find_backend

    return find_backend(profile)


def queue_reader(header: ManifestHeader) -> Profile:
    """Return as much of the profile of a generation as says who schedules it."""
    return Profile(name=header.profile, backend=header.backend)


def refuse_second(sweep: SweepStore, profile: Profile) -> None:
    """Refuse to touch a sweep that another process feeds; one that hands over to a scheduler soon lets go of it."""
    patience_s = 0.0 if isinstance(backend_of(profile), AttendedBackend) else _PATIENCE_S
    deadline = time.monotonic() + patience_s
    while sweep.queue() is not None:
        if time.monotonic() >= deadline:
            raise sweep.busy_error()
        time.sleep(_LOOK_S)


def snapshot_of(source: Path | None, store: Store) -> tuple[str, tuple[str, ...]]:
    """Return the hash of the code that runs execute, which is copied if need be, and what there is to say about it.

    Args:
        source: The folder of the code; None for the one this launcher was imported from.
        store: Where the copies lie.
    """
    from launch.store.snapshot import take_snapshot

    snapshot = take_snapshot(source or _SOURCE, store.root)
    return snapshot.hash, snapshot.notices
