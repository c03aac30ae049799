"""`launch rm`: deletes sweeps or runs, with their results."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from launch.cli import console, formatting
from launch.errors import ExitCode, LaunchError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from launch.actions.remove import Removal
    from launch.cli.parser import Parser

EXAMPLES = """
launch rm run-digits-s5-seed-3 --dry-run      show what would go, and how much it is
launch rm mnist5k/mnist5k-sequential-s2-7c01be94   one run
launch rm runs/run-digits-*                   folders of sweeps
"""


def configure(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "targets",
        metavar="SWEEP|RUN",
        nargs="+",
        help="sweeps and runs: names, files, folders, ids or beginnings of ids",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask first")
    parser.add_argument("--dry-run", action="store_true", help="only show what would be deleted")
    parser.description = (
        "Delete sweeps or runs with their results, checkpoints and logs. What runs or waits in a queue is refused: "
        "`launch cancel RUN` stops it. So is a run that another one, which has not succeeded, comes after. "
        "Copies of code that no run refers to any more go with `launch gc`, which also finishes a deletion that was "
        "interrupted."
    )


def execute(args: argparse.Namespace) -> int:
    """Show what would be deleted, ask, and delete it."""
    from launch.actions.remove import plan_removal, remove_all
    from launch.cli.location import open_location

    removals = plan_removal(open_location(args), args.targets)
    rows = [[*_name(removal), formatting.size(removal.size)] for removal in removals]
    console.print_out(console.table(["sweep", "deletes", "size"], rows, right=["size"], elastic="sweep"))
    total = formatting.size(sum(removal.size for removal in removals))
    if args.dry_run:
        console.note(f"{_count(removals)}: {total} can go")
        return ExitCode.OK
    if not args.yes and not _confirmed(removals):
        console.note("nothing was deleted")
        return ExitCode.OK
    freed = remove_all(removals)
    console.note(f"{_count(removals)}: {formatting.size(freed)} freed")
    return ExitCode.OK


def _confirmed(removals: Sequence[Removal]) -> bool:
    if not sys.stdin.isatty():
        raise LaunchError(
            "rm asks at a terminal only, and nothing was deleted", hint="add --yes to delete without a question"
        )
    return console.ask(f"delete {_count(removals)} for good? [y/N] ").strip().lower() in ("y", "yes")


def _name(removal: Removal) -> tuple[str, str]:
    count = formatting.plural(len(removal.chosen), "run")
    if removal.run_ids is None:
        return removal.state.name, f"the sweep, {count}"
    return removal.state.name, removal.run_ids[0] if len(removal.run_ids) == 1 else count


def _count(removals: Sequence[Removal]) -> str:
    sweeps = sum(removal.run_ids is None for removal in removals)
    runs = formatting.plural(sum(len(removal.chosen) for removal in removals), "run")
    return f"{formatting.plural(sweeps, 'sweep')} with {runs}" if sweeps else runs
