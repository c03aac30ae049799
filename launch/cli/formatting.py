"""Format durations, sizes, counts and states of runs for the user."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from launch.errors import plural as plural
from launch.store.state import State
from launch.store.view import QUEUED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from launch.store.view import RunView

# One line for each state, for the help of commands; docs/sweeps.md says more.
STATE_HELP = {
    State.PLANNED: "no process is going to start it, or it waits for a run that failed or was cancelled",
    State.PENDING: "in the queue, of this machine or of Slurm",
    State.RUNNING: "an attempt is at work",
    State.PREEMPTED: "interrupted, or failed with tries left; the sweep's command continues it",
    State.SUCCEEDED: "it has a result",
    State.FAILED: "its last attempt failed; `launch logs RUN` shows why, `launch retry SWEEP` starts it again",
    State.CANCELLED: "the user cancelled it; `launch retry SWEEP` starts it again",
    State.LOST: "its processes are gone without a record; the sweep's command starts it again",
}

# The order in which states are shown; the most important first.
STATE_ORDER = (
    State.RUNNING,
    State.FAILED,
    State.LOST,
    State.PREEMPTED,
    State.PENDING,
    State.PLANNED,
    State.CANCELLED,
    State.SUCCEEDED,
)


def duration(seconds: float) -> str:
    """Return seconds as `0:07`, `12:30` or `3:04:05`; days as `2d 03:04`."""
    whole = max(0, round(seconds))
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, last = divmod(rest, 60)
    if days:
        return f"{days}d {hours:02}:{minutes:02}"
    return f"{hours}:{minutes:02}:{last:02}" if hours else f"{minutes}:{last:02}"


def age(seconds: float) -> str:
    """Return how long ago something was: `just now`, `5 min ago`, `3 h ago`, `12 d ago`."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length):,} {unit} ago"
    return "just now"


def size(count: float) -> str:
    """Return bytes as `512 B`, `1.5 MiB` and so on."""
    if count < 1024:
        return f"{count:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        if count < 1024:
            return f"{count:.1f} {unit}"
    return f"{count / 1024:.1f} TiB"


def hours(value: float) -> str:
    """Return a number of hours, rounded to two or more digits."""
    return f"{value:.2g}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def cost(value: float, unit: str) -> str:
    """Return a number of `core-hours` or `GPU-hours` with its unit; a small one in minutes or seconds."""
    kind = unit.removesuffix("hours")
    for factor, word in ((1, "hours"), (60, "minutes"), (3600, "seconds")):
        if value * factor >= 1:
            return f"{hours(value * factor)} {kind}{word}"
    return f"less than a {kind}second"


def count_states(views: Iterable[RunView]) -> dict[State, int]:
    """Return the number of runs in each state, in `STATE_ORDER`; states without runs are left out."""
    found = Counter(view.state for view in views)
    return {state: found[state] for state in STATE_ORDER if found[state]}


def free(views: Sequence[RunView]) -> list[RunView]:
    """Return the runs, without those that wait while others have failed or were cancelled."""
    stuck = any(view.state in (State.FAILED, State.CANCELLED) for view in views)
    return [view for view in views if not (stuck and view.waits)]


def first_failed(views: Iterable[RunView]) -> str:
    """Return the first failed run as `SWEEP/RUN`, for the command that shows its log; `RUN` if none has failed."""
    return next((f"{view.sweep}/{view.run_id}" for view in views if view.state == State.FAILED), "RUN")


def state_words(counts: dict[State, int]) -> str:
    """Return counts of states as text, such as `2 running, 1 failed, 3 succeeded`."""
    return ", ".join(f"{count:,} {state.lower()}" for state, count in counts.items())


def last_change(view: RunView) -> float | None:
    """Return when a run's last attempt ended, or began if it has not ended, in seconds since the epoch; else None."""
    return view.started if view.ended is None else view.ended


def elapsed(view: RunView, now: float) -> float | None:
    """Return the seconds of a run's last attempt, until its end or until `now`; None without an attempt."""
    if view.started is None:
        return None
    if view.ended is not None:
        return view.ended - view.started
    return now - view.started if view.state == State.RUNNING else None


def is_blocked(view: RunView) -> bool:
    """Return whether a run waits for resources that other sweeps use; the run's message then names them."""
    if view.state != State.PENDING or view.waits or view.message is None:
        return False
    return view.message.startswith("waits for ")


def last_log_line(view: RunView) -> str:
    """Return one line with the reason why a run did not succeed or start; "" without a reason."""
    if view.state in (State.SUCCEEDED, State.RUNNING):
        return ""
    if view.reason is None or view.waits or is_blocked(view):
        return view.message or ""
    mark = "; " if view.message is not None and view.message.startswith(QUEUED) else ": "
    why = f"{view.reason}{mark}{view.message}" if view.message else str(view.reason)
    return f"last: {why}" if view.state in (State.PLANNED, State.PENDING, State.PREEMPTED) else why
