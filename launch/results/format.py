"""Format numbers and settings for a table or an HTML page."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from launch.results.table import ResultRow

MISSING = "—"  # the cell of a missing value

_MAX_FLOAT_WIDTH = 10
_LARGE = 1e6  # a mean from here on is shown with an exponent
_MOST_DECIMALS = 7


def value_text(value: Any, *, exact: bool = False) -> str:
    """Return the text of a setting's value; a long float is shortened unless `exact`."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and not exact and len(repr(value)) > _MAX_FLOAT_WIDTH:
        return f"{value:.6g}"
    return json.dumps(value, ensure_ascii=False, default=str)


def is_percent(metric: str) -> bool:
    """Return whether a metric is shown in percent: an accuracy, which files store as a fraction."""
    return metric.rsplit("/", 1)[-1].endswith("accuracy")


def number_text(value: float | None, metric: str) -> str:
    """Return the text of a metric's value, in percent for an accuracy; a dash if it is missing."""
    if value is None:
        return MISSING
    return f"{100 * value:.2f}" if is_percent(metric) else f"{value:.4g}"


def mean_texts(rows: Sequence[ResultRow | None]) -> list[str]:
    """Return the mean and the standard deviation of each row, as text for one column of a table.

    All rows of a metric have equally many decimals, and `±` at the same place in a column that is aligned to the right.
    """
    pairs = [_pair(row, rows) for row in rows]
    width = max((len(std) for _, std in pairs), default=0)
    return [f"{mean} ± {std:>{width}}" if std else mean for mean, std in pairs]


def _pair(row: ResultRow | None, rows: Sequence[ResultRow | None]) -> tuple[str, str]:
    """Return the texts of a mean and of its standard deviation, which is empty without a mean."""
    if row is None or row.mean is None:
        return MISSING, ""
    found = [other for other in rows if other is not None and other.metric == row.metric]
    places = None if is_percent(row.metric) else _decimals(found)
    texts = [
        number_text(value, row.metric) if places is None or value is None else f"{value:.{places}f}"
        for value in (row.mean, row.std)
    ]
    return texts[0], texts[1]


def _decimals(rows: Sequence[ResultRow]) -> int | None:
    """Return the decimals for a column: two digits of each deviation, and else four digits of the largest mean.

    None if the numbers are so large, so small, or so unequal that they are shorter with exponents.
    """
    means = [abs(row.mean) for row in rows if row.mean and math.isfinite(row.mean)]
    deviations = [row.std for row in rows if row.std and math.isfinite(row.std)]
    if not means or max(means) >= _LARGE:
        return None
    places = 3 - math.floor(math.log10(max(means)))
    if deviations:
        most, least = (1 - math.floor(math.log10(one)) for one in (min(deviations), max(deviations)))
        places = max(min(places, most), least)
    return max(places, 0) if places <= _MOST_DECIMALS else None


def difference_text(row: ResultRow) -> str:
    """Return the text of the signed difference between a row's mean and the published number."""
    return signed_text(row.difference, row.metric)


def signed_text(value: float | None, metric: str) -> str:
    """Return the text of a difference between two values of a metric, with its sign."""
    text = number_text(value, metric)
    return text if value is None or text.startswith("-") else f"+{text}"


def table_cells(rows: Sequence[ResultRow | None]) -> list[list[str]]:
    """Return the number cells of each row: mean, published number and difference; dashes for None."""
    return [
        [mean, *([MISSING] * 2 if row is None else [number_text(row.published, row.metric), difference_text(row)])]
        for row, mean in zip(rows, mean_texts(rows), strict=True)
    ]


def numeric_columns(rows: Sequence[ResultRow], metric: str) -> tuple[list[str], list[list[str]]]:
    """Return the headers of the columns with numbers, and the cells of each row.

    The published number and the difference are left out if no row has a published number.

    Args:
        rows: The rows.
        metric: The header of the mean.
    """
    count = 4 if any(row.published is not None for row in rows) else 2
    cells = [[str(len(row.seeds)), *own][:count] for row, own in zip(rows, table_cells(rows), strict=True)]
    return ["seeds", metric, "published", "difference"][:count], cells


def setting_cells(settings: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    """Return one cell per key: a dash for a key that the row does not vary."""
    return [value_text(settings[key]) if key in settings else MISSING for key in keys]


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return a short name for each key: `optim.lr` becomes `lr`, unless another key ends with `.lr` too."""
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
    """Return a table as HTML, for a notebook or a web page.

    Args:
        header: The names of the columns.
        rows: The cells of each row, as text.
        numeric: The names of the columns that get the HTML class `number`, which pages align to the right.
        colours: The colour of the mark at the start of each row; empty for no marks.
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
