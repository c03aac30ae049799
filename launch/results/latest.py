"""Which runs of a sweep are current: an edited recipe or sweep file leaves superseded runs behind.

A row of the table has one configuration: everything that changes the numbers except the seed. It is not stored but
computed from the run directory, and only if the generations of a row leave it open.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launch.store.dependencies import DependencyGraph
from launch.store.records import Trigger, row_of
from launch.store.state import State
from s5.config.identity import science_subset
from s5.run_dir.result import CONFIG, RUN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from launch.store.manifest import Manifest
    from launch.store.sweep_state import SweepState
    from launch.store.view import RunView

_SEED = re.compile(r"^seed:.*\n?", re.MULTILINE)
# A run that starts from another of its sweep has that one's hash, which differs with the seed.
_SOURCE_IN_SWEEP = re.compile(r"""^(  init_from: (?!['"]?/).*\n)  init_hash: .*\n""", re.MULTILINE)
_HAS_SOURCE = re.compile(r"^  init_hash: (?!null)", re.MULTILINE)


def current_views(state: SweepState) -> list[RunView]:
    """Return the runs of a sweep that are current: those of every row's newest configuration."""
    return drop_superseded(state.views(), state.manifest)


def runs_left(state: SweepState) -> list[RunView]:
    """Return the current runs of a sweep that have not succeeded."""
    return [view for view in current_views(state) if view.state is not State.SUCCEEDED]


def drop_superseded(views: Iterable[RunView], manifest: Manifest) -> list[RunView]:
    """Return the runs of every row's newest configuration.

    Returns:
        Of the runs with the same experiment and settings those with the configuration that was submitted last,
        whichever generation lists them: a submission of some seeds alone does not drop the others.
    """
    submitted = _last_submissions(manifest)
    groups: dict[tuple[str, str], list[RunView]] = {}
    for view in views:
        groups.setdefault(row_of(view.experiment, view.settings), []).append(view)
    latest = [view for group in groups.values() for view in _latest_configuration(group, submitted)]
    return _drop_stale(latest, DependencyGraph(manifest)) if manifest.has_dependencies else latest


def _last_submissions(manifest: Manifest) -> dict[str, int]:
    """Return the last submission of every run. A retry does not count: it lists runs of any configuration."""
    numbers = [number for number in sorted(manifest.headers) if manifest.headers[number].why == Trigger.SUBMIT]
    return {run_id: number for number in numbers for run_id in manifest.run_ids[number]}


def _latest_configuration(group: Sequence[RunView], submitted: dict[str, int]) -> list[RunView]:
    numbers = {view.run_id: submitted.get(view.run_id, 0) for view in group}
    last = max(numbers.values())
    if min(numbers.values()) == last:  # nearly always; then no file need be read
        return list(group)
    latest = {_configuration(view) for view in group if numbers[view.run_id] == last} - {None}
    return [view for view in group if numbers[view.run_id] == last or _configuration(view) in latest]


def _drop_stale(views: list[RunView], graph: DependencyGraph) -> list[RunView]:
    """Leave out commands and fine-tunings with a superseded predecessor: after its successor they are other runs."""
    while True:
        current = {view.run_id for view in views}
        keys = {key for view in views for key in graph.requirements(view.run_id)}
        stale = {key for key in keys if not current.issuperset(graph.providers(key))}
        kept = [
            view for view in views if stale.isdisjoint(graph.requirements(view.run_id)) or not _depends_on_others(view)
        ]
        if len(kept) == len(views):
            return views
        views = kept


def _depends_on_others(view: RunView) -> bool:
    """Return whether what comes before a run is part of it: it is a command, or starts from another's parameters."""
    try:
        if json.loads(Path(view.run_dir, RUN).read_bytes()).get("command") is not None:
            return True
        return _HAS_SOURCE.search(Path(view.run_dir, CONFIG).read_text()) is not None
    except (OSError, ValueError, AttributeError):
        return False


def _configuration(view: RunView) -> str | None:
    """Return everything but the seed that changes a run's numbers; None if its files cannot be read."""
    try:
        record = json.loads(Path(view.run_dir, RUN).read_bytes())
        text = Path(view.run_dir, CONFIG).read_text()
        return json.dumps(
            [
                record["science_version"],
                record.get("command"),
                _science(_SOURCE_IN_SWEEP.sub(r"\1", _SEED.sub("", text))),
            ]
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


@lru_cache(maxsize=4096)
def _science(text: str) -> str:
    """Return the scientific part of a config. Runs that differ only in their seed are parsed once."""
    import yaml  # only if the configuration has changed

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return json.dumps(science_subset(yaml.load(text, loader)), sort_keys=True)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
