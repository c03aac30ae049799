"""A stored sweep in the hands of a program: where its runs stand, waiting for them, cancelling them, their results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, final

from launch.actions.cancel import cancel
from launch.actions.orphans import refuse_stuck
from launch.actions.wait import Feeder, ignore, wait_for_end
from launch.results.gather import Results, gather
from launch.store.store import Store
from launch.store.view import RunView


@final
class SweepHandle:
    """A stored sweep: what has become of its runs, and what can be done to them. `open_sweep` and `submit` return it.

    Args:
        store: The store that has the sweep.
        name: Its name.
        warnings: What its submission warned of.

    Attributes:
        name: Name of the sweep.
        path: Its folder, `runs/<sweep>`.
        warnings: What its submission warned of, one line each.
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
        """Return where each run stands now. Asking changes nothing."""
        return self._sweep.state().views()

    def wait(
        self,
        *,
        timeout_s: float | None = None,
        poll_s: float = 0.5,
        on_change: Callable[[list[RunView]], None] | None = None,
        on_interrupt: Literal["leave", "cancel"] = "leave",
        feed: bool = False,
    ) -> list[RunView]:
        """Wait until no process works on the sweep, or is going to.

        Args:
            timeout_s: Seconds after which to give up; None to wait for ever.
            poll_s: Seconds between two looks.
            on_change: Called with where each run stands after each look.
            on_interrupt: What Ctrl-C does besides ending the wait: `leave` lets the runs go on, `cancel` cancels them.
            feed: Whether to submit what a cluster's queue had no room for as it empties.

        Returns:
            Where each run stands at the end.

        Raises:
            TimeoutError: After `timeout_s`; the runs go on.
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
        return state.views()

    def cancel(self) -> list[RunView]:
        """Cancel every run that has not ended, and return these; see `launch.cancel`."""
        return cancel_runs(self._store, [self.name])

    def results(self, metric: str | None = None) -> Results:
        """Return the results; see `launch.load_results`."""
        return gather(self._sweep.state(), metric)


def cancel_runs(store: Store, targets: Sequence[str]) -> list[RunView]:
    """Cancel sweeps or runs, and return these runs; raise if a container may still be at work."""
    cancelled = cancel(store, targets)
    refuse_stuck(cancelled.stuck)
    return cancelled.views
