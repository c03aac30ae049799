"""Tell when all runs that are left have waited for long, and when that ends: for commands that print lines."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, final

from launch.cli import console, formatting
from launch.store.state import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from launch.store.view import RunView

# Between two runs of a sweep nothing runs for some seconds, even if all is well.
LONG_S = 20.0
_HELD = "held"


@final
class IdleNotice:
    """Notes the beginning and the end of a time in which runs wait and nothing runs; shorter times are not told."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._told = ""

    def show(self, views: Sequence[RunView]) -> None:
        """Print a line if such a time has lasted for `LONG_S` seconds, if it ends, or if runs are held or released."""
        words = idle_words(views)
        now = time.monotonic()
        if not words:
            if self._told:
                self._note(f"the waiting is over: {formatting.state_words(formatting.count_states(views))}")
            self._since, self._told = None, ""
            return
        self._since = now if self._since is None else self._since
        changed = not self._told or (_HELD in words) != (_HELD in self._told)
        if now - self._since >= LONG_S and changed:
            self._told = words
            self._note(words)

    def _note(self, words: str) -> None:
        console.note(f"{time.strftime('%H:%M:%S')}  {console.printable(words)}")


def idle_words(views: Sequence[RunView]) -> str:
    """Return how many runs wait while nothing runs, and the most frequent reason; "" if a run runs or none waits."""
    waiting = [view for view in views if view.state == State.PENDING]
    if not waiting or any(view.state == State.RUNNING for view in views):
        return ""
    reasons = Counter(why for view in waiting if (why := formatting.last_log_line(view)))
    why = f": {reasons.most_common(1)[0][0]}" if reasons else ""
    return f"nothing runs, and {formatting.plural(len(waiting), 'run')} wait{'s' * (len(waiting) == 1)}{why}"
