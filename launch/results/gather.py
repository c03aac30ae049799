"""Read the results of sweeps into rows, and collect the errors of results that cannot be read."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from launch.errors import LaunchError, plural
from launch.results.configuration import Configuration, key_of, read_configurations
from launch.results.groups import RunGroup, group_runs
from launch.results.latest import Selection, select_views
from launch.results.sorting import metric_to_show
from launch.results.table import ResultRow, check_metric, choose_metric, make_rows, read_metrics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from launch.store.sweep_state import SweepState
    from launch.store.view import RunView


@final
@dataclass(frozen=True, kw_only=True)
class Results:
    """The results of a sweep, or of several; iterating yields the rows, and `print` shows the table.

    Attributes:
        sweep: The name of the sweep; several names are joined by a comma.
        metric: The metric of the rows; the first of several.
        rows: One row per configuration; with several metrics, one after the other for each configuration.
        groups: The runs of each configuration.
        metrics: Every metric of each run that has succeeded, by sweep and run id joined with `/`.
        commits: The commit of the code of each generation, by sweep and generation; None without git.
        views: The runs of the rows.
        left_out: The runs that no row contains, since they are superseded or repeated; see `notes`.
        unreadable: The error of each result that cannot be read, by sweep and run id; these runs are in no mean.
        has_metrics: Whether any run has a metric; a command need not write metrics.
        notes: What the reader must know: a metric that is not the sweep's own, and how many runs are left out, and why.
    """

    sweep: str
    metric: str
    rows: list[ResultRow]
    groups: list[RunGroup]
    metrics: dict[str, dict[str, float]]
    commits: dict[tuple[str, int], str | None]
    views: list[RunView]
    left_out: list[RunView]
    unreadable: dict[str, str]
    has_metrics: bool
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[ResultRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Results({self.sweep!r}, {self.metric!r}, {plural(len(self.rows), 'row')})"

    def __str__(self) -> str:
        from launch.results.text_table import plain_table, result_columns

        return "\n".join([plain_table(*result_columns(self.rows)), *self.notes])

    def to_records(self) -> list[dict[str, Any]]:
        """Return one flat record per row: a field per setting, then `metric`, `n`, `mean`, `std` and so on."""
        from launch.results.export import row_records

        return row_records(self.rows)

    def run_records(self) -> list[dict[str, Any]]:
        """Return one flat record per run: its settings, seed, state, attempts, time, code, and every metric."""
        from launch.results.run_table import run_records

        return run_records(self.groups, self.metrics, self.commits)

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
        from launch.results.format import html_table, numeric_columns, setting_cells

        keys, (numeric, numbers) = setting_names(self.rows), numeric_columns(self.rows, self.metric)
        cells = zip(self.rows, numbers, strict=True)
        rows = [[row.experiment, *setting_cells(row.settings, keys), *own] for row, own in cells]
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


def gather(state: SweepState, metric: str | None = None, *, superseded: bool = False) -> Results:
    """Read the results of a sweep's current runs for a metric; see `gather_all`."""
    return gather_all([state], [] if metric is None else [metric], superseded=superseded)


def gather_all(
    states: Sequence[SweepState], metrics: Sequence[str] = (), *, superseded: bool = False, sort: str | None = None
) -> Results:
    """Read the results of the current runs of sweeps.

    Args:
        states: The sweeps.
        metrics: The metrics to show; none for the first sweep's own metric.
        superseded: Whether to show superseded runs too; their rows say so.
        sort: The column that the rows will be sorted by: if it is a metric, the rows have it too.

    Raises:
        LaunchError: If no result has a metric of `metrics`.
    """
    chosen = {state.name: select_views(state) for state in states}
    current = [view for one in chosen.values() for view in one.current]
    earlier = [view for one in chosen.values() for view in one.superseded] if superseded else []
    views = [*current, *earlier]
    found, unreadable = read_metrics(views)
    for metric in metrics:
        check_metric(metric, found)
    headers = [state.manifest.newest_header() for state in states]
    shown = list(metrics) or [choose_metric(headers[0].metric, found)]
    configurations = read_configurations(views)
    groups = group_runs(current, configurations, superseded=earlier, dependent=_dependent(states, configurations))
    if sort is not None:
        shown += metric_to_show(sort, groups, shown, sorted({name for one in found.values() for name in one}))
    published = [number for header in headers for number in header.published]
    tables = [make_rows(groups, found, metric, published) for metric in shown]
    rows = [row for group in zip(*(table[: len(groups)] for table in tables), strict=True) for row in group]
    notes = [note for name, one in chosen.items() for note in describe_left_out(name, one, superseded=superseded)]
    if not metrics and shown[0] != headers[0].metric:
        own = headers[0].metric
        notes.append(f"{states[0].name}: no run has {own}; {shown[0]} is shown, --metric chooses another")
    return Results(
        sweep=", ".join(chosen),
        metric=shown[0],
        rows=[*rows, *(row for table in tables for row in table[len(groups) :])],
        groups=groups,
        metrics=found,
        commits={(s.name, number): one.commit for s in states for number, one in s.manifest.headers.items()},
        views=views,
        left_out=[view for one in chosen.values() for view in (*one.repeated, *(() if superseded else one.superseded))],
        unreadable=unreadable,
        has_metrics=any(found.values()),
        notes=tuple(notes),
    )


def describe_left_out(sweep: str, chosen: Selection, *, superseded: bool = False) -> list[str]:
    """Return a line about the superseded runs, and one about the repeated runs, if there are any."""
    notes: list[str] = []
    if chosen.superseded and not superseded:
        count = len(chosen.superseded)
        notes.append(
            f"{sweep}: {_are(count, 'earlier run')} left out: the sweep as last submitted has another configuration; "
            "--all shows them"
        )
    if chosen.repeated:
        notes.append(
            f"{sweep}: {_are(len(chosen.repeated), 'repeated run')} left out: of several runs with one configuration "
            "and seed the newest success counts"
        )
    return notes


def _are(count: int, noun: str) -> str:
    return f"1 {noun} is" if count == 1 else f"{count:,} {noun}s are"


def _dependent(states: Iterable[SweepState], configurations: dict[str, Configuration]) -> set[str]:
    """Return the keys of the runs whose identity may include the runs that they wait for."""
    return {
        key
        for state in states
        if state.manifest.has_dependencies
        for view in state.views()
        if state.manifest.listed[view.run_id].entry.requires
        and (found := configurations.get(key := key_of(view))) is not None
        and (found.command is not None or found.has_source)
    }
