"""`launch run`: runs one experiment, as a sweep with one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from launch.cli.sweep import add_submission_arguments, check_overrides
from launch.errors import LaunchError

if TYPE_CHECKING:
    import argparse

    from launch.cli.parser import Parser

EXAMPLES = """
launch run digits/s5
launch run digits/s5 optim.lr=0.002 seed=3 --detach
launch run digits/s5 train.epochs=1 --dry-run
launch run pipeline=mnist model=s4 model.n_layers=3
"""


def configure(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "experiment", metavar="EXPERIMENT", help="a training recipe, such as digits/s5, or pipeline=NAME"
    )
    add_submission_arguments(parser)


def execute(args: argparse.Namespace) -> int:
    """Make a sweep with one run, and submit it."""
    from launch.cli.start import command_again, plan_and_start
    from launch.sweepfile.sweep import single_run

    check_overrides(args.overrides)
    if args.experiment.endswith((".yaml", ".yml")):
        raise LaunchError(
            f"{args.experiment} is a sweep file, not an experiment, such as digits/s5",
            hint=f"`{command_again(args, 'sweep')}` runs it",
        )
    return plan_and_start(single_run(args.experiment, args.overrides), args, only=None)
