"""Make the rows of a sweep's results: mean over seeds per experiment and setting, and the published number."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launch.errors import LaunchError, unknown
from launch.store.records import row_of
from launch.store.state import State
from launch.store.view import RunView
from s5.run_dir.result import ResultError, read_result

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from launch.store.records import PublishedNumber

    Metrics = Mapping[str, Mapping[str, float]]  # by run id, then by name

# The metrics that are shown, in this order of preference, if no run has the sweep's own metric.
_MEASURES = ("test/accuracy", "test/mse", "test/loss")


@dataclass(frozen=True, kw_only=True)
class ResultRow:
    """One row of the table. Numbers are in the metric's own unit; accuracies are fractions.

    Attributes:
        experiment: The training recipe.
        settings: The values of the varied keys, which distinguish the rows of an experiment.
        seeds: The seeds with a result, ascending.
        metric: The name of the metric, such as `test/accuracy`.
        mean: The mean over `seeds`; None without seeds.
        std: The sample standard deviation (ddof 1); None for fewer than two seeds.
        published: The number in the paper; None without such a number.
        difference: `mean - published`; None if either is missing.
        states: The number of the row's runs in each state.
    """

    experiment: str
    settings: dict[str, Any]
    seeds: list[int]
    metric: str
    mean: float | None = None
    std: float | None = None
    published: float | None = None
    difference: float | None = None
    states: dict[str, int] = field(default_factory=dict[str, int])


def read_metrics(views: Iterable[RunView]) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """Read the final metrics of every run that has succeeded.

    Returns:
        The metrics by run id, without missing values; and the error of each result that cannot be read, by run id.
    """
    found: dict[str, dict[str, float]] = {}
    unreadable: dict[str, str] = {}
    for view in views:
        if view.state != State.SUCCEEDED:
            continue
        try:
            result = read_result(Path(view.run_dir))
            if result is not None:
                found[view.run_id] = {k: float(v) for k, v in result["metrics"].items() if v is not None}
        except (ResultError, OSError) as error:
            unreadable[view.run_id] = f"the result of {view.run_id} cannot be read: {error}"
        except (ValueError, TypeError) as error:
            unreadable[view.run_id] = f"the result of {view.run_id} is damaged: {error}"
    return found, unreadable


def check_metric(metric: str, metrics: Metrics) -> None:
    """Raise if there are results and none of them has the metric."""
    names = sorted({name for values in metrics.values() for name in values})
    if names and metric not in names:
        raise LaunchError(unknown("metric", metric, names), hint=f"the metrics are {', '.join(names)}")


def choose_metric(own: str, metrics: Metrics) -> str:
    """Return the metric to show: the sweep's own, or if no run has it, the first of `_MEASURES` that a run has."""
    names = {name for values in metrics.values() for name in values}
    return own if own in names else next((name for name in _MEASURES if name in names), own)


def make_rows(
    views: Sequence[RunView], metrics: Metrics, metric: str, published: Sequence[PublishedNumber] = ()
) -> list[ResultRow]:
    """Group the runs of a sweep into rows.

    Args:
        views: The runs in the order of the sweep, which is also the order of the rows.
        metrics: The metrics of these runs, from `read_metrics`.
        metric: The metric to show.
        published: The paper's numbers; a number without runs becomes its own row, without a mean.
    """
    numbers = [number for number in published if number.metric == metric]
    groups: dict[tuple[str, str], list[RunView]] = {}
    for view in views:
        groups.setdefault(row_of(view.experiment, view.settings), []).append(view)
    rows = [_row(group, metrics, metric, numbers) for group in groups.values()]
    return rows + [
        ResultRow(experiment=n.experiment, settings=n.settings, seeds=[], metric=metric, published=n.value)
        for n in numbers
        if not any(_belongs(n, row.experiment, row.settings) for row in rows)
    ]


def _row(group: Sequence[RunView], metrics: Metrics, metric: str, numbers: Sequence[PublishedNumber]) -> ResultRow:
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


def mean_std(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the mean and the sample standard deviation (ddof 1); each is None if there are too few values."""
    if not values:
        return None, None
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, None
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def published_for(experiment: str, settings: Mapping[str, Any], numbers: Sequence[PublishedNumber]) -> float | None:
    """Return the published number of a row: the matching number with the most settings, or None."""
    matching = [number for number in numbers if _belongs(number, experiment, settings)]
    return max(matching, key=lambda number: len(number.settings)).value if matching else None


def _belongs(number: PublishedNumber, experiment: str, settings: Mapping[str, Any]) -> bool:
    return number.experiment == experiment and number.settings.items() <= settings.items()
