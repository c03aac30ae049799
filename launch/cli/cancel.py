"""`launch cancel`: stops sweeps or runs; they do not resume by themselves."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from launch.cli import console
from launch.errors import ExitCode
from launch.store.state import State

if TYPE_CHECKING:
    import argparse

    from launch.cli.parser import Parser
    from launch.store.view import RunView

EXAMPLES = """
launch cancel mnist5k                         every run of the sweep that has not ended
launch cancel mnist5k/mnist5k-sequential-s2-7c01be94   one run
launch cancel digits-s5-lr=0.1-s0-5d2e9a10 digits-s5-lr=0.1-s1-c4f70b63
"""


_GRACE = "what has not ended after 30 s is killed; under Slurm, after signal_delay_s of its profile"


def configure(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "targets", metavar="SWEEP|RUN", nargs="+", help="sweeps and runs: names, files, ids or beginnings of ids"
    )
    parser.description = (
        "Stop sweeps or runs until a retry. Running ones write a checkpoint and end; waiting ones are not started. "
        "Runs that have ended stay as they are. `launch retry SWEEP` resumes a cancelled run from its checkpoint."
    )


def execute(args: argparse.Namespace) -> int:
    """Cancel the runs, and print each run that changes."""
    from launch.actions.cancel import cancel, refuse_unreached
    from launch.actions.orphans import refuse_stuck
    from launch.cli.location import open_location

    cancelled = cancel(open_location(args), args.targets)
    views = cancelled.views
    words = {f"{view.sweep}/{view.run_id}": _becomes(view) for view in views} | dict.fromkeys(
        cancelled.unreached, "not reached"
    )
    for name, word in words.items():
        console.note(f"{word:<11}  {console.printable(name)}")
    counts = Counter(words.values())
    if "stopping" in counts:
        console.note(_GRACE)
    if views:
        console.note(", ".join(f"{count:,} {word}" for word, count in counts.items()))
    refuse_stuck(cancelled.stuck)
    refuse_unreached(cancelled.unreached)
    if not views:
        console.note("nothing to cancel: everything named has ended or was cancelled before")
    return ExitCode.OK


def _becomes(view: RunView) -> str:
    """Return the word for a run's state after `cancel`: a running run is `stopping`, as it writes a checkpoint."""
    return "stopping" if view.state == State.RUNNING else str(view.state.lower())
