"""`launch watch`: shows a sweep while it runs; without `--feed` it changes no run."""

from __future__ import annotations

from _thread import interrupt_main
from typing import TYPE_CHECKING

from launch.cli import console, formatting
from launch.cli.keys import on_key
from launch.cli.live_view import LiveView
from launch.errors import ExitCode, LaunchError
from launch.store.state import State

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from launch.cli.parser import Parser
    from launch.store.sweep_state import SweepState
    from launch.store.view import RunView

EXAMPLES = """
launch watch                                  everything that runs here
launch watch mnist5k
launch watch mnist5k pixel                    two sweeps
launch watch mnist5k 2>&1 | tee progress.txt  in a pipe: one line per change
"""


def configure(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("sweeps", metavar="SWEEP", nargs="*", help="names of sweeps or their files; default: all")
    parser.add_argument("--feed", action="store_true", help="submit what a cluster's queue had no room for before")


def execute(args: argparse.Namespace) -> int:
    """Show the sweeps until no process works on them. Ctrl-C ends only the display."""
    from launch.actions.targets import sweep_name
    from launch.actions.wait import Feeder, wait_for_end
    from launch.cli.location import open_location
    from launch.cli.problems import warn_of_damage, warn_of_silent_scheduler
    from launch.cli.status import advise

    store = open_location(args)
    named = [sweep_name(store, word) for word in args.sweeps] or store.sweeps()
    names = list(dict.fromkeys(named))
    if not names:
        raise LaunchError(f"no sweeps under {store.root}", hint="`launch sweep FILE` starts one")
    title = names[0] if len(names) == 1 else formatting.plural(len(names), "sweep")
    states = [store.sweep(name).state() for name in names]
    feeder = Feeder(states, say=console.note, warn=console.warn) if args.feed else None
    try:
        # As Ctrl-C does.
        with LiveView(title, keys="q: stop watching; the runs go on") as live, on_key("q", interrupt_main):
            states, _ = wait_for_end(states, poll_s=1.0, on_change=live.show, feeder=feeder)
    except KeyboardInterrupt:
        console.note("stopped watching; the runs go on")
        return ExitCode.OK
    damaged = warn_of_damage(states)
    warn_of_silent_scheduler(states)
    views = [view for state in states for view in awaited_views(state)]
    console.note(f"{title}: {formatting.state_words(formatting.count_states(views))}")
    for state in states:
        note_left_out(state)
    if len(states) == 1:
        advise(title, states[0].views(), manifest=states[0].manifest)
    else:
        advise("SWEEP", views)
    return ExitCode.USAGE if damaged else exit_code(views)


def awaited_views(state: SweepState) -> list[RunView]:
    """Return the runs of a sweep that the newest submission lists, or that were retried since."""
    return [view for view in state.views() if not state.manifest.is_left_out(view.run_id)]


def note_left_out(state: SweepState) -> None:
    """Tell of the runs of earlier submissions that have not succeeded, and do not count."""
    earlier = [view for view in state.views() if state.manifest.is_left_out(view.run_id)]
    left = [view for view in earlier if view.state is not State.SUCCEEDED]
    if left:
        words = formatting.state_words(formatting.count_states(left))
        console.note(f"{state.name}: runs of earlier submissions do not count: {words}")


def exit_code(views: Sequence[RunView]) -> int:
    """Return the exit code of a command that waited for runs to end."""
    return ExitCode.OK if all(view.state == State.SUCCEEDED for view in views) else ExitCode.SOME_FAILED
