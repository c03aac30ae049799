"""Show a sweep while it runs: a live display on a terminal, or one line per change in a pipe."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import deque
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from launch.cli import console, formatting
from launch.cli.idle_notice import IdleNotice
from launch.cli.live_table import NARROW, run_lines, shown_runs
from launch.cli.progress import ProgressTracker
from launch.store.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType, TracebackType

    from rich.console import RenderableType

    from launch.store.view import RunView

_STOPPING = "stopping: every run writes a checkpoint within 30 s; Ctrl-C again kills them"
_ROWS_FOR_KEYS = 12  # with fewer rows, the line about the keys is left out


class LiveView:
    """Shows runs as they change. It is a context manager: the display is drawn inside its `with` block.

    Args:
        title: The title of the display: the sweep's name.
        hears_signals: Whether to show that a signal asked to stop, and call the handlers set before the first `show`.
        keys: What the keys do, shown at the bottom; "" to show nothing.

    Attributes:
        stopped_by: The number of the last signal that asked to stop; None without such a signal.
    """

    def __init__(self, title: str, *, hears_signals: bool = False, keys: str = "") -> None:
        self._title = title
        self._keys = keys
        self._hears_signals = hears_signals
        self._views: Sequence[RunView] = ()
        self._seen: dict[str, tuple[State, int]] = {}
        self._began = time.time()
        # Recent (time, fraction done) pairs, from which the time left is estimated.
        self._pace: deque[tuple[float, float]] = deque(maxlen=120)
        self._progress = ProgressTracker()
        self._stops = 0
        self._announced = False
        self._waits = ""
        self._idle = IdleNotice()
        self._draws = console.draws_on(sys.stderr)
        self._stack = ExitStack()
        self.stopped_by: int | None = None

    def __enter__(self) -> LiveView:
        if self._draws:
            self._stack.enter_context(console.live(self.render))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _watch_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if callable(before := signal.getsignal(number)):
                signal.signal(number, partial(self._pass_on, before))

    def _pass_on(self, before: Callable[[int, FrameType | None], object], number: int, frame: FrameType | None) -> None:
        # Print nothing here: the interrupted code may be writing to stderr.
        self._stops += 1
        self.stopped_by = number
        before(number, frame)

    def show(self, views: Sequence[RunView]) -> None:
        """Show the present state of the runs: draw them, or write a line for each run that changed."""
        if self._hears_signals:  # the queue has set its signal handlers by now, not earlier
            self._hears_signals = False
            self._watch_signals()
        self._views = views
        self._progress.forget_newest()
        self._pace.append((time.time(), self._progress.ended(views)))
        if not self._draws:
            self._write_changes(views)

    def _write_changes(self, views: Sequence[RunView]) -> None:
        if self._stops and not self._announced:
            self._announced = True
            console.note(f"{time.strftime('%H:%M:%S')}  {_STOPPING}")
        waits = waits_for(views)
        if waits != self._waits and waits:
            console.note(f"{time.strftime('%H:%M:%S')}  {waits}")
        self._waits = waits
        if not waits:
            self._idle.show(views)
        first = not self._seen
        for view in views:
            now = (view.state, view.attempts)
            before = self._seen.get(view.run_id)
            self._seen[view.run_id] = now
            # At first only running runs get a line: the line after them counts all runs.
            if now != before and not (first and view.state != State.RUNNING):
                console.note(f"{time.strftime('%H:%M:%S')}  {change(view)}")
        if first and views:
            counts = formatting.state_words(formatting.count_states(views))
            console.note(f"{self._title}: {formatting.plural(len(views), 'run')}: {counts}")

    def render(self, columns: int, rows: int) -> RenderableType:
        """Return the display for a terminal of this size; it never has more rows than the terminal."""
        from textwrap import wrap

        from rich.columns import Columns
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        now = time.time()
        lines = wrap(self._headline(now, columns), max(1, columns), max_lines=max(1, rows - 6), placeholder=" …")
        head = Text("\n".join(lines), no_wrap=True, overflow="ellipsis", style="bold")
        keys = self._keys if rows >= _ROWS_FOR_KEYS else ""
        room = max(1, rows - 5 - len(lines) - bool(keys))
        views = list(self._views)
        shown, rest = shown_runs(views, room)
        done = self._progress.done(views)
        bar = Columns([ProgressBar(total=1, completed=done, width=max(10, columns - 6)), f"{100 * done:3.0f} %"])
        parts: list[RenderableType] = [head, bar, *(run_lines(shown, columns, now, self._progress) if shown else [])]
        if rest:
            words = formatting.state_words(formatting.count_states(rest))
            parts.append(Text(f"… and {len(rest):,} more: {words}", style="dim", no_wrap=True, overflow="ellipsis"))
        if keys:
            parts.append(Text(keys, style="dim", no_wrap=True, overflow="ellipsis"))
        return Group(*parts)

    def _headline(self, now: float, columns: int) -> str:
        counts = formatting.state_words(formatting.count_states(self._views))
        counts += _reasons(self._views) if columns < NARROW else ""  # the table may have to cut them
        counts += f"; {waits}" if (waits := waits_for(self._views)) else ""
        if self._stops:
            counts = _STOPPING if self._stops == 1 else "killing what runs"
        left = seconds_left(self._pace)
        took = formatting.duration(now - self._began)
        took += "" if left is None else f", about {formatting.duration(left)} left"
        return f"{console.printable(self._title)}  {took}  {counts}"


def waits_for(views: Sequence[RunView]) -> str:
    """Return the message about the cores or GPUs of other sweeps that the queue waits for; "" if it does not wait."""
    return next((console.printable(formatting.last_log_line(v)) for v in views if formatting.is_blocked(v)), "")


def _reasons(views: Sequence[RunView]) -> str:
    """Return the reasons why attempts ended without success, in parentheses and each once; "" without reasons."""
    over = (State.RUNNING, State.SUCCEEDED)
    reasons = dict.fromkeys(str(view.reason) for view in views if view.reason is not None and view.state not in over)
    return f" ({', '.join(reasons)})" if reasons else ""


def seconds_left(pace: Sequence[tuple[float, float]]) -> float | None:
    """Return an estimate of the seconds left, from pairs of time and fraction done; None if there are too few."""
    if len(pace) < 2:
        return None
    (start, before), (end, after) = pace[0], pace[-1]
    if after <= before or after >= 1 or end - start < 2:
        return None
    return (1 - after) * (end - start) / (after - before)


def change(view: RunView) -> str:
    """Return the line for a run whose state has changed."""
    words = f"{view.state:<9}  {console.printable(view.run_id)}"
    if view.state == State.RUNNING and view.attempts > 1:
        return f"{words}  {formatting.plural(view.attempts, 'attempt')}"
    if view.state == State.SUCCEEDED and view.started is not None and view.ended is not None:
        return f"{words}  in {formatting.duration(view.ended - view.started)}"
    why = formatting.last_log_line(view)
    return f"{words}  {console.printable(why)}" if why else words
