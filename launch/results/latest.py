"""Find the current runs of a sweep: after an edit of a recipe or sweep file, earlier runs are superseded.

All runs in a row of the table have one configuration: everything that changes the numbers except the seed. It is
computed from the run directory, and only if the runs of a row were last submitted at different times.
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
# A run that starts from another run of its sweep contains that run's hash, which depends on the seed.
_SOURCE_IN_SWEEP = re.compile(r"""^(  init_from: (?!['"]?/).*\n)  init_hash: .*\n""", re.MULTILINE)
_HAS_SOURCE = re.compile(r"^  init_hash: (?!null)", re.MULTILINE)


def current_views(state: SweepState) -> list[RunView]:
    """Return the current runs of a sweep: the runs with the newest configuration of their row."""
    return drop_superseded(state.views(), state.manifest)


def runs_left(state: SweepState) -> list[RunView]:
    """Return the current runs of a sweep that have not succeeded."""
    return [view for view in current_views(state) if view.state is not State.SUCCEEDED]


def drop_superseded(views: Iterable[RunView], manifest: Manifest) -> list[RunView]:
    """Return the runs with the newest configuration of their row.

    Returns:
        For each experiment and settings, the runs with the configuration that was submitted last. A later submission
        of only some seeds does not drop the other seeds.
    """
    submitted = _last_submissions(manifest)
    groups: dict[tuple[str, str], list[RunView]] = {}
    for view in views:
        groups.setdefault(row_of(view.experiment, view.settings), []).append(view)
    latest = [view for group in groups.values() for view in _latest_configuration(group, submitted)]
    return _drop_stale(latest, DependencyGraph(manifest)) if manifest.has_dependencies else latest


def _last_submissions(manifest: Manifest) -> dict[str, int]:
    """Return the number of each run's last submission. A retry does not count, since it may list superseded runs."""
    numbers = [number for number in sorted(manifest.headers) if manifest.headers[number].why == Trigger.SUBMIT]
    return {run_id: number for number in numbers for run_id in manifest.run_ids[number]}


def _latest_configuration(group: Sequence[RunView], submitted: dict[str, int]) -> list[RunView]:
    numbers = {view.run_id: submitted.get(view.run_id, 0) for view in group}
    last = max(numbers.values())
    if min(numbers.values()) == last:  # the usual case, in which no file must be read
        return list(group)
    latest = {_configuration(view) for view in group if numbers[view.run_id] == last} - {None}
    return [view for view in group if numbers[view.run_id] == last or _configuration(view) in latest]


def _drop_stale(views: list[RunView], graph: DependencyGraph) -> list[RunView]:
    """Return the runs, except commands and fine-tunings that depend on a superseded run: they are superseded too."""
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
    """Return whether a run's identity includes other runs: it is a command, or starts from another run's parameters."""
    try:
        if json.loads(Path(view.run_dir, RUN).read_bytes()).get("command") is not None:
            return True
        return _HAS_SOURCE.search(Path(view.run_dir, CONFIG).read_text()) is not None
    except (OSError, ValueError, AttributeError):
        return False


def _configuration(view: RunView) -> str | None:
    """Return, as JSON, everything but the seed that changes a run's numbers; None if its files cannot be read."""
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
    """Return, as JSON, the part of a config that changes numbers; cached, as runs often differ only in their seed."""
    import yaml  # imported here, as it is needed only after a change of the configuration

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return json.dumps(science_subset(yaml.load(text, loader)), sort_keys=True)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
