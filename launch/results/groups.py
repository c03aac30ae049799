"""Group runs to the rows of a table: a row for each configuration, a column for all that differs between the rows."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from launch.results.configuration import SOURCE, SOURCE_HASH, Configuration, key_of
from launch.store.manifest import BLOCK
from launch.store.records import row_of

if TYPE_CHECKING:
    from launch.store.view import RunView

_COMMAND = "command"  # the column of commands; no key of a config has this name
_HASHES = (SOURCE_HASH, "plugin_hash")  # columns that show their first digits
_HASH_DIGITS = 8


@dataclass(frozen=True, kw_only=True)
class RunGroup:
    """The runs of one row.

    Attributes:
        experiment: Their recipe.
        settings: What their sweep varies.
        shown: The value of each column that the row has.
        views: The runs.
        configuration: Their configuration; None if it cannot be read.
        current: Whether the sweep, as it was last submitted, has this configuration.
    """

    experiment: str
    settings: dict[str, Any]
    shown: dict[str, Any]
    views: Sequence[RunView]
    configuration: Configuration | None
    current: bool


def group_runs(
    views: Sequence[RunView],
    configurations: Mapping[str, Configuration],
    *,
    superseded: Sequence[RunView] = (),
    dependent: Iterable[str] = (),
) -> list[RunGroup]:
    """Group runs by their configuration.

    Args:
        views: The current runs in the order of the sweep, which is also the order of the rows.
        configurations: From `read_configurations`. Runs without a configuration are grouped by their settings.
        superseded: The runs of earlier submissions, to be shown after the others.
        dependent: The keys of runs whose identity may include the runs they wait for. They are grouped by their
            settings too, since their configuration does not name those runs.
    """
    apart = frozenset(dependent)
    made: list[RunGroup] = []
    for is_current, members in ((True, views), (False, superseded)):
        groups: dict[object, list[RunView]] = {}
        for view in members:
            found, row = configurations.get(key_of(view)), row_of(view.experiment, view.settings)
            own = row if found is None or key_of(view) in apart else None
            groups.setdefault((view.sweep, found and found.key, own), []).append(view)
        made += [_group(same, configurations.get(key_of(same[0])), is_current=is_current) for same in groups.values()]
    return _with_columns(made)


def _group(views: Sequence[RunView], configuration: Configuration | None, *, is_current: bool) -> RunGroup:
    """Make a group; the newest submission names its settings."""
    newest = sorted(views, key=lambda view: -view.generation)
    settings: dict[str, Any] = {}
    for view in newest:
        settings = {**settings, **{key: value for key, value in view.settings.items() if key not in settings}}
    blocks = dict.fromkeys(view.settings[BLOCK] for view in views if BLOCK in view.settings)
    if len(blocks) > 1:
        settings[BLOCK] = ", ".join(blocks)
    return RunGroup(
        experiment=newest[0].experiment,
        settings=settings,
        shown=settings,
        views=views,
        configuration=configuration,
        current=is_current,
    )


def _with_columns(groups: Sequence[RunGroup]) -> list[RunGroup]:
    """Return the groups with a value for each column."""
    names = dict.fromkeys(key for group in groups for key in group.settings)
    names |= dict.fromkeys(_differing(groups))
    shown = [_row(group, names) for group in groups]
    commands = {group.configuration.command for group in groups if group.configuration}
    if len(commands) > 1 and len({row_of(g.experiment, row) for g, row in zip(groups, shown, strict=True)}) < len(
        groups
    ):
        shown = [row | _command(group) for group, row in zip(groups, shown, strict=True)]
    return [replace(group, shown=row) for group, row in zip(groups, shown, strict=True)]


def _row(group: RunGroup, names: Iterable[str]) -> dict[str, Any]:
    """Return the values of a group's columns: as the sweep file says, else as in the config."""
    values: Mapping[str, Any] = group.configuration.values if group.configuration else {}
    row = {key: group.settings.get(key, values.get(key)) for key in names if key in group.settings or key in values}
    return row | {key: str(row[key])[:_HASH_DIGITS] for key in _HASHES if row.get(key) is not None}


def _command(group: RunGroup) -> dict[str, Any]:
    words = group.configuration.command if group.configuration else None
    return {} if words is None else {_COMMAND: shlex.join(words)}


def _differing(groups: Sequence[RunGroup]) -> list[str]:
    """Return the keys whose values differ between the configurations of the rows.

    Between two recipes, or two models of one recipe, almost every value differs, and the column that names them says
    so: there only keys count that the sweep sets itself.
    """
    known = [(group.experiment, group.configuration) for group in groups if group.configuration]
    families: dict[object, list[Configuration]] = {}
    for experiment, configuration in known:
        families.setdefault((experiment, configuration.choices), []).append(configuration)
    found = {key: None for members in families.values() for key in _unequal(members, one_family=True)}
    every = [configuration for _, configuration in known]
    overridden = {key for configuration in every for key in configuration.overridden}
    found |= dict.fromkeys(key for key in _unequal(every) if key in overridden)
    if SOURCE_HASH in found:
        sources = {(one.values.get(SOURCE), one.science.get(SOURCE_HASH)) for one in every}
        found[SOURCE] = None
        if len({place for place, _ in sources}) == len(sources):
            del found[SOURCE_HASH]
    return list(found)


def _unequal(configurations: Sequence[Configuration], *, one_family: bool = False) -> list[str]:
    """Return the scientific keys that have several values. Only within a family is a missing key a difference."""
    keys = dict.fromkeys(key for one in configurations for key in one.science)
    found: list[str] = []
    for key in keys:
        values = [one.values.get(key) for one in configurations if key in one.values]
        has_key = [key in one.science for one in configurations]
        if any(value != values[0] for value in values) or (one_family and any(has_key) and not all(has_key)):
            found.append(key)
    return found
