"""Wait until sweeps have ended; meanwhile submit the runs for which a scheduler's queue had no room."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, final

from launch.errors import BackendError, LaunchError
from launch.store.queue_lock import read_queue_owner
from launch.store.state import State
from launch.store.view import RunView

if TYPE_CHECKING:
    from launch.store.sweep_state import SweepState

_ALIVE = frozenset({State.PENDING, State.RUNNING})
# Seconds between two attempts to submit more runs; they double while the queue has no room.
_FEED_S = 30.0
_MAX_FEED_S = 180.0


def ignore(_: str) -> None:
    """Ignore a line of progress."""


@final
class Feeder:
    """Submits the runs for which a cluster's queue had no room, as the queue empties.

    Args:
        states: The sweeps.
        say: Called with a line when runs were submitted.
        warn: Called with a line when the scheduler does not answer; it is asked again later.
    """

    def __init__(
        self, states: Sequence[SweepState], *, say: Callable[[str], None], warn: Callable[[str], None]
    ) -> None:
        self._states = list(states)
        self._say = say
        self._warn = warn
        self._next = 0.0
        self._pause_s = _FEED_S

    def feed(self) -> bool:
        """Submit as many runs as the queue has room for, if the pause is over; return whether runs are left."""
        from launch.actions import drive

        if time.monotonic() < self._next:
            return True
        left = 0
        for state in list(self._states):
            try:
                submitted = drive.feed(state.refreshed())
            except BackendError as error:
                self._warn(error.message)
                left += 1
                continue
            except LaunchError as error:  # refused for good: the other sweeps go on
                self._warn(f"{state.name}: {error.message}")
                self._states.remove(state)
                continue
            for warning in submitted.warnings if submitted is not None else ():
                self._warn(f"{state.name}: {warning}")
            left += submitted.left if submitted is not None else 0
            if submitted is not None and submitted.submitted:
                self._say(f"{state.name}: {submitted.words}")
                self._pause_s = _FEED_S
        self._next = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _MAX_FEED_S)
        return left > 0

    def end_pause(self) -> None:
        """Let the next call of `feed` submit at once."""
        self._next = 0.0


def wait_for_end(
    states: Sequence[SweepState],
    *,
    timeout_s: float | None = None,
    poll_s: float = 0.5,
    on_change: Callable[[list[RunView]], None] | None = None,
    feeder: Feeder | None = None,
) -> tuple[list[SweepState], bool]:
    """Wait until no run of the sweeps is running or pending.

    Args:
        states: The sweeps.
        timeout_s: Seconds after which to give up; None to wait for ever.
        poll_s: Seconds between two checks.
        on_change: Called with the views of all runs after each check.
        feeder: Submits runs that wait for room in a scheduler's queue; None to submit nothing.

    Returns:
        The sweeps as they are at the end, and whether they have ended.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    seen_over = False
    while True:
        left = feeder is not None and feeder.feed()
        # Checked before the views are read: a queue that has ended by then has written everything that they show.
        active = left or any(read_queue_owner(state.folder) is not None for state in states)
        states = [state.refreshed() for state in states]
        views = [view for state in states for view in state.views()]
        if on_change is not None:
            on_change(views)
        over = not active and not any(view.state in _ALIVE for view in views)
        if over and (feeder is None or seen_over):
            return list(states), True
        if over and feeder is not None:
            feeder.end_pause()  # a run that is to be tried again may have left the queue after the feeder looked
        seen_over = over
        if deadline is not None and time.monotonic() >= deadline:
            return list(states), False
        time.sleep(poll_s)
