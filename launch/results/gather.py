"""Read the results of a sweep into rows, and collect the errors of results that cannot be read."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from launch.errors import LaunchError
from launch.results.latest import current_views
from launch.results.table import ResultRow, check_metric, choose_metric, make_rows, read_metrics

if TYPE_CHECKING:
    from launch.store.sweep_state import SweepState
    from launch.store.view import RunView


@final
@dataclass(frozen=True, kw_only=True)
class Results:
    """The results of a sweep; iterating yields its rows.

    Attributes:
        sweep: The name of the sweep.
        metric: The metric of the rows.
        rows: One row per experiment and setting.
        views: Every run of the sweep, also superseded runs.
        unreadable: The error of each result that cannot be read, by run id; these runs are not part of the means.
        has_metrics: Whether any run has a metric; a command need not write metrics.
        note: The reason why the metric is not the sweep's own, unless the caller chose it; else None.
    """

    sweep: str
    metric: str
    rows: list[ResultRow]
    views: list[RunView]
    unreadable: dict[str, str]
    has_metrics: bool
    note: str | None = None

    def __iter__(self) -> Iterator[ResultRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def to_records(self) -> list[dict[str, Any]]:
        """Return one flat record per row: a field per setting, then `metric`, `n`, `mean`, `std` and so on."""
        from launch.results.export import setting_names, to_records

        missing = dict.fromkeys(setting_names(self.rows))
        return [{"experiment": record["experiment"], **missing, **record} for record in to_records(self.rows)]

    def to_pandas(self) -> Any:  # pandas has no types
        """Return the records as a pandas data frame.

        Raises:
            LaunchError: If pandas is not installed.
        """
        return _frames("pandas").DataFrame(self.to_records())

    def to_polars(self) -> Any:
        """Return the records as a polars data frame.

        Raises:
            LaunchError: If polars is not installed.
        """
        return _frames("polars").DataFrame(self.to_records(), infer_schema_length=None, strict=False)

    def _repr_html_(self) -> str:  # pyright: ignore[reportUnusedFunction]  # notebooks call it
        from launch.results.export import setting_names
        from launch.results.format import html_table, setting_cells, table_cells

        keys, numeric = setting_names(self.rows), ("seeds", self.metric, "published", "difference")
        rows = [[row.experiment, *setting_cells(row.settings, keys), *table_cells(row)] for row in self.rows]
        return html_table(["experiment", *keys, *numeric], rows, numeric)

    @property
    def is_empty(self) -> bool:
        """Whether runs have succeeded and a table would still show only dashes, since no run wrote a metric."""
        succeeded = any("SUCCEEDED" in row.states for row in self.rows)
        published = any(row.published is not None for row in self.rows)
        return succeeded and not (self.has_metrics or self.unreadable or published)


def _frames(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        hint = f"`pip install {package}`, or use to_records()"
        raise LaunchError(f"{package} is not installed", hint=hint) from error


def gather(state: SweepState, metric: str | None = None) -> Results:
    """Read the results of a sweep's current runs for a metric; None for the sweep's own metric.

    Raises:
        LaunchError: If `metric` is given and no result has it.
    """
    header = state.manifest.newest_header()
    current = current_views(state)
    metrics, unreadable = read_metrics(current)
    if metric is not None:
        check_metric(metric, metrics)
    shown = metric or choose_metric(header.metric, metrics)
    note = None
    if metric is None and shown != header.metric:
        note = f"{state.name}: no run has {header.metric}; {shown} is shown, --metric chooses another"
    return Results(
        sweep=state.name,
        metric=shown,
        rows=make_rows(current, metrics, shown, header.published),
        views=state.views(),
        unreadable=unreadable,
        has_metrics=any(metrics.values()),
        note=note,
    )
