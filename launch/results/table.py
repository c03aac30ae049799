"""The table of a sweep: one row per experiment and setting, over its seeds, beside the published number."""

from __future__ import annotations

import csv
import importlib
import io
import json
import math
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launch.errors import LaunchError, StoreError, nearest
from launch.store.records import row_of
from launch.store.state import State
from launch.store.view import RunView
from s5.run_dir.result import ResultError, read_result

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from launch.store.records import PublishedNumber

# What a run is measured by, best first.
_MEASURES = ("test/accuracy", "test/mse", "test/loss")

MISSING = "—"  # what a cell shows that has no value


@dataclass(frozen=True, kw_only=True)
class ResultRow:
    """One row of the table. Numbers are in the metric's own unit: accuracies are fractions.

    Attributes:
        experiment: The training recipe.
        settings: What distinguishes the row among the experiment's: varied key to value.
        seeds: The seeds that have a result, ascending.
        metric: Such as `test/accuracy`.
        mean: Over those seeds; None where there are none.
        std: Sample standard deviation (ddof 1); None for fewer than two seeds.
        published: What the paper printed; None where it printed nothing.
        difference: `mean - published`; None where either is missing.
        states: How many of the row's runs are in which state.
    """

    experiment: str
    settings: dict[str, Any]
    seeds: list[int]
    metric: str
    mean: float | None
    std: float | None
    published: float | None
    difference: float | None
    states: dict[str, int]


def read_metrics(views: Iterable[RunView]) -> dict[str, dict[str, float]]:
    """Read the final metrics of every run that has succeeded.

    Args:
        views: The runs.

    Returns:
        Metrics by run id. A metric that was not a number is left out.

    Raises:
        StoreError: Where a result cannot be read.
    """
    found: dict[str, dict[str, float]] = {}
    for view in views:
        if view.state != State.SUCCEEDED:
            continue
        try:
            result = read_result(Path(view.run_dir))
        except (ResultError, OSError) as error:
            raise StoreError(
                f"the result of {view.run_id} cannot be read: {error}",
                hint="move the run's folder away and run the sweep again",
            ) from error
        if result is not None:
            found[view.run_id] = {k: float(v) for k, v in result["metrics"].items() if v is not None}
    return found


def check_metric(metric: str, metrics: Mapping[str, Mapping[str, float]]) -> None:
    """Raise where no result at all has the metric although there are results.

    Raises:
        LaunchError: Naming the nearest one and all there are.
    """
    names = sorted({name for values in metrics.values() for name in values})
    if names and metric not in names:
        near = nearest(metric, names)
        raise LaunchError(
            f"no run has the metric {metric!r}" + (f"; did you mean {near}?" if near else ""),
            hint=f"the metrics are {', '.join(names)}",
        )


def metric_to_show(named: str, metrics: Mapping[str, Mapping[str, float]]) -> str:
    """Return a sweep's metric, or what its runs are measured by where none of them has that one, as regressions.

    Args:
        named: The sweep's metric.
        metrics: What `read_metrics` returned.
    """
    names = {name for values in metrics.values() for name in values}
    return named if named in names else next((name for name in _MEASURES if name in names), named)


def rows(
    views: Sequence[RunView],
    metrics: Mapping[str, Mapping[str, float]],
    metric: str,
    published: Sequence[PublishedNumber] = (),
) -> list[ResultRow]:
    """Gather the runs of a sweep into rows.

    Args:
        views: The runs, in the sweep's order, which becomes the rows' order.
        metrics: What `read_metrics` returned for them.
        metric: The metric to show.
        published: The paper's numbers; one that belongs to no run becomes a row of its own, with its mean missing.

    Returns:
        The rows.
    """
    numbers = [number for number in published if number.metric == metric]
    groups: dict[tuple[str, str], list[RunView]] = {}
    for view in views:
        groups.setdefault(row_of(view.experiment, view.settings), []).append(view)
    table = [_row(group, metrics, metric, numbers) for group in groups.values()]
    table += [_missing(number) for number in numbers if not any(_belongs(number, row) for row in table)]
    return table


def _row(
    group: list[RunView],
    metrics: Mapping[str, Mapping[str, float]],
    metric: str,
    numbers: Sequence[PublishedNumber],
) -> ResultRow:
    first = group[0]
    values = {v.run_id: (v.seed, metrics[v.run_id][metric]) for v in group if metric in metrics.get(v.run_id, {})}
    pairs = sorted(values.values())
    mean, std = mean_std([value for _, value in pairs])
    number = published_for(first.experiment, first.settings, numbers)
    return ResultRow(
        experiment=first.experiment,
        settings=first.settings,
        seeds=[seed for seed, _ in pairs],
        metric=metric,
        mean=mean,
        std=std,
        published=number,
        difference=None if mean is None or number is None else mean - number,
        states=dict(Counter(str(view.state) for view in group)),
    )


def _missing(number: PublishedNumber) -> ResultRow:
    return ResultRow(
        experiment=number.experiment,
        settings=number.settings,
        seeds=[],
        metric=number.metric,
        mean=None,
        std=None,
        published=number.value,
        difference=None,
        states={},
    )


def mean_std(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the mean and the sample standard deviation (ddof 1); None for what too few values leave undefined."""
    if not values:
        return None, None
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, None
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def published_for(experiment: str, settings: Mapping[str, Any], numbers: Sequence[PublishedNumber]) -> float | None:
    """Return the published number of a row: of those that match, the one that names most of its settings."""
    matching = [n for n in numbers if n.experiment == experiment and n.settings.items() <= settings.items()]
    return max(matching, key=lambda number: len(number.settings)).value if matching else None


def _belongs(number: PublishedNumber, row: ResultRow) -> bool:
    return number.experiment == row.experiment and number.settings.items() <= row.settings.items()


def to_json(table: Sequence[ResultRow]) -> str:
    """Return the rows as a JSON list of objects, one field per attribute of `Row`."""
    return json.dumps([asdict(row) for row in table], indent=2, ensure_ascii=False, default=str)


def to_csv(table: Sequence[ResultRow]) -> str:
    """Return the rows as CSV: one column per setting, fractions in full precision, missing cells empty."""
    columns = flat_columns(table)
    text = io.StringIO()
    writer = csv.DictWriter(text, ["experiment", *columns[0], *columns[1]], lineterminator="\n")
    writer.writeheader()
    for row in table:
        flat = _flat(row)
        flat["seeds"] = " ".join(map(str, row.seeds))
        writer.writerow({name: "" if value is None else value for name, value in flat.items()})
    return text.getvalue()


def to_parquet(table: Sequence[ResultRow]) -> bytes:
    """Return the rows as the bytes of a Parquet file: the columns of the CSV, seeds as a list of integers.

    Raises:
        LaunchError: Where pyarrow is not installed.
    """
    try:
        # By name, since it comes without types and is heavy: only whoever wants Parquet pays for it.
        pa: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise LaunchError(
            "parquet needs the package pyarrow, which is not installed",
            hint="`pip install 's5-launch[parquet]'`, or use --format csv",
        ) from error
    settings, facts = flat_columns(table)
    flat = [_flat(row) for row in table]
    columns: dict[str, Any] = {"experiment": pa.array([f["experiment"] for f in flat], pa.string())}
    for name in settings:
        columns[name] = _uniform(pa, [f.get(name) for f in flat])
    kinds: dict[str, Any] = {
        "seeds": pa.list_(pa.int64()),
        "n": pa.int64(),
        "metric": pa.string(),
        "states": pa.string(),
    }
    for name in facts:
        columns[name] = pa.array([f[name] for f in flat], kinds.get(name, pa.float64()))
    sink = io.BytesIO()
    parquet.write_table(pa.table(columns), sink)
    return sink.getvalue()


def _uniform(pa: Any, values: list[Any]) -> Any:
    """Return a column of one type: the values' own where they share one, their text where they do not."""
    kinds: set[type] = {type(value) for value in values if value is not None}
    if kinds in ({int}, {bool}, {str}, {float}):
        return pa.array(values)
    if kinds and kinds <= {int, float}:
        return pa.array([None if value is None else float(value) for value in values])
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def flat_columns(table: Sequence[ResultRow]) -> tuple[list[str], list[str]]:
    """Return the names of the setting columns, in order of appearance, and those of the columns that follow them."""
    settings = list(dict.fromkeys(key for row in table for key in row.settings))
    return settings, ["metric", "n", "mean", "std", "published", "difference", "seeds", "states"]


def _flat(row: ResultRow) -> dict[str, Any]:
    plain = asdict(row)
    settings = {key: value if _is_plain(value) else _text(value) for key, value in row.settings.items()}
    states = json.dumps(row.states, sort_keys=True)
    return {**settings, **{k: v for k, v in plain.items() if k != "settings"}, "n": len(row.seeds), "states": states}


def in_percent(metric: str) -> bool:
    """Say whether a person reads the metric in percent: accuracies, which files carry as fractions."""
    return metric.rsplit("/", 1)[-1].endswith("accuracy")


def number_text(value: float | None, metric: str) -> str:
    """Return a number of a metric as a person reads it; a dash where it is missing."""
    if value is None:
        return MISSING
    return f"{100 * value:.2f}" if in_percent(metric) else f"{value:.4g}"


def mean_text(row: ResultRow) -> str:
    """Return a row's mean and standard deviation as a person reads them."""
    if row.mean is None:
        return MISSING
    return f"{number_text(row.mean, row.metric)} ± {number_text(row.std, row.metric)}"


def difference_text(row: ResultRow) -> str:
    """Return how far a row's mean is from the published number, with its sign."""
    text = number_text(row.difference, row.metric)
    return text if row.difference is None or text.startswith("-") else f"+{text}"


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
