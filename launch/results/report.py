"""Make one self-contained HTML page with the table and the learning curves of a sweep."""

from __future__ import annotations

import html
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from launch.errors import plural
from launch.results.curves import MAX_POINTS, Curve, draw_curves, thin
from launch.results.export import setting_names
from launch.results.format import html_table, is_percent, numeric_columns, setting_cells
from launch.results.table import ResultRow
from launch.store.state import State
from launch.store.view import RunView
from s5.run_dir.result import read_metrics

# The palette of Okabe and Ito, which colour-blind readers can distinguish.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#777777")
_MOST_DRAWN = 1e300
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


def make_page(sweep: str, rows: Sequence[ResultRow], views: Sequence[RunView], notes: Sequence[str] = ()) -> str:
    """Return an HTML page with a sweep's results and the curves of its runs; it needs no other files.

    Args:
        sweep: The name of the sweep.
        rows: The rows of the table.
        views: The runs of the rows.
        notes: Lines below the table, such as how many runs are left out, and why.
    """
    colours = {run_id: _COLOURS[n % len(_COLOURS)] for n, row in enumerate(rows) for run_id in row.run_ids}
    metric = rows[0].metric if rows else ""
    states = ", ".join(f"{count} {state.lower()}" for state, count in Counter(v.state for v in views).items())
    title = html.escape(sweep)
    pictures = "\n".join(
        f"<h2>{html.escape(name)}</h2>\n{draw_curves(curves, percent=is_percent(name))}"
        for name, curves in _curves(metric, views, colours).items()
    )
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{_STYLE}</style></head><body>
<h1>{title}</h1>
<p>{plural(len(views), "run")}: {html.escape(states)}</p>
{_table(rows)}
{"".join(f"<p>{html.escape(note)}</p>" for note in notes)}
{_failures(views)}
{pictures}
<footer>Written by <code>launch report {title}</code> on {time.strftime("%Y-%m-%d %H:%M %Z")}</footer>
</body></html>
"""


def _failures(views: Sequence[RunView]) -> str:
    """Return a table of the runs that failed, each with its reason; "" without any."""
    failed = [view for view in views if view.state is State.FAILED]
    rows = [[view.run_id, str(view.attempts), str(view.reason or ""), view.message or ""] for view in failed]
    return f"<h2>failed</h2>\n{html_table(['run', 'attempts', 'reason', 'message'], rows)}" if rows else ""


def _table(rows: Sequence[ResultRow]) -> str:
    keys = setting_names(rows)
    metric = rows[0].metric if rows else "metric"
    numeric, numbers = numeric_columns(rows, f"{metric} (%)" if is_percent(metric) else metric)
    marks = [_COLOURS[number % len(_COLOURS)] for number in range(len(rows))]
    cells = [[row.experiment, *setting_cells(row.settings, keys), *own] for row, own in zip(rows, numbers, strict=True)]
    header = ["experiment", *keys, *numeric]
    if not all(row.current for row in rows):
        header.append("current")
        cells = [[*own, "yes" if row.current else "no"] for own, row in zip(cells, rows, strict=True)]
    return html_table(header, cells, numeric, marks)


def _is_drawable(value: object) -> bool:
    """Return whether a value of a metric is a number that is not too large for a picture."""
    return isinstance(value, int | float) and abs(value) < _MOST_DRAWN


def _curves(metric: str, views: Sequence[RunView], colours: Mapping[str, str]) -> dict[str, list[Curve]]:
    """Return the runs' curves of the validation metric and of the training loss, by name; without missing curves."""
    wanted = dict.fromkeys((f"val/{metric.rsplit('/', 1)[-1]}", "train/loss"))
    found: dict[str, list[Curve]] = {}
    for view in views:
        lines = read_metrics(Path(view.run_dir))
        for name in wanted:
            points = [(float(line["step"]), float(line[name])) for line in lines if _is_drawable(line.get(name))]
            if len(points) > 1:
                colour = colours.get(view.run_id, _COLOURS[-1])
                curve = Curve(points=thin(points, MAX_POINTS), colour=colour, name=view.run_id)
                found.setdefault(name, []).append(curve)
    return found
