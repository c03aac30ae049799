"""`launch wait`: returns when a sweep has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from launch.cli import console, formatting
from launch.cli.idle_notice import IdleNotice
from launch.cli.parser import duration
from launch.cli.watch import awaited_views, exit_code, note_left_out
from launch.errors import ExitCode
from launch.store.state import State

if TYPE_CHECKING:
    import argparse

    from launch.cli.parser import Parser

EXAMPLES = """
launch sweep sweeps/mnist5k.yaml --detach && launch wait mnist5k && launch results mnist5k
launch wait mnist5k --timeout 60
"""


def configure(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("sweep", metavar="SWEEP", help="a sweep's name or its file")
    parser.add_argument("--timeout", metavar="MIN", type=duration, help="give up after MIN minutes, and return 1")


def execute(args: argparse.Namespace) -> int:
    """Wait until no process works on the sweep; return 0 if what was submitted last has succeeded, 1 otherwise."""
    from launch.actions.targets import find_sweep
    from launch.actions.wait import wait_for_end
    from launch.cli.location import open_location
    from launch.cli.problems import warn_of_damage
    from launch.cli.status import advise

    sweep = find_sweep(open_location(args), args.sweep)
    limit_s = None if args.timeout is None else 60 * args.timeout
    (state,), ended = wait_for_end([sweep.state()], timeout_s=limit_s, on_change=IdleNotice().show)
    views = awaited_views(state)
    words = formatting.state_words(formatting.count_states(views))
    if not ended:
        console.note(f"{sweep.name}: not ended after {args.timeout:g} min: {words}")
        return ExitCode.SOME_FAILED
    damaged = warn_of_damage([state])
    console.note(f"{sweep.name}: {words}")
    note_left_out(state)
    if views and all(view.state == State.SUCCEEDED for view in views):
        console.hint(f"`launch results {sweep.name}` shows the results")
    advise(sweep.name, state.views(), manifest=state.manifest)
    return ExitCode.USAGE if damaged else exit_code(views)
