"""Match the rows of several sweeps, so that their numbers stand side by side."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from launch.results.sorting import by_configuration
from launch.store.records import row_of

if TYPE_CHECKING:
    from launch.results.gather import Results
    from launch.results.groups import RunGroup
    from launch.results.table import ResultRow


@dataclass(frozen=True, kw_only=True)
class ComparedRow:
    """One row of the comparison.

    Attributes:
        experiment: The recipe; several are joined by a bar, in the order of the sweeps.
        settings: The value of each column; several values are joined in the same way.
        of: The row of each metric in each sweep that has it, by sweep and metric.
    """

    experiment: str
    settings: dict[str, Any]
    of: Mapping[tuple[str, str], ResultRow]


def compare(results: Results, sweeps: Sequence[str]) -> list[ComparedRow]:
    """Match the rows of several sweeps.

    Rows of one configuration match. Of the others those match that have the same recipe and the same values of what
    their sweep files vary, then those that have the same values of what differs between the rows of any of the sweeps,
    if each sweep has only one such row: then their configurations differ in what a sweep has fixed. Last, a choice of
    a file such as `model` counts by the values that it has set, since a recipe chooses without naming it.

    Args:
        results: The results of the sweeps, from `gather_all`.
        sweeps: The names of the sweeps. The others are compared with the first.
    """
    matches: list[dict[str, RunGroup]] = []
    left = list(results.groups)
    varied = varied_columns(results.groups)
    values_key = partial(_values_key, keys=varied)
    contents_key = partial(_contents_key, keys=varied, columns=_columns(results.groups))
    for key_of_group in (_configuration_key, _settings_key, values_key, contents_key):
        found: dict[object, list[RunGroup]] = {}
        for group in left:
            found.setdefault(key_of_group(group), []).append(group)
        for key, members in found.items():
            names = [group.views[0].sweep for group in members]
            if key is not None and len(members) == len(set(names)) > 1:
                matches.append(dict(zip(names, members, strict=True)))
                left = [group for group in left if not any(group is one for one in members)]
    matches += [{group.views[0].sweep: group} for group in left]
    order = {id(group): place for place, group in enumerate(results.groups)}
    matches.sort(key=lambda match: min(order[id(group)] for group in match.values()))
    rows = {(own[0].sweep, *own[0].run_ids): own for own in by_configuration(results.rows)}
    return [_compared(match, [name for name in sweeps if name in match], rows) for match in matches]


def _configuration_key(group: RunGroup) -> object:
    return group.configuration and (group.configuration.key, group.current)


def _settings_key(group: RunGroup) -> object:
    return row_of(group.experiment, group.settings), group.current


def _values_key(group: RunGroup, keys: Sequence[str]) -> object:
    return row_of(group.experiment, {key: _value(group, key) for key in keys}), group.current


def _contents_key(group: RunGroup, keys: Sequence[str], columns: Collection[str]) -> object:
    values = {key: _contents(group, key, columns) or _value(group, key) for key in keys}
    return row_of(group.experiment, values), group.current


def _contents(group: RunGroup, key: str, columns: Collection[str]) -> dict[str, Any]:
    """Return the values that a choice has set, without those that are columns; nothing for a key of the config."""
    science: Mapping[str, Any] = group.configuration.science if group.configuration else {}
    return {name: science[name] for name in science if name.startswith(f"{key}.") and name not in columns}


def varied_columns(groups: Sequence[RunGroup]) -> list[str]:
    """Return the columns that have several values within a sweep, wherever these are set."""
    sweeps: dict[str, list[RunGroup]] = {}
    for group in groups:
        sweeps.setdefault(group.views[0].sweep, []).append(group)
    return [
        key
        for key in _columns(groups)
        if any(_value(group, key) != _value(members[0], key) for members in sweeps.values() for group in members)
    ]


def _columns(groups: Sequence[RunGroup]) -> dict[str, None]:
    return dict.fromkeys(key for group in groups for key in group.shown)


def _value(group: RunGroup, key: str) -> Any:
    """Return a row's value of a column; for a choice such as `model`, the one that `base` or the command line made."""
    if key in group.shown or group.configuration is None:
        return group.shown.get(key)
    return dict(choice.split("=", 1) for choice in group.configuration.choices if "=" in choice).get(key)


def _compared(
    match: Mapping[str, RunGroup], sweeps: Sequence[str], rows: Mapping[tuple[str, ...], Sequence[ResultRow]]
) -> ComparedRow:
    groups = [match[name] for name in sweeps]
    keys = dict.fromkeys(key for group in groups for key in group.shown)
    return ComparedRow(
        experiment=" | ".join(dict.fromkeys(group.experiment for group in groups)),
        settings={key: _joined([group.shown[key] for group in groups if key in group.shown]) for key in keys},
        of={
            (name, row.metric): row
            for name, group in zip(sweeps, groups, strict=True)
            for row in rows[name, *(view.run_id for view in group.views)]
        },
    )


def _joined(values: Sequence[Any]) -> Any:
    from launch.results.format import value_text

    return values[0] if all(value == values[0] for value in values) else " | ".join(map(value_text, values))


def difference(row: ComparedRow, first: str, other: str, metric: str) -> float | None:
    """Return the mean of one sweep minus that of the first; None if one has no mean."""
    means = [found.mean if (found := row.of.get((name, metric))) else None for name in (other, first)]
    return None if means[0] is None or means[1] is None else means[0] - means[1]


def compared_records(
    rows: Sequence[ComparedRow], sweeps: Sequence[str], metrics: Sequence[str]
) -> list[dict[str, Any]]:
    """Return each row as a flat record: its settings; for each metric and sweep `n`, `mean`, `std` and `difference`."""
    keys = dict.fromkeys(key for row in rows for key in row.settings)
    records: list[dict[str, Any]] = []
    for row in rows:
        record: dict[str, Any] = {"experiment": row.experiment, **{key: row.settings.get(key) for key in keys}}
        for metric in metrics:
            for name in sweeps:
                found = row.of.get((name, metric))
                record[f"{name} {metric} n"] = len(found.seeds) if found else 0
                record[f"{name} {metric} mean"] = found.mean if found else None
                record[f"{name} {metric} std"] = found.std if found else None
                if name != sweeps[0]:
                    record[f"{name} {metric} difference"] = difference(row, sweeps[0], name, metric)
        records.append(record)
    return records
