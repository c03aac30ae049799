"""The handle of a stored sweep for Python programs: the status of its runs, wait, cancel, results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, final

from launch.actions.cancel import cancel, refuse_unreached
from launch.actions.orphans import refuse_stuck
from launch.actions.wait import Feeder, ignore, wait_for_end
from launch.results.gather import Results, gather
from launch.store.status import with_last_step
from launch.store.store import Store
from launch.store.view import RunView


@final
class SweepHandle:
    """A stored sweep: its status, its results, and methods to wait and to cancel. `open_sweep` and `submit` return it.

    Args:
        store: The store that contains the sweep.
        name: The name of the sweep.
        warnings: The warnings of its submission.

    Attributes:
        name: Name of the sweep.
        path: The folder of the sweep, `runs/<sweep>`.
        warnings: The warnings of its submission, one line each.
    """

    def __init__(self, store: Store, name: str, warnings: Sequence[str] = ()) -> None:
        self.name = name
        self.path = store.root / name
        self.warnings = tuple(warnings)
        self._store = store
        self._sweep = store.sweep(name)

    def __repr__(self) -> str:
        return f"SweepHandle({str(self.path)!r})"

    def status(self) -> list[RunView]:
        """Return the view of each run now. Changes nothing."""
        return [with_last_step(view) for view in self._sweep.state().views()]

    def wait(
        self,
        *,
        timeout_s: float | None = None,
        poll_s: float = 0.5,
        on_change: Callable[[list[RunView]], None] | None = None,
        on_interrupt: Literal["leave", "cancel"] = "leave",
        feed: bool = False,
    ) -> list[RunView]:
        """Wait until no run of the sweep is running or pending.

        Args:
            timeout_s: Seconds after which to give up; None to wait for ever.
            poll_s: Seconds between two checks.
            on_change: Called with the views of all runs after each check.
            on_interrupt: Ctrl-C ends the wait. With `leave` the runs continue, with `cancel` they are cancelled.
            feed: Whether to submit the runs for which a cluster's queue had no room, as the queue empties.

        Returns:
            The view of each run at the end.

        Raises:
            TimeoutError: After `timeout_s`; the runs continue.
        """
        state = self._sweep.state()
        feeder = Feeder([state], say=ignore, warn=ignore) if feed else None
        try:
            (state,), ended = wait_for_end(
                [state], timeout_s=timeout_s, poll_s=poll_s, on_change=on_change, feeder=feeder
            )
        except KeyboardInterrupt:
            if on_interrupt == "cancel":
                self.cancel()
            raise
        if not ended:
            raise TimeoutError(f"the sweep {self.name} has not ended after {timeout_s:g} s")
        return [with_last_step(view) for view in state.views()]

    def cancel(self) -> list[RunView]:
        """Cancel every run that has not ended, and return the views of these runs; see `launch.cancel`."""
        return cancel_runs(self._store, [self.name])

    def results(self, metric: str | None = None, *, superseded: bool = False) -> Results:
        """Return the results; see `launch.load_results`."""
        return gather(self._sweep.state(), metric, superseded=superseded)


def cancel_runs(store: Store, targets: Sequence[str]) -> list[RunView]:
    """Cancel sweeps or runs, and return the views of the cancelled runs; raise if one could not be ended."""
    cancelled = cancel(store, targets)
    refuse_stuck(cancelled.stuck)
    refuse_unreached(cancelled.unreached)
    return cancelled.views
