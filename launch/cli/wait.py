"""`launch wait`: returns when a sweep has ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from launch.cli import console, formatting
from launch.cli.parser import duration
from launch.cli.watch import ALIVE, exit_code, is_going
from launch.errors import ExitCode

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from launch.cli.parser import Parser
    from launch.store.view import RunView

EXAMPLES = """
launch sweep sweeps/mnist5k.yaml --detach && launch wait mnist5k && launch results mnist5k
launch wait mnist5k --timeout 60
"""

_POLL_S = 0.5


def configure(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("sweep", metavar="SWEEP", help="a sweep's name or its file")
    parser.add_argument("--timeout", metavar="MIN", type=duration, help="give up after so many minutes, and return 1")


def execute(args: argparse.Namespace) -> int:
    """Wait until nothing of the sweep is alive: 0 where every run has succeeded, 1 otherwise."""
    from launch.actions.targets import find_sweep, open_store
    from launch.cli.problems import warn_of_damage
    from launch.cli.status import advise

    sweep = find_sweep(open_store(args.runs), args.sweep)
    limit = None if args.timeout is None else time.monotonic() + 60 * args.timeout
    while is_going([sweep]) or any(view.state in ALIVE for view in sweep.views()):
        if limit is not None and time.monotonic() >= limit:
            console.note(f"{sweep.name}: not ended after {args.timeout:g} min: {_words(sweep.views())}")
            return ExitCode.SOME_FAILED
        time.sleep(_POLL_S)
    views = sweep.views()
    damaged = warn_of_damage([sweep])
    console.note(f"{sweep.name}: {_words(views)}")
    advise(sweep.name, formatting.count_free(views))
    return ExitCode.USAGE if damaged else exit_code(views)


def _words(views: Sequence[RunView]) -> str:
    return formatting.state_words(formatting.count_states(views))
