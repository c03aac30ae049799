"""`launch watch`: shows a sweep while it runs. Reads, and changes nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from launch.cli import console, formatting
from launch.cli.live_view import LiveView
from launch.errors import BackendError, ExitCode, LaunchError
from launch.store.state import State

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from launch.cli.parser import Parser
    from launch.store.store import Store, SweepStore
    from launch.store.view import RunView

EXAMPLES = """
launch watch                                  everything that runs here
launch watch mnist5k
launch watch mnist5k 2>&1 | tee progress.txt  in a pipe: one line per change
"""

ALIVE = frozenset({State.PENDING, State.RUNNING})
_POLL_S = 1.0
# How often the queue is asked whether it has room: the scheduler is treated politely.
_FEED_S = 30.0
_MOST_FEED_S = 180.0


def configure(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("sweep", metavar="SWEEP", nargs="?", help="a sweep's name or its file; default: all")
    parser.add_argument("--feed", action="store_true", help="submit what a cluster's queue had no room for before")


def execute(args: argparse.Namespace) -> int:
    """Show it until nothing is alive any more, or until Ctrl-C, which stops the watching and nothing else."""
    from launch.actions.targets import open_store, sweep_name
    from launch.cli.problems import warn_of_damage, warn_of_silent_scheduler
    from launch.cli.status import advise

    store = open_store(args.runs)
    names = store.sweeps() if args.sweep is None else [sweep_name(store, args.sweep)]
    if not names:
        raise LaunchError(f"no sweeps under {store.root}", hint="`launch sweep FILE` starts one")
    title = names[0] if len(names) == 1 else formatting.plural(len(names), "sweep")
    sweeps = [store.sweep(name) for name in names]
    try:
        views = follow(title, sweeps, feeder=_Feeder(store, names) if args.feed else None)
    except KeyboardInterrupt:
        console.note("stopped watching; the runs go on")
        return ExitCode.OK
    damaged = warn_of_damage(sweeps)
    warn_of_silent_scheduler(sweeps)
    counts = formatting.count_states(views)
    console.note(f"{title}: {formatting.state_words(counts)}")
    advise(title if len(names) == 1 else "SWEEP", formatting.count_free(views))
    return ExitCode.USAGE if damaged else exit_code(views)


class _Feeder:
    """Submits, as the queue of a cluster empties, what it had no room for.

    Args:
        store: Where the runs lie.
        names: The sweeps.
    """

    def __init__(self, store: Store, names: Sequence[str]) -> None:
        self._store = store
        self._names = list(names)
        self._next = 0.0
        self._pause_s = _FEED_S

    def feed(self) -> bool:
        """Submit what there is room for, if it is time to; return whether something is left."""
        from launch.actions import drive

        if time.monotonic() < self._next:
            return True
        left = 0
        for name in list(self._names):
            try:
                given = drive.feed(self._store, name)
            except BackendError as error:
                console.warn(error.message)  # it comes back, or Ctrl-C ends this
                left += 1
                continue
            left += given.left if given is not None else 0
            if given is not None and given.submitted:
                console.note(f"{name}: {given.words}")
                self._pause_s = _FEED_S
        self._next = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _MOST_FEED_S)
        return left > 0


def follow(title: str, sweeps: Sequence[SweepStore], *, feeder: _Feeder | None = None) -> Sequence[RunView]:
    """Show runs as they change until nobody works on them any more.

    Args:
        title: What they have in common.
        sweeps: Whose runs.
        feeder: Submits what waits for room; None where nobody here does.

    Returns:
        How they stand at the end.
    """
    with LiveView(title) as board:
        while True:
            left = feeder is not None and feeder.feed()
            going = left or is_going(sweeps)
            views = [view for sweep in sweeps for view in sweep.views()]
            board.show(views)
            if not going and not any(view.state in ALIVE for view in views):
                return views
            time.sleep(_POLL_S)


def is_going(sweeps: Sequence[SweepStore]) -> bool:
    """Say whether a process still feeds one of the sweeps: until it has gone, no other may."""
    return any(sweep.queue() is not None for sweep in sweeps)


def exit_code(views: Sequence[RunView]) -> int:
    """Return what a command that saw runs to their end returns."""
    return ExitCode.OK if all(view.state == State.SUCCEEDED for view in views) else ExitCode.SOME_FAILED
