"""Export a table as JSON, CSV or Parquet."""

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
    from collections.abc import Mapping, Sequence

    from launch.results.table import ResultRow

    Records = Sequence[Mapping[str, Any]]

# The columns that follow the setting columns.
_COLUMNS = ("metric", "n", "mean", "std", "published", "difference", "seeds", "states", "current", "run_ids")


def to_json(records: Records) -> str:
    """Return records as a JSON list of objects."""
    return json.dumps(list(records), indent=2, ensure_ascii=False, default=str)


def to_csv(records: Records) -> str:
    """Return records as CSV: fractions in full precision, missing cells empty, lists with spaces in between."""
    text = io.StringIO()
    writer = csv.DictWriter(text, column_names(records), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in record.items()} for record in records)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return " ".join(map(str, value)) if isinstance(value, list) else value  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def to_parquet(records: Records) -> bytes:
    """Return records as the bytes of a Parquet file: the columns of the CSV, lists as lists.

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
    types: dict[str, Any] = {"seeds": pa.list_(pa.int64()), "n": pa.int64(), "run_ids": pa.list_(pa.string())}
    types |= dict.fromkeys(("sweep", "experiment", "metric", "states"), pa.string())
    types |= dict.fromkeys(("mean", "std", "published", "difference"), pa.float64())
    columns: dict[str, Any] = {}
    for name in column_names(records):
        values = [record.get(name) for record in records]
        columns[name] = pa.array(values, types[name]) if name in types else _uniform(pa, values)
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


def column_names(records: Records) -> list[str]:
    """Return the names of all columns: those of the first record, which has them all."""
    return list(records[0]) if records else []


def row_records(rows: Sequence[ResultRow]) -> list[dict[str, Any]]:
    """Return each row as a flat record: a field per setting, then `metric`, `n`, `mean` and so on.

    The field `sweep` is there if the rows are of several sweeps.
    """
    names = setting_names(rows)
    several = len({row.sweep for row in rows if row.sweep}) > 1
    records: list[dict[str, Any]] = []
    for row in rows:
        settings = {name: flat_value(row.settings.get(name)) for name in names}
        facts = {**asdict(row), "n": len(row.seeds), "states": json.dumps(row.states, sort_keys=True)}
        records.append(
            {
                **({"sweep": row.sweep} if several else {}),
                "experiment": row.experiment,
                **settings,
                **{name: facts[name] for name in _COLUMNS},
            }
        )
    return records


def flat_value(value: Any) -> Any:
    """Return a setting's value unchanged if it is a scalar, else as text."""
    return value if isinstance(value, bool | int | float | str | None) else value_text(value)
