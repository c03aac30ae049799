"""The text tables of `launch status`: one of all sweeps, one of the runs of a sweep."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from launch.cli import console, formatting
from launch.cli.progress import ProgressTracker
from launch.cli.run_columns import GAP, fit, identifying_columns, table_width
from launch.results.format import MISSING
from launch.store.manifest import BLOCK
from launch.store.state import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from launch.store.view import RunView


_REASON_ROOM = 24  # with less room, a reason gets a line of its own under its run


def runs_table(views: Sequence[RunView], now: float) -> str:
    """Return a table of a sweep's runs: state, attempts, progress, time, last change, and the reason of a failure.

    If it is too wide for the terminal, what varies between the runs has columns in place of their ids.
    """
    facts = _facts(views, now)
    whole = {"run": [view.run_id for view in views], **facts}
    reasons = facts.pop("reason", [])
    longest = max(map(console.width, reasons), default=0)
    over = table_width(whole) - console.terminal_columns() if console.draws_on(sys.stdout) else 0
    if over <= max(0, longest - _REASON_ROOM):
        return _text(whole, "reason" if reasons else "run")
    facts.pop("block", None)
    if set(facts["attempts"]) <= {"0", "1"}:
        del facts["attempts"]
    own = identifying_columns(views)
    room = console.terminal_columns() - table_width(facts) - GAP
    next_to = room - table_width(own) - GAP >= min(longest, _REASON_ROOM)
    table = {**fit(own, room), **facts}
    if next_to or not longest:
        return _text({**table, **({"reason": reasons} if longest else {})}, "reason" if longest else None)
    head, *lines = _text(table, None).splitlines()
    told = [[line, *([_cut(f"  └ {why}")] if why else [])] for line, why in zip(lines, reasons, strict=True)]
    return "\n".join([head, *(line for each in told for line in each)])


def _cut(text: str) -> str:
    text, columns = console.printable(text), console.terminal_columns()
    return text if len(text) <= columns else f"{text[: columns - 1]}…"


def _text(columns: Mapping[str, Sequence[str]], elastic: str | None) -> str:
    rows = list(zip(*columns.values(), strict=True))
    return console.table(list(columns), rows, right=["attempts", "progress", "time", "changed"], elastic=elastic)


def _facts(views: Sequence[RunView], now: float) -> dict[str, list[str]]:
    """Return the columns after a run's name; columns without content are left out."""
    seconds = [formatting.elapsed(view, now) for view in views]
    changes = [formatting.last_change(view) for view in views]
    columns = {
        "block": [str(view.settings.get(BLOCK, "")) for view in views],
        "state": [str(view.state) for view in views],
        "attempts": [str(view.attempts) for view in views],
        "progress": [progress(view) for view in views],
        "time": [MISSING if taken is None else formatting.duration(taken) for taken in seconds],
        "changed": ["" if then is None else formatting.age(now - then) for then in changes],
        "reason": [formatting.last_log_line(view) for view in views],
    }
    shown = {name: cells for name, cells in columns.items() if any(cells)}
    for name in ("block", "changed"):
        if name in shown:
            shown[name] = [cell or MISSING for cell in shown[name]]
    return shown


def progress(view: RunView) -> str:
    """Return the percentage of steps that a run has done, or a dash if it is unknown."""
    if view.state == State.SUCCEEDED:
        return "100 %"
    share = ProgressTracker().of(view)
    return MISSING if share is None else f"{100 * share:.0f} %"


def sweeps_table(sweeps: Mapping[str, Sequence[RunView]], changes: Mapping[str, float], now: float) -> str:
    """Return a table with one row per sweep, the number of runs in each state, and the age of the last change.

    Args:
        sweeps: The runs of each sweep.
        changes: When each sweep last changed, seconds since the epoch.
        now: The time now.
    """
    counts = {name: formatting.count_states(views) for name, views in sweeps.items()}
    states = [state for state in formatting.STATE_ORDER if any(state in each for each in counts.values())]
    header = ["sweep", "runs", *(state.lower() for state in states), "changed"]
    rows = [
        [
            name,
            str(len(views)),
            *(str(counts[name].get(state, 0)) for state in states),
            formatting.age(now - changes[name]),
        ]
        for name, views in sweeps.items()
    ]
    return console.table(header, rows, right=header[1:], elastic="sweep")
