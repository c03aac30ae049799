"""Which runs of a sweep are today's: a recipe or a sweep file that was edited leaves runs behind that are not.

A row of the table is of one configuration, which is all that changes the numbers but the seed. It is not stored: it is
computed from what lies in the run directory, and only where the generations of a row leave a doubt.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launch.store.dependencies import DependencyGraph
from launch.store.files import CONFIG, RUN
from launch.store.records import row_of
from s5.config.identity import science_subset

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from launch.store.manifest import Manifest
    from launch.store.view import RunView

_SEED = re.compile(r"^seed:.*\n?", re.MULTILINE)


def drop_superseded(views: Iterable[RunView], manifest: Manifest) -> list[RunView]:
    """Return the runs of every row's newest configuration.

    Args:
        views: The runs of a sweep.
        manifest: What says which of them were asked for last.

    Returns:
        Of the runs with the same experiment and settings those with the configuration that was submitted last, whatever
        generation lists them: one that was narrowed to some seeds takes none from the others.
    """
    asked = _asked(manifest)
    groups: dict[tuple[str, str], list[RunView]] = {}
    for view in views:
        groups.setdefault(row_of(view.experiment, view.settings), []).append(view)
    return _drop_stale([view for group in groups.values() for view in _latest_configuration(group, asked)], manifest)


def _asked(manifest: Manifest) -> dict[str, int]:
    """Return the last submission of every run. A retry does not count: it lists runs of whatever configuration."""
    submitted = [number for number in sorted(manifest.headers) if manifest.headers[number].why == "submit"]
    return {run_id: number for number in submitted for run_id in manifest.run_ids[number]}


def _latest_configuration(group: Sequence[RunView], asked: dict[str, int]) -> list[RunView]:
    numbers = {view.run_id: asked.get(view.run_id, 0) for view in group}
    last = max(numbers.values())
    if min(numbers.values()) == last:  # nearly always; then nothing need be read
        return list(group)
    today = {_configuration(view) for view in group if numbers[view.run_id] == last} - {None}
    return [view for view in group if numbers[view.run_id] == last or _configuration(view) in today]


def _drop_stale(views: list[RunView], manifest: Manifest) -> list[RunView]:
    """Leave out commands before which something came that is not today's: they are other runs today."""
    if not manifest.has_dependencies:
        return views
    before, todays = DependencyGraph(manifest), {view.run_id for view in views}
    while True:
        keys = {key for view in views for key in before.requirements(view.run_id)}
        lost = {key for key in keys if not todays.issuperset(before.providers(key))}
        kept = [view for view in views if lost.isdisjoint(before.requirements(view.run_id)) or not _has_command(view)]
        if len(kept) == len(views):
            return views
        views, todays = kept, {view.run_id for view in kept}


def _has_command(view: RunView) -> bool:
    try:
        return json.loads(Path(view.run_dir, RUN).read_bytes()).get("command") is not None
    except (OSError, ValueError, AttributeError):
        return False


def _configuration(view: RunView) -> str | None:
    """Return what changes a run's numbers beside its seed; None where its files cannot be read."""
    try:
        record = json.loads(Path(view.run_dir, RUN).read_bytes())
        text = Path(view.run_dir, CONFIG).read_text()
        return json.dumps([record["science_version"], record.get("command"), _science(_SEED.sub("", text))])
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


@lru_cache(maxsize=4096)
def _science(text: str) -> str:
    """Return the scientific part of a config. Runs that differ in their seed alone are parsed once."""
    import yaml  # only where something has changed

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return json.dumps(science_subset(yaml.load(text, loader)), sort_keys=True)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
