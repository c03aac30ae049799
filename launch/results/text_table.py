"""The results table as text: its columns, and the table without colours for `print` in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from launch.results.export import setting_names
from launch.results.format import MISSING, is_percent, setting_cells, short_names, table_cells
from launch.results.sorting import by_configuration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from launch.results.table import ResultRow


def plain_table(columns: Mapping[str, Sequence[str]], numeric: Sequence[str]) -> str:
    """Return a table as text: the columns `numeric` are aligned to the right, and nothing is cut."""
    aligned: list[list[str]] = []
    for name, cells in columns.items():
        wide = max(map(len, (name, *cells)))
        aligned.append([cell.rjust(wide) if name in numeric else cell.ljust(wide) for cell in (name, *cells)])
    return "\n".join("  ".join(row).rstrip() for row in zip(*aligned, strict=True))


def result_columns(rows: Sequence[ResultRow]) -> tuple[dict[str, list[str]], list[str]]:
    """Return the columns of the table as text, and the names of those with numbers.

    Accuracies are in percent, and a missing cell is a dash.

    Each metric has its columns. `published` and `difference` are left out if no row has a published number, `sweep` if
    all rows are of one sweep, `current` if all are current, `runs` if all runs have succeeded.
    """
    keys = setting_names(rows)
    names = short_names(keys)
    metrics = list(dict.fromkeys(row.metric for row in rows)) or ["metric"]
    groups = by_configuration(rows)
    columns: dict[str, list[str]] = {}
    if len({row.sweep for row in rows if row.sweep}) > 1:
        columns["sweep"] = [group[0].sweep or MISSING for group in groups]
    columns["experiment"] = [group[0].experiment for group in groups]
    cells = [setting_cells(group[0].settings, keys) for group in groups]
    columns |= {names[key]: [row[number] for row in cells] for number, key in enumerate(keys)}
    texts = len(columns)
    columns["seeds"] = [_seeds(group[0]) for group in groups]
    for metric in metrics:
        columns |= _metric_columns(metric, groups, several=len(metrics) > 1)
    numeric = list(columns)[texts:]
    if not all(row.current for row in rows):
        columns["current"] = ["yes" if group[0].current else "no" for group in groups]
    if any(set(row.states) - {"SUCCEEDED"} for row in rows):
        columns["runs"] = [_states(group[0]) for group in groups]
    return columns, numeric


def _metric_columns(metric: str, groups: Sequence[Sequence[ResultRow]], *, several: bool) -> dict[str, list[str]]:
    """Return the columns of one metric: its mean, and published values and differences if there are any."""
    found = [next((row for row in group if row.metric == metric), None) for group in groups]
    numbers = table_cells(found)
    headings = [f"{metric} %" if is_percent(metric) else metric, "published", "difference"]
    if several:
        headings[1:] = [f"{word} {metric}" for word in headings[1:]]
    compared = any(row is not None and row.published is not None for row in found)
    return {heading: [row[place] for row in numbers] for place, heading in enumerate(headings[: 3 if compared else 1])}


def _seeds(row: ResultRow) -> str:
    total = sum(row.states.values())
    return str(len(row.seeds)) if len(row.seeds) == total else f"{len(row.seeds)}/{total}"


def _states(row: ResultRow) -> str:
    return ", ".join(f"{count} {state.lower()}" for state, count in row.states.items()) or MISSING
