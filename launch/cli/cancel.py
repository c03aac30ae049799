"""`launch cancel`: stops sweeps or runs for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from launch.cli import console, quantities
from launch.errors import ExitCode

if TYPE_CHECKING:
    import argparse

    from launch.cli.parser import Parser

EXAMPLES = """
launch cancel mnist5k                         every run of the sweep that has not ended
launch cancel mnist5k/s5-sequential-s2        one run
launch cancel s5-digits-lr=0.1-s0 s5-digits-lr=0.1-s1
"""


def configure(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "targets", metavar="SWEEP|RUN", nargs="+", help="sweeps and runs: names, files, ids or beginnings of ids"
    )
    parser.description = (
        "Stop sweeps or runs for good. What runs writes a checkpoint and ends; what waits is not started. "
        "What has ended stays as it is. `launch retry` takes a cancelled run up again, from its checkpoint."
    )


def execute(args: argparse.Namespace) -> int:
    """Cancel, and show what that changed."""
    from launch import submit
    from launch.cli.targets import find_target, open_store

    store = open_store(args.runs)
    targets = [find_target(store, word) for word in args.targets]
    views = submit.cancel(store, targets)
    if not views:
        console.note("nothing to cancel: everything named has ended")
        return ExitCode.OK
    for view in views:
        console.note(f"{view.state:<9}  {view.sweep}/{console.printable(view.run_id)}")
    console.note(quantities.state_words(quantities.count_states(views)))
    return ExitCode.OK
