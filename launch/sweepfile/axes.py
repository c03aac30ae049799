"""Read the sections that vary keys: grid, zip, list, random. Each gives axes; a block's runs are their product."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count as count_from
from typing import Any

from launch.grammar import Choices, Interval, format_value
from launch.sweepfile.random_values import draw, read_distribution
from launch.sweepfile.values import flatten, override_text, read_choices, read_value, without_force
from launch.yaml_file import Place

_RANDOM_KEYS = ("count", "seed", "values")
MAX_POINTS = 100_000
# A random section stops after this many draws in a row that gave points it already has.
_MISSES_IN_A_ROW = 1000


@dataclass(frozen=True)
class Point:
    """One combination of values for the keys of an axis.

    Attributes:
        values: Key, without the prefix `+`, to plain value.
        texts: The same values as Hydra overrides, in the same order.
    """

    values: dict[str, Any]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Axis:
    """One key that varies, or several keys that vary together. A run uses one of the points.

    Attributes:
        points: The points, at least one.
        places: Each key with its place in the sweep file.
        notice: A warning for the user, or None.
    """

    points: tuple[Point, ...]
    places: dict[str, Place]
    notice: str | None = None

    def without(self, keys: set[str]) -> Axis:
        """Return the axis without `keys`; points that become equal are merged."""
        if keys.isdisjoint(self.places):
            return self
        kept: dict[tuple[str, ...], Point] = {}
        for point in self.points:
            pairs = [(k, v, t) for (k, v), t in zip(point.values.items(), point.texts, strict=True) if k not in keys]
            texts = tuple(t for _, _, t in pairs)
            kept.setdefault(texts, Point({k: v for k, v, _ in pairs}, texts))
        places = {k: p for k, p in self.places.items() if k not in keys}
        return Axis(tuple(kept.values()), places, self.notice)


def _point(values: dict[str, Any], places: dict[str, Place]) -> Point:
    """Return the point for values whose keys may have the prefix `+`."""
    texts = tuple(override_text(key, value, places[key]) for key, value in values.items())
    return Point({without_force(key): value for key, value in values.items()}, texts)


def _axis(points: Iterable[Point], places: dict[str, Place], notice: str | None = None) -> Axis:
    return Axis(tuple(points), {without_force(key): place for key, place in places.items()}, notice)


def _axes(raw: Any, place: Place) -> tuple[dict[str, list[Any]], dict[str, Place]]:
    """Return the list of values of each key of a grid or zip, and the place of each key."""
    flat = flatten(raw, place)
    if not flat:
        raise place.error("no key is varied here: it is empty", "name a key and its values, or leave it out")
    for key, (_, at) in flat.items():
        _refuse_unvaried(key, at)
    return {k: read_choices(v, at) for k, (v, at) in flat.items()}, {k: at for k, (_, at) in flat.items()}


def _refuse_unvaried(key: str, place: Place) -> None:
    if key.startswith("~"):
        raise place.error("a deletion cannot be varied", "put it under base")
    refuse_special(key, place)


def refuse_special(key: str, place: Place) -> None:
    """Raise for the keys `seed` and `experiment`, which have keys of their own in a block."""
    section = {"seed": "seeds", "experiment": "experiment"}.get(name := without_force(key))
    if section is not None:
        raise place.error(f"{name} cannot be set here", f"use the block's own key {section}, next to grid and base")


def read_grid(raw: Any, place: Place) -> list[Axis]:
    """Return an axis for each key of `grid`: every combination is a run."""
    axes, places = _axes(raw, place)
    return [
        _axis((_point({key: value}, places) for value in values), {key: places[key]}) for key, values in axes.items()
    ]


def read_zip(raw: Any, place: Place) -> list[Axis]:
    """Return an axis for each mapping of `zip`: its keys vary together.

    Raises:
        SweepError: If the lists of one mapping differ in length.
    """
    many = isinstance(raw, list)
    return [_zip(r, place.item(i) if many else place) for i, r in enumerate(place.sequence(raw) if many else [raw])]


def _zip(raw: Any, place: Place) -> Axis:
    axes, places = _axes(raw, place)
    lengths = {key: len(values) for key, values in axes.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{key} has {n}" for key, n in lengths.items())
        raise place.error(f"the lists differ in length: {shown}", "zip walks through its lists together")
    rows = zip(*axes.values(), strict=True)
    return _axis([_point(dict(zip(axes, row, strict=True)), places) for row in rows], places)


def read_list(raw: Any, place: Place) -> list[Axis]:
    """Return the axis of `list`: explicit points, each with its own keys."""
    items = place.sequence(raw)
    if not items:
        raise place.error("the list of points is empty", "give it at least one point, or leave it out")
    points: list[Point] = []
    places: dict[str, Place] = {}
    for i, item in enumerate(items):
        flat = flatten(item, place.item(i))
        for key, (_, at) in flat.items():
            _refuse_unvaried(key, at)
            places.setdefault(key, at)
        points.append(_point({k: read_value(v, at) for k, (v, at) in flat.items()}, places))
    return [_axis(points, places)]


def read_random(raw: Any, place: Place) -> list[Axis]:
    """Return the axis of `random`: `count` different points, drawn with `seed`."""
    section = place.mapping(raw)
    place.known_keys(section, _RANDOM_KEYS)
    for needed in ("count", "values"):
        if needed not in section:
            raise place.error(f"{needed} is missing", "random needs count and values; seed is 0 unless given")
    count = place.key("count").whole(section["count"], 1, MAX_POINTS)
    seed = place.key("seed").whole(section.get("seed", 0), 0, 2**63)
    flat = flatten(section["values"], place.key("values"), deep=False)
    if not flat:
        raise place.key("values").error("no key is varied here: it is empty", "name a key and what to draw it from")
    for key, (_, at) in flat.items():
        _refuse_unvaried(key, at)
    distributions = {key: read_distribution(value, at) for key, (value, at) in flat.items()}
    places = {key: at for key, (_, at) in flat.items()}
    drawn = _draw_different(distributions, count, seed)
    few = len(drawn) < count
    notice = f"{place}: only {len(drawn)} of {count} points could be drawn that differ" if few else None
    return [_axis([_point(values, places) for values in drawn], places, notice)]


def _draw_different(distributions: dict[str, Choices | Interval], count: int, seed: int) -> list[dict[str, Any]]:
    """Return up to `count` different points; fewer if no more seem to exist."""
    found: dict[str, dict[str, Any]] = {}
    misses = 0
    for index in count_from(0):
        values = {
            key: draw(distribution, seed, without_force(key), index) for key, distribution in distributions.items()
        }
        text = format_value(list(values.values()))
        misses = misses + 1 if text in found else 0
        found.setdefault(text, values)
        if len(found) == count or misses > _MISSES_IN_A_ROW:
            break
    return list(found.values())
