"""Export the table of a sweep as JSON, CSV or Parquet."""

from __future__ import annotations

import csv
import importlib
import io
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from launch.errors import LaunchError
from launch.results.format import value_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from launch.results.table import ResultRow

# The columns that follow the setting columns.
_COLUMNS = ("metric", "n", "mean", "std", "published", "difference", "seeds", "states")


def to_json(rows: Sequence[ResultRow]) -> str:
    """Return the rows as a JSON list of objects, one field per attribute of `ResultRow`."""
    return json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False, default=str)


def to_csv(rows: Sequence[ResultRow]) -> str:
    """Return the rows as CSV: one column per setting, fractions in full precision, missing cells empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ["experiment", *setting_names(rows), *_COLUMNS], lineterminator="\n")
    writer.writeheader()
    for record in to_records(rows):
        record["seeds"] = " ".join(map(str, record["seeds"]))
        writer.writerow({name: "" if value is None else value for name, value in record.items()})
    return text.getvalue()


def to_parquet(rows: Sequence[ResultRow]) -> bytes:
    """Return the rows as the bytes of a Parquet file: the columns of the CSV, seeds as a list of integers.

    Raises:
        LaunchError: If pyarrow is not installed.
    """
    try:
        # Imported by name and only here, as pyarrow has no types and only Parquet needs it.
        pa: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise LaunchError(
            "parquet needs the package pyarrow, which is not installed",
            hint="`pip install 's5-launch[parquet]'`, or use --format csv",
        ) from error
    records = to_records(rows)
    columns: dict[str, Any] = {"experiment": pa.array([record["experiment"] for record in records], pa.string())}
    for name in setting_names(rows):
        columns[name] = _uniform(pa, [record.get(name) for record in records])
    types: dict[str, Any] = {"seeds": pa.list_(pa.int64()), "n": pa.int64()}
    types |= dict.fromkeys(("metric", "states"), pa.string())
    for name in _COLUMNS:
        columns[name] = pa.array([record[name] for record in records], types.get(name, pa.float64()))
    sink = io.BytesIO()
    parquet.write_table(pa.table(columns), sink)
    return sink.getvalue()


def _uniform(pa: Any, values: list[Any]) -> Any:
    """Return a column with the type that all values share, else a column with the values as text."""
    types: set[type] = {type(value) for value in values if value is not None}
    if types in ({int}, {bool}, {str}, {float}):
        return pa.array(values)
    if types and types <= {int, float}:
        return pa.array([None if value is None else float(value) for value in values])
    return pa.array([None if value is None else value_text(value, exact=True) for value in values], pa.string())


def setting_names(rows: Sequence[ResultRow]) -> list[str]:
    """Return the names of the setting columns, in order of appearance."""
    return list(dict.fromkeys(key for row in rows for key in row.settings))


def to_records(rows: Sequence[ResultRow]) -> list[dict[str, Any]]:
    """Return each row as a flat record: a field per setting, then `metric`, `n`, `mean` and so on."""
    records: list[dict[str, Any]] = []
    for row in rows:
        plain = {
            k: v if isinstance(v, bool | int | float | str | None) else value_text(v) for k, v in row.settings.items()
        }
        facts = {**asdict(row), "n": len(row.seeds), "states": json.dumps(row.states, sort_keys=True)}
        records.append({"experiment": row.experiment, **plain, **{name: facts[name] for name in _COLUMNS}})
    return records
