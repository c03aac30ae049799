"""Sort the rows of a table by one of its columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from launch.errors import LaunchError, unknown
from launch.results.export import setting_names

if TYPE_CHECKING:
    from launch.results.groups import RunGroup
    from launch.results.table import ResultRow

T = TypeVar("T")

_TEXTS = ("experiment", "sweep", "seeds")
_NUMBERS = ("mean", "std", "published", "difference")


def by_configuration(rows: Sequence[ResultRow]) -> list[list[ResultRow]]:
    """Group the rows of one configuration, which has a row for each metric; the order stays."""
    groups: dict[object, list[ResultRow]] = {}
    for row in rows:
        key = (row.sweep, *row.run_ids) if row.run_ids else (row.experiment, repr(row.settings), row.metric)
        groups.setdefault((row.current, key), []).append(row)
    return list(groups.values())


def metric_to_show(word: str, groups: Sequence[RunGroup], shown: Sequence[str], metrics: Sequence[str]) -> list[str]:
    """Return the metric that a table must also show, since it is to be sorted by that; empty without such a metric.

    Args:
        word: The column to sort by; see `sort_rows`.
        groups: The runs of the rows.
        shown: The metrics of the table.
        metrics: The metrics of the runs.
    """
    name = word.removeprefix("-").rpartition(" ")[2]  # `launch compare` has columns such as `SWEEP METRIC`
    columns = [*(key for group in groups for key in group.shown), *_TEXTS, *_NUMBERS, *shown]
    found = [] if _matching(name, columns) else _matching(name, metrics)
    return found if len(found) == 1 else []


def sort_rows(rows: Sequence[ResultRow], word: str, others: Sequence[str] = ()) -> list[ResultRow]:
    """Return rows sorted by a column.

    Args:
        rows: The rows; with several metrics each configuration has several, which stay together.
        word: A setting, whole or by its ending; `experiment`, `sweep`, `seeds`, `mean`, `std`, `published`,
            `difference`, or a metric of the table, which means its mean. With `-` in front the order is descending.
        others: More metrics that the user may have meant, for the error.

    Raises:
        LaunchError: If there is no such column.
    """
    metrics = dict.fromkeys(row.metric for row in rows)
    names = [*setting_names(rows), *_TEXTS, *_NUMBERS, *metrics]
    descending, name = resolve_column(word, names, others)

    def value(group: Sequence[ResultRow]) -> Any:
        first = group[0]
        if name in metrics:
            return next((row.mean for row in group if row.metric == name), None)
        if name in first.settings:
            return first.settings[name]
        found = {"experiment": first.experiment, "sweep": first.sweep, "seeds": len(first.seeds)}
        return found.get(name, getattr(first, name) if name in _NUMBERS else None)

    return [row for group in sort_by(by_configuration(rows), value, descending=descending) for row in group]


def sort_records(records: Sequence[Mapping[str, Any]], word: str) -> list[Mapping[str, Any]]:
    """Return records sorted by one of their fields; see `sort_rows`."""
    descending, name = resolve_column(word, list(records[0]) if records else [])
    return sort_by(records, lambda record: record.get(name), descending=descending)


def resolve_column(word: str, names: Sequence[str], others: Sequence[str] = ()) -> tuple[bool, str]:
    """Return whether the order is descending, and the full name of the column that a word means.

    The word may mean one of `others` only if it means none of `names`.

    Raises:
        LaunchError: If no column, or more than one, has this name or ends with it.
    """
    descending, name = word.startswith("-"), word.removeprefix("-")
    found = _matching(name, names) or _matching(name, others)
    if len(found) == 1:
        return descending, found[0]
    if found:
        raise LaunchError(f"--sort {name} may be {' or '.join(found)}", hint="type the whole name")
    if not names:
        return descending, name
    every = list(dict.fromkeys([*names, *others]))
    raise LaunchError(unknown("column", name, every), hint=f"the columns are {', '.join(every)}")


def _matching(name: str, names: Sequence[str]) -> list[str]:
    """Return the name itself if it is one of the names, else those that end with it."""
    every = list(dict.fromkeys(names))
    return [name] if name in every else [other for other in every if other.endswith((f".{name}", f"/{name}"))]


def sort_by(items: Sequence[T], value: Callable[[T], Any], *, descending: bool) -> list[T]:
    """Return items sorted by a value: numbers before texts; items without a value come last in both orders."""
    known = [item for item in items if value(item) is not None]
    known.sort(key=lambda item: _order(value(item)), reverse=descending)
    return [*known, *(item for item in items if value(item) is None)]


def _order(value: Any) -> tuple[bool, float, str]:
    if isinstance(value, bool | int | float):
        return False, float(value), ""
    return True, 0.0, value if isinstance(value, str) else repr(value)
