"""Read the section `paper` of a sweep file: published numbers, which the results table shows next to ours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from launch.errors import did_you_mean
from launch.store.records import PublishedNumber
from launch.sweepfile.values import flatten, read_value
from launch.yaml_file import Place, describe
from s5.run_dir.result import FINAL_METRICS

_KEYS = ("experiment", "settings", "metric", "value", "std", "source")


@dataclass(frozen=True)
class PublishedRow:
    """One published number, as the file states it.

    Attributes:
        place: The place of the row in the file.
        experiment: The experiment; None for the experiment of the block.
        settings: The settings that select the row of the results table.
        places: Each setting with its place in the file.
        metric: The metric; None for the metric of the sweep.
        value: The number, in the metric's own unit.
        std: The standard deviation of the number; None if unknown.
        source: The paper and the table in it.
    """

    place: Place
    experiment: str | None
    settings: Mapping[str, Any]
    places: Mapping[str, Place]
    metric: str | None
    value: float
    std: float | None
    source: str


def read_published(raw: Any, place: Place) -> tuple[PublishedRow, ...]:
    """Return the rows of a `paper` section."""
    return tuple(_read_row(item, place.item(i)) for i, item in enumerate(place.sequence(raw)))


def _read_row(raw: Any, place: Place) -> PublishedRow:
    row = place.mapping(raw)
    place.known_keys(row, _KEYS)
    if "value" not in row:
        raise place.error("value is missing", "a row needs the number that the paper printed")
    flat = flatten(row["settings"], place.key("settings")) if "settings" in row else {}
    return PublishedRow(
        place=place,
        experiment=_text(row, "experiment", place),
        settings={key: read_value(value, at) for key, (value, at) in flat.items()},
        places={key: at for key, (_, at) in flat.items()},
        metric=_text(row, "metric", place),
        value=_number(row["value"], place.key("value")),
        std=None if row.get("std") is None else _deviation(row["std"], place.key("std")),
        source=_text(row, "source", place) or "",
    )


def _text(row: Mapping[str, Any], key: str, place: Place) -> str | None:
    value = row.get(key)
    if value is not None and not isinstance(value, str):
        raise place.key(key).error(f"{describe(value)} is not text", "put quotes around it")
    return value


def _number(value: Any, place: Place) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise place.error(f"{describe(value)} is not a number")
    return float(value)


def _deviation(value: Any, place: Place) -> float:
    if (std := _number(value, place)) < 0:
        raise place.error(f"{std:g} is not a standard deviation: it must be at least 0")
    return std


def resolve_row(row: PublishedRow, experiments: Iterable[str], metric: str) -> PublishedNumber:
    """Return the number of a row; take a missing experiment from the block and a missing metric from the sweep.

    Raises:
        SweepError: If the block lacks the experiment, several experiments are possible, or an accuracy is in percent.
    """
    known = list(dict.fromkeys(experiments))
    if row.experiment is None and len(known) > 1:
        raise row.place.error("experiment is missing", f"the row is for one of {', '.join(known)}")
    experiment = row.experiment or known[0]
    if experiment not in known:
        message = f"no run is of the experiment {experiment}{did_you_mean(experiment, known)}"
        raise row.place.key("experiment").error(message, f"the experiments are {', '.join(known)}")
    metric = row.metric or metric
    is_share = metric.rpartition("/")[2] in ("accuracy", "error")
    if is_share and not 0 <= row.value <= 1:
        hint = f"a fraction, not percent: {row.value / 100:g}"
        raise row.place.key("value").error(f"{row.value:g} is not a valid {metric}: it must be between 0 and 1", hint)
    if is_share and row.std is not None and row.std > 1:
        hint = f"a fraction, not percent: {row.std / 100:g}"
        raise row.place.key("std").error(f"{row.std:g} is not a valid standard deviation of {metric}", hint)
    return PublishedNumber(
        experiment=experiment,
        settings=dict(row.settings),
        metric=metric,
        value=row.value,
        std=row.std,
        source=row.source,
    )


def check_settings(row: PublishedRow, settings: Iterable[str]) -> None:
    """Raise if the row has a setting that no run has, since the row would never be shown."""
    known = sorted(set(settings))
    for key, place in row.places.items():
        if key not in known:
            message = f"the sweep does not vary this key{did_you_mean(key, known)}"
            raise place.error(message, f"it varies {', '.join(known) or 'nothing'}")


def check_unambiguous(numbers: Sequence[PublishedNumber], row: PublishedRow) -> None:
    """Raise if the last number is for the same rows of the table as an earlier one, with another value."""
    *earlier, last = numbers
    for one in earlier:
        if (one.experiment, one.metric, one.settings) == (last.experiment, last.metric, last.settings):
            if (one.value, one.std) != (last.value, last.std):
                raise row.place.error(
                    f"{last.value:g}, but {one.value:g} is the {last.metric} of the same rows "
                    f"(experiment {last.experiment})",
                    "say under `settings` which rows each is for, or give the blocks names",
                )
            return


def check_metric(metric: str, place: Place) -> None:
    """Raise if no training process writes this metric, since its column would stay empty."""
    if metric not in FINAL_METRICS:
        message = f"a run has no metric {metric!r}{did_you_mean(metric, FINAL_METRICS)}"
        raise place.error(message, f"the metrics are {', '.join(FINAL_METRICS)}; a block's own command may have others")
