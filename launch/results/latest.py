"""Find the current runs of a sweep: after an edit of a recipe or sweep file, earlier runs are superseded.

The rule, which every table, file, report and the Python interface share: current is what the newest complete submission
(one without `--only`) lists, and what later submissions with `--only` list; and other seeds of these configurations. A
configuration is everything that changes the numbers except the seed. It is computed from the run directory, and only if
there are runs that these submissions do not list. A deletion records it: the deleted run may be the only one listed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from launch.results.configuration import read_configuration
from launch.store.dependencies import DependencyGraph
from launch.store.records import Trigger
from launch.store.state import State
from launch.store.stored_runs import by_ending, choose_view
from s5.run_dir.json_file import parse_json
from s5.run_dir.regular_file import read_regular
from s5.run_dir.result import RUN

if TYPE_CHECKING:
    from launch.store.manifest import Manifest
    from launch.store.sweep_state import SweepState
    from launch.store.view import RunView

_HASH_DIGITS = 16  # of the hash of a configuration


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The runs of a sweep, by whether they count.

    Attributes:
        current: The runs of the sweep as it was last submitted, in the order of its file, then other seeds of these.
        superseded: The runs of earlier submissions, whose configuration it does not have any more.
        repeated: The runs with the configuration and the seed of another run, which counts instead.
    """

    current: list[RunView]
    superseded: list[RunView]
    repeated: list[RunView]


def select_views(state: SweepState) -> Selection:
    """Return the runs of a sweep, by whether they count."""
    return divide(state.views(), state.manifest)


def current_views(state: SweepState) -> list[RunView]:
    """Return the current runs of a sweep."""
    return select_views(state).current


def runs_left(state: SweepState) -> list[RunView]:
    """Return the current runs of a sweep that have not succeeded."""
    return [view for view in current_views(state) if view.state is not State.SUCCEEDED]


def divide(views: Sequence[RunView], manifest: Manifest) -> Selection:
    """Divide runs of a sweep by whether they count; see `Selection`."""
    repeated = _repeated(views)
    rest = [view for view in views if view.run_id not in repeated]
    listed = list(dict.fromkeys(repeated.get(run_id, run_id) for run_id in _last_submissions(manifest)))
    place = {run_id: number for number, run_id in enumerate(listed)}
    # Usually all are listed, and no file must be read.
    if (listed or _removed_since(manifest)) and not all(view.run_id in place for view in rest):
        latest = {_configuration(view) for view in rest if view.run_id in place} - {None} | _removed_since(manifest)
        current = [view for view in rest if view.run_id in place or _configuration(view) in latest]
    else:
        current = rest
    if manifest.has_dependencies:
        current = _drop_stale(current, repeated, DependencyGraph(manifest))
    kept = {view.run_id for view in current}
    return Selection(
        current=sorted(current, key=lambda view: place.get(view.run_id, len(place))),
        superseded=[view for view in rest if view.run_id not in kept],
        repeated=[view for view in views if view.run_id in repeated],
    )


def _repeated(views: Iterable[RunView]) -> dict[str, str]:
    """Return each run whose configuration and seed another run has too, with the run that counts instead."""
    by_id = {view.run_id: view for view in views}
    found: dict[str, str] = {}
    for run_ids in by_ending(by_id).values():
        if len(run_ids) > 1:
            equal: dict[object, list[RunView]] = {}
            for run_id in run_ids:
                equal.setdefault(_identity(by_id[run_id]), []).append(by_id[run_id])
            for group in equal.values():
                chosen = choose_view(group).run_id
                found |= {view.run_id: chosen for view in group if view.run_id != chosen}
    return found


def _identity(view: RunView) -> object:
    """Return the hash in `run.json`; for a file that cannot be read, the run's id."""
    try:
        return parse_json(read_regular(Path(view.run_dir, RUN)))["science_hash"]
    except (OSError, ValueError, TypeError, KeyError):
        return view.run_id


def _last_submissions(manifest: Manifest) -> list[str]:
    """Return the runs of the newest complete submission, in the order of its file, and of all later submissions.

    A retry does not count, since it may list superseded runs.
    """
    first = manifest.last_complete
    numbers = [n for n, header in manifest.headers.items() if n >= first and header.why == Trigger.SUBMIT]
    return [run_id for number in sorted(numbers) for run_id in manifest.run_ids[number]]


def removed_configurations(state: SweepState, run_ids: Collection[str]) -> tuple[str, ...]:
    """Return the configurations of runs that are going to be deleted, if the sweep as last submitted lists the runs."""
    listed = set(_last_submissions(state.manifest)) & set(run_ids)
    found = {_configuration(view) for view in state.views(listed)} - {None} if listed else set[str]()
    return tuple(sorted(key for key in found if key))


def _removed_since(manifest: Manifest) -> set[str | None]:
    """Return the configurations that the last submissions listed with runs that were deleted since."""
    headers, first = manifest.headers.items(), manifest.last_complete
    return {key for number, one in headers if number > first for key in one.configurations or ()}


def _drop_stale(views: list[RunView], repeated: Collection[str], graph: DependencyGraph) -> list[RunView]:
    """Return the runs, except commands and fine-tunings that depend on a superseded run: they are superseded too."""
    while True:
        current = {*repeated, *(view.run_id for view in views)}
        keys = {key for view in views for key in graph.requirements(view.run_id)}
        stale = {key for key in keys if not current.issuperset(graph.providers(key))}
        kept = [
            view for view in views if stale.isdisjoint(graph.requirements(view.run_id)) or not _depends_on_others(view)
        ]
        if len(kept) == len(views):
            return views
        views = kept


def _depends_on_others(view: RunView) -> bool:
    """Return whether a run's identity includes other runs: it is a command, or starts from another run's parameters."""
    found = read_configuration(view)
    return found is not None and (found.command is not None or found.has_source)


def _configuration(view: RunView) -> str | None:
    """Return a hash that is equal for equal configurations; None if the run's files cannot be read."""
    found = read_configuration(view)
    return None if found is None else sha256(found.key.encode()).hexdigest()[:_HASH_DIGITS]
