"""The table of the live display: a line for each run, under the name of its sweep if there are several sweeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from launch.cli import console, formatting
from launch.cli.console import STATE_COLOURS
from launch.cli.run_columns import GAP, fit, identifying_columns, table_width
from launch.store.state import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

    from launch.cli.progress import ProgressTracker
    from launch.store.view import RunView

NARROW = 90  # columns below which progress has no bar
_BAR = 10  # columns of one run's progress bar
_MIN_REASON = 24  # with less room, a reason gets a line of its own under its run
_FULL_ID_REASON = 36  # how much room a reason needs next to a whole run id


class Column(NamedTuple):
    """One column of the table."""

    name: str
    cells: list[str]
    right: bool = False

    @property
    def width(self) -> int:
        """How many columns of the terminal it takes."""
        return max(map(console.width, (self.name, *self.cells)))


def shown_runs(views: Sequence[RunView], room: int) -> tuple[list[RunView], list[RunView]]:
    """Return the runs that fit into `room` lines, those that need the user first, and the rest; both in their order."""
    several = len({view.sweep for view in views}) > 1
    chosen: set[int] = set()
    headed: set[str] = set()
    order = sorted(range(len(views)), key=lambda number: formatting.STATE_ORDER.index(views[number].state))
    for number in order:
        view = views[number]
        lines = 1 + bool(note_of(view)) + (several and view.sweep not in headed)
        if lines > room and chosen:
            break
        chosen.add(number)
        headed.add(view.sweep)
        room -= lines
    return (
        [view for number, view in enumerate(views) if number in chosen],
        [view for number, view in enumerate(views) if number not in chosen],
    )


def run_lines(views: Sequence[RunView], columns: int, now: float, progress: ProgressTracker) -> list[Text]:
    """Return the lines of the table; no two runs look alike, and no line is wider than `columns`."""
    from rich.text import Text

    notes = [note_of(view) for view in views]
    table = _columns(views, columns, now, progress, noted=any(notes))
    widths = [column.width for column in table]
    left = columns - sum(widths) - GAP * len(widths)
    next_to = left >= _MIN_REASON
    head = [_aligned(column.name, column, width) for column, width in zip(table, widths, strict=True)]
    lines = [_line([*head, "reason"] if next_to and any(notes) else head, columns, style="dim")]
    sweep = views[0].sweep if len({view.sweep for view in views}) > 1 else None
    for row, (view, note) in enumerate(zip(views, notes, strict=True)):
        if sweep is not None and (row == 0 or view.sweep != views[row - 1].sweep):
            lines.append(_line([console.printable(view.sweep)], columns, style="bold"))
        line = Text(no_wrap=True, overflow="crop")
        for column, width in zip(table, widths, strict=True):
            style = STATE_COLOURS[view.state] if column.name == "state" else ""
            line.append(_aligned(column.cells[row], column, width), style=style)
            line.append(" " * GAP)
        if note and next_to:
            line.append(_cut(note, left), style="dim")
        line.truncate(columns)
        lines.append(line)
        if note and not next_to:
            lines.append(_line([f"  └ {note}"], columns, style="dim"))
    return lines


def note_of(view: RunView) -> str:
    """Return why a run did not succeed or waits, or the number of its attempts; "" without either."""
    why = formatting.last_log_line(view)
    return console.printable(why) if why else f"{view.attempts} attempts" if view.attempts > 1 else ""


def _columns(
    views: Sequence[RunView], columns: int, now: float, progress: ProgressTracker, *, noted: bool
) -> list[Column]:
    """Return the columns that fit: the metric goes before a key that varies does."""
    seconds = [formatting.elapsed(view, now) for view in views]
    wide = columns >= NARROW
    state = Column("state", [str(view.state) for view in views])
    done = Column("progress" if wide else "done", [_progress(view, progress, bar=wide) for view in views], right=True)
    time = Column("time", ["" if taken is None else formatting.duration(taken) for taken in seconds], right=True)
    metric = _metric_column(views, progress)
    fixed = [state, done, *([metric] if metric else []), time]
    room = columns - sum(column.width + GAP for column in fixed)
    whole = Column("run", [console.printable(view.run_id) for view in views])
    if whole.width + (GAP + _FULL_ID_REASON if noted else 0) <= room:
        return [whole, *fixed]
    own = identifying_columns(views)
    if metric is not None and table_width(fit(own, 10**6)) > room > table_width(fit(own, room)):
        fixed.remove(metric)
        room += metric.width + GAP
    return [*(Column(name, cells) for name, cells in fit(own, room).items()), *fixed]


def _metric_column(views: Sequence[RunView], progress: ProgressTracker) -> Column | None:
    found = [progress.metric_of(view) if view.state is State.RUNNING else None for view in views]
    names = {one[0] for one in found if one is not None}
    if not names:
        return None
    if len(names) == 1:
        return Column(names.pop(), ["" if one is None else f"{one[1]:.4g}" for one in found], right=True)
    return Column("metric", ["" if one is None else f"{one[0]} {one[1]:.4g}" for one in found], right=True)


def _progress(view: RunView, progress: ProgressTracker, *, bar: bool) -> str:
    if view.state is State.SUCCEEDED:
        return ""
    if view.state is State.RUNNING and progress.is_compiling(view):
        return "compiling"
    share = progress.of(view)
    if share is None:
        return ""
    percent = f"{100 * share:.0f} %"
    if not bar:
        return percent
    full = round(_BAR * share)
    return f"{'━' * full}{'╌' * (_BAR - full)} {percent:>5}"


def _aligned(text: str, column: Column, width: int) -> str:
    gap = " " * (width - console.width(text))
    return gap + text if column.right else text + gap


def _line(cells: Sequence[str], columns: int, *, style: str) -> Text:
    from rich.text import Text

    return Text(_cut((" " * GAP).join(cells).rstrip(), columns), style=style, no_wrap=True, overflow="crop")


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: max(0, room - 1)]}…"
