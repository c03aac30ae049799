"""`launch logs`: prints the log of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from launch.cli import console
from launch.cli.parser import whole
from launch.errors import ExitCode

if TYPE_CHECKING:
    import argparse

    from launch.cli.parser import Parser

EXAMPLES = """
launch logs digits-s5-lr=0.001-s0             the beginning of an id, if no other run begins so
launch logs mnist5k/mnist5k-sequential-s2-7c01be94 -f  until the run ends
launch logs digits-s5-lr=0.001-s0-1a2b3c4d --attempt 0 --tail 20
"""


def configure(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("run", metavar="RUN", help="a run id, the beginning of one, SWEEP/RUN, or a SWEEP of one run")
    parser.add_argument("-f", "--follow", action="store_true", help="go on printing until the run ends")
    parser.add_argument(
        "--attempt", metavar="K", type=whole, help="the attempt in attempts/K, from 0; default: the last"
    )
    parser.add_argument("--tail", metavar="N", type=whole, help="only the last N lines")


def execute(args: argparse.Namespace) -> int:
    """Print the log."""
    from launch.actions.logs import follow_log, read_log, silent_end
    from launch.actions.targets import find_run
    from launch.cli.location import open_location

    store = open_location(args)
    name, run_id = find_run(store, args.run)
    sweep = store.sweep(name)
    if args.follow:
        for piece in follow_log(sweep, run_id, attempt=args.attempt, tail=args.tail, say=console.note):
            console.raw(piece)
        return ExitCode.OK
    attempt, pieces = read_log(sweep, run_id, attempt=args.attempt, tail=args.tail)
    for piece in pieces:
        console.raw(piece)
    if (words := silent_end(sweep, run_id, attempt)) is not None:
        console.note(words)
    return ExitCode.OK
