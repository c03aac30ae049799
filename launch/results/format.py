"""Numbers and values as a person reads them in a table or on a page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from launch.results.table import ResultRow

MISSING = "—"  # the cell of a value that is not there

_MAX_FLOAT_WIDTH = 10


def value_text(value: Any, *, exact: bool = False) -> str:
    """Return a setting's value as it would be typed; a long float is shortened unless `exact`."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and not exact and len(repr(value)) > _MAX_FLOAT_WIDTH:
        return f"{value:.6g}"
    return json.dumps(value, ensure_ascii=False, default=str)


def is_percent(metric: str) -> bool:
    """Return whether a person reads the metric in percent: accuracies, which files carry as fractions."""
    return metric.rsplit("/", 1)[-1].endswith("accuracy")


def number_text(value: float | None, metric: str) -> str:
    """Return a number of a metric as a person reads it, or a dash if it is missing."""
    if value is None:
        return MISSING
    return f"{100 * value:.2f}" if is_percent(metric) else f"{value:.4g}"


def mean_text(row: ResultRow) -> str:
    """Return a row's mean and standard deviation."""
    if row.mean is None:
        return MISSING
    return f"{number_text(row.mean, row.metric)} ± {number_text(row.std, row.metric)}"


def difference_text(row: ResultRow) -> str:
    """Return the signed difference between a row's mean and the published number."""
    text = number_text(row.difference, row.metric)
    return text if row.difference is None or text.startswith("-") else f"+{text}"


def table_cells(row: ResultRow) -> list[str]:
    """Return the numbers of a row: how many seeds, the mean, the published number and the difference."""
    return [str(len(row.seeds)), mean_text(row), number_text(row.published, row.metric), difference_text(row)]


def setting_cells(settings: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    """Return one cell per key: a dash for a key that the row does not vary."""
    return [value_text(settings[key]) if key in settings else MISSING for key in keys]


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return each key's shortest ending that no other key shares: `optim.lr` becomes `lr` if no other key ends so."""
    names: dict[str, str] = {}
    for key in keys:
        parts = key.split(".")
        endings = [".".join(parts[-count:]) for count in range(1, len(parts) + 1)]
        others = [f".{other}" for other in keys if other != key]
        names[key] = next((end for end in endings if not any(o.endswith(f".{end}") for o in others)), key)
    return names


def html_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], numeric: Collection[str] = (), colours: Sequence[str] = ()
) -> str:
    """Return a table as HTML, for a notebook or a page.

    Args:
        header: The names of the columns.
        rows: The cells of each row, as text.
        numeric: The columns of the class `number`, which a page aligns to the right.
        colours: The colour of the mark in front of each row, if there are marks.
    """
    from html import escape  # not for a table on a terminal

    kinds = [' class="number"' if name in numeric else "" for name in header]
    head = "".join(f"<th{kind}>{escape(name)}</th>" for name, kind in zip(header, kinds, strict=True))
    lines: list[str] = []
    for number, row in enumerate(rows):
        line = "".join(f"<td{kind}>{escape(cell)}</td>" for cell, kind in zip(row, kinds, strict=True))
        if colours:
            line = line.replace("<td>", f'<td><span class="key" style="background:{colours[number]}"></span>', 1)
        lines.append(f"<tr>{line}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n" + "\n".join(lines) + "\n</tbody></table>"
