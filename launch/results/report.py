"""A sweep on one HTML page: its table and its learning curves, self-contained."""

from __future__ import annotations

import html
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.results.table import MISSING, ResultRow, difference_text, in_percent, mean_text, number_text
from launch.store.view import RunView
from s5.run_dir.result import read_metrics

_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 12, 36
_POINTS = 300  # of a curve: more than the picture can show
# Okabe and Ito's colours, which colour-blind readers can tell apart.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#777777")
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; }
th, td { padding: .25em .8em; text-align: left; border-bottom: 1px solid #8884; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
svg { max-width: 100%; height: auto; } svg text { fill: currentColor; font-size: 11px; }
.key { display: inline-block; width: 1.2em; height: .25em; vertical-align: middle; margin-right: .5em; }
footer { opacity: .7; }
"""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One run's line in a picture.

    Attributes:
        points: (step, value) pairs, steps ascending.
        colour: That of its row.
        name: The run, shown where the pointer rests on the line.
    """

    points: list[tuple[float, float]]
    colour: str
    name: str


def page(sweep: str, table: Sequence[ResultRow], views: Sequence[RunView]) -> str:
    """Return the page.

    Args:
        sweep: Name of the sweep.
        table: Its rows.
        views: Its runs, whose metrics are read for the curves.

    Returns:
        HTML without references to anything outside it.
    """
    colours = {_key(row.experiment, row.settings): _COLOURS[n % len(_COLOURS)] for n, row in enumerate(table)}
    metric = table[0].metric if table else ""
    states = ", ".join(f"{count} {state.lower()}" for state, count in Counter(v.state for v in views).items())
    title = html.escape(sweep)
    pictures = "\n".join(
        f"<h2>{html.escape(name)}</h2>\n{picture(curves, percent=in_percent(name))}"
        for name, curves in _curves(metric, views, colours).items()
    )
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{_STYLE}</style></head><body>
<h1>{title}</h1>
<p>{len(views)} runs: {html.escape(states)}</p>
{_table(table, colours)}
{pictures}
<footer>Written by <code>launch report {title}</code> on {time.strftime("%Y-%m-%d %H:%M %Z")}</footer>
</body></html>
"""


def _key(experiment: str, settings: Mapping[str, Any]) -> str:
    return experiment + json.dumps(settings, sort_keys=True, default=str)


def _table(table: Sequence[ResultRow], colours: Mapping[str, str]) -> str:
    keys = list(dict.fromkeys(key for row in table for key in row.settings))
    metric = table[0].metric if table else "metric"
    unit = " (%)" if in_percent(metric) else ""
    header = "".join(f"<th>{html.escape(name)}</th>" for name in ("experiment", *keys))
    header += "".join(
        f'<th class="number">{html.escape(name)}</th>'
        for name in ("seeds", f"{metric}{unit}", "published", "difference")
    )
    lines = [_table_line(row, keys, colours[_key(row.experiment, row.settings)]) for row in table]
    return f"<table><thead><tr>{header}</tr></thead><tbody>\n" + "\n".join(lines) + "\n</tbody></table>"


def _table_line(row: ResultRow, keys: Sequence[str], colour: str) -> str:
    settings = [_text(row.settings[key]) if key in row.settings else MISSING for key in keys]
    numbers = [str(len(row.seeds)), mean_text(row), number_text(row.published, row.metric), difference_text(row)]
    first = f'<td><span class="key" style="background:{colour}"></span>{html.escape(row.experiment)}</td>'
    cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in settings)
    return f"<tr>{first}{cells}" + "".join(f'<td class="number">{cell}</td>' for cell in numbers) + "</tr>"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _curves(metric: str, views: Sequence[RunView], colours: Mapping[str, str]) -> dict[str, list[Curve]]:
    """Return the curves of the metric on the validation split and of the training loss, as far as there are any."""
    wanted = dict.fromkeys((f"val/{metric.rsplit('/', 1)[-1]}", "train/loss"))
    found: dict[str, list[Curve]] = {}
    for view in views:
        lines = read_metrics(Path(view.run_dir))
        for name in wanted:
            points = [(float(line["step"]), float(line[name])) for line in lines if line.get(name) is not None]
            if len(points) > 1:
                colour = colours.get(_key(view.experiment, view.settings), _COLOURS[-1])
                curve = Curve(points=thin(points, _POINTS), colour=colour, name=view.run_id)
                found.setdefault(name, []).append(curve)
    return found


def thin(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """Return at most so many of the points, evenly, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    return [points[round(n * (len(points) - 1) / (most - 1))] for n in range(most)]


def picture(curves: Sequence[Curve], *, percent: bool) -> str:
    """Return curves over steps as SVG.

    Args:
        curves: At least one, of at least two points each.
        percent: Whether the values are fractions to be read in percent.
    """
    steps = [step for curve in curves for step, _ in curve.points]
    values = [value for curve in curves for _, value in curve.points]
    (left, right), (low, high) = _span(steps), _span(values)

    def place(step: float, value: float) -> str:
        x = _LEFT + (step - left) / (right - left) * (_WIDTH - _LEFT - _RIGHT)
        y = _TOP + (high - value) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)
        return f"{x:.1f},{y:.1f}"

    lines = [
        f'<polyline fill="none" stroke="{curve.colour}" stroke-width="1.3" '
        f'points="{" ".join(place(*point) for point in curve.points)}">'
        f"<title>{html.escape(curve.name)}</title></polyline>"
        for curve in curves
    ]
    ticks = [_tick(low + (high - low) * n / 4, place(left, low + (high - low) * n / 4), percent) for n in range(5)]
    floor = _HEIGHT - _BOTTOM + 16
    ends = (
        f'<text x="{_LEFT}" y="{floor}">step {left:,.0f}</text>'
        f'<text x="{_WIDTH - _RIGHT}" y="{floor}" text-anchor="end">step {right:,.0f}</text>'
    )
    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}"'
    return f'<svg {size} role="img">{"".join(ticks)}{ends}{"".join(lines)}</svg>'


def _span(values: Sequence[float]) -> tuple[float, float]:
    """Return the smallest and the largest value, apart even where they are one."""
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _tick(value: float, place: str, percent: bool) -> str:
    x, y = place.split(",")
    label = f"{100 * value:.1f} %" if percent else f"{value:.3g}"
    rule = f'<line x1="{x}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}" stroke="currentColor" stroke-opacity=".15"/>'
    return f'{rule}<text x="{_LEFT - 6}" y="{float(y) + 4:.1f}" text-anchor="end">{label}</text>'
