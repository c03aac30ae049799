"""Draw the learning curves of runs as SVG, without a plotting library."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

# In pixels.
_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 12, 36
MAX_POINTS = 300  # the most points of a curve; the picture cannot show more


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The learning curve of one run.

    Attributes:
        points: (step, value) pairs, by ascending step.
        colour: The colour of the run's row in the table.
        name: The id of the run, shown when the mouse pointer is on the line.
    """

    points: Sequence[tuple[float, float]]
    colour: str
    name: str


def draw_curves(curves: Sequence[Curve], *, percent: bool) -> str:
    """Return curves over steps as SVG.

    Args:
        curves: At least one curve, with at least two points each.
        percent: Whether to label values, which are fractions, in percent.
    """
    left, right = _range([step for curve in curves for step, _ in curve.points])
    low, high = _range([value for curve in curves for _, value in curve.points])

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
    ticks = [_tick(value, place(left, value), percent) for value in (low + (high - low) * n / 4 for n in range(5))]
    floor = _HEIGHT - _BOTTOM + 16
    ends = (
        f'<text x="{_LEFT}" y="{floor}">step {left:,.0f}</text>'
        f'<text x="{_WIDTH - _RIGHT}" y="{floor}" text-anchor="end">step {right:,.0f}</text>'
    )
    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}"'
    return f'<svg {size} role="img">{"".join(ticks)}{ends}{"".join(lines)}</svg>'


def thin(points: Sequence[tuple[float, float]], most: int) -> Sequence[tuple[float, float]]:
    """Return at most `most` of the points, evenly spaced, including the first and the last."""
    if len(points) <= most:
        return points
    return [points[round(n * (len(points) - 1) / (most - 1))] for n in range(most)]


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Return the smallest and the largest value; if they are equal, return a range around them."""
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _tick(value: float, place: str, percent: bool) -> str:
    x, y = place.split(",")
    label = f"{100 * value:.1f} %" if percent else f"{value:.3g}"
    rule = f'<line x1="{x}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}" stroke="currentColor" stroke-opacity=".15"/>'
    return f'{rule}<text x="{_LEFT - 6}" y="{float(y) + 4:.1f}" text-anchor="end">{label}</text>'
