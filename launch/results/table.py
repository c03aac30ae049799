"""Make the rows of a table: the mean over the seeds of each configuration, and the published number."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from launch.errors import LaunchError, printable, unknown
from launch.results.configuration import key_of
from launch.store.state import State
from launch.store.view import RunView
from s5.run_dir.result import ResultError, read_result

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from launch.results.groups import RunGroup
    from launch.store.records import PublishedNumber

    Metrics = Mapping[str, Mapping[str, float]]  # by `key_of`, then by name

# The metrics that are shown, in this order of preference, if no run has the sweep's own metric.
_MEASURES = ("test/accuracy", "test/mse", "test/loss")


@dataclass(frozen=True, kw_only=True)
class ResultRow:
    """One row of the table. Numbers are in the metric's own unit; accuracies are fractions.

    Attributes:
        experiment: The training recipe.
        settings: The values of all keys that the sweep varies, and of all others that differ between the rows.
        seeds: The seeds with a result, ascending.
        metric: The name of the metric, such as `test/accuracy`.
        mean: The mean over `seeds`; None without seeds.
        std: The sample standard deviation (ddof 1); None for fewer than two seeds.
        published: The number in the paper; None without such a number.
        difference: `mean - published`; None if either is missing.
        states: The number of the row's runs in each state.
        sweep: The name of its sweep.
        run_ids: Its runs.
        current: Whether the sweep has this configuration as it was last submitted.
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
    sweep: str = ""
    run_ids: list[str] = field(default_factory=list[str])
    current: bool = True

    def __repr__(self) -> str:
        values = "".join(f", {name}={getattr(self, name)!r}" for name in ("mean", "std", "published"))
        return f"ResultRow({self.experiment!r}, {self.settings!r}, seeds={self.seeds!r}, {self.metric!r}{values})"


def read_metrics(views: Iterable[RunView]) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """Read the final metrics of every run that has succeeded.

    Returns:
        The metrics without missing values, and the error of each result that cannot be read; both by `key_of`.
    """
    found: dict[str, dict[str, float]] = {}
    unreadable: dict[str, str] = {}
    for view in views:
        if view.state != State.SUCCEEDED:
            continue
        try:
            result = read_result(Path(view.run_dir))
            if result is not None:
                told = {name: value for name, value in result["metrics"].items() if value is not None}
                wrong = {name: problem for name, value in told.items() if (problem := _problem(name, value))}
                found[key_of(view)] = {name: float(value) for name, value in told.items() if name not in wrong}
                if wrong:
                    unreadable[key_of(view)] = (
                        f"the result of {view.run_id} is damaged, and left out here: {'; '.join(wrong.values())}"
                    )
        except (ResultError, OSError) as error:
            unreadable[key_of(view)] = f"the result of {view.run_id} cannot be read: {error}"
        except (ValueError, TypeError, OverflowError) as error:
            unreadable[key_of(view)] = f"the result of {view.run_id} is damaged: {error}"
    return found, unreadable


def _problem(name: str, value: object) -> str | None:
    """Return why a value cannot be the final value of a metric; None if it can."""
    shown = f"{printable(name)}={printable(repr(value))[:60]}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{shown} is not a number"
    if not -math.inf < value < math.inf:
        return f"{shown} is not a finite number"
    if name.endswith("accuracy") and not 0 <= value <= 1:
        return f"{shown} must be between 0 and 1"
    return None


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
    groups: Sequence[RunGroup], metrics: Metrics, metric: str, published: Sequence[PublishedNumber] = ()
) -> list[ResultRow]:
    """Make the rows of a table.

    Args:
        groups: The runs of each row, from `group_runs`.
        metrics: The metrics of these runs, from `read_metrics`.
        metric: The metric to show.
        published: The paper's numbers; a number without runs becomes its own row, without a mean.
    """
    numbers = [number for number in published if number.metric == metric]
    return [_row(group, metrics, metric, numbers) for group in groups] + [
        ResultRow(experiment=n.experiment, settings=n.settings, seeds=[], metric=metric, published=n.value)
        for n in numbers
        if not any(_belongs(n, group.experiment, group.settings) for group in groups)
    ]


def _row(group: RunGroup, metrics: Metrics, metric: str, numbers: Sequence[PublishedNumber]) -> ResultRow:
    scored = {view.run_id: (view.seed, metrics.get(key_of(view), {}).get(metric)) for view in group.views}
    pairs = sorted((seed, value) for seed, value in scored.values() if value is not None)
    mean, std = mean_std([value for _, value in pairs])
    number = published_for(group.experiment, group.settings, numbers)
    return ResultRow(
        experiment=group.experiment,
        settings=group.shown,
        seeds=[seed for seed, _ in pairs],
        metric=metric,
        mean=mean,
        std=std,
        published=number,
        difference=None if mean is None or number is None else mean - number,
        states=dict(Counter(str(view.state) for view in group.views)),
        sweep=group.views[0].sweep,
        run_ids=[view.run_id for view in group.views],
        current=group.current,
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
