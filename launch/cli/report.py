"""`launch report`: writes the results of a sweep as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from launch.cli import console
from launch.errors import ExitCode, LaunchError

if TYPE_CHECKING:
    import argparse

    from launch.cli.parser import Parser

EXAMPLES = """
launch report mnist5k                         writes mnist5k.html
launch report mnist5k --output - > page.html
"""


def configure(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("sweep", metavar="SWEEP", help="a sweep's name or its file")
    parser.add_argument("--metric", help="another metric than the sweep's own, such as val/accuracy")
    parser.add_argument("--all", action="store_true", help="show runs of earlier configurations too")
    parser.add_argument("--output", metavar="PATH", help="the file to write (default: SWEEP.html); - for stdout")


def execute(args: argparse.Namespace) -> int:
    """Write the page."""
    from launch.actions.targets import find_sweep
    from launch.cli.location import open_location
    from launch.cli.problems import warn_of_damage, warn_of_unreadable
    from launch.results.gather import gather
    from launch.results.report import make_page

    state = find_sweep(open_location(args), args.sweep).state()
    results = gather(state, args.metric, superseded=args.all)
    warn_of_damage([state])
    warn_of_unreadable(results)
    page = make_page(state.name, results.rows, results.views, results.notes)
    code = ExitCode.SOME_FAILED if results.unreadable else ExitCode.OK
    if args.output == "-":
        console.print_out(page)
        return code
    write_file(args.output or f"{state.name}.html", page.encode(errors="replace"))
    return code


def write_file(path: str, content: bytes) -> None:
    """Write the file of `--output`, and print where it is to stderr.

    Raises:
        LaunchError: If the file cannot be written.
    """
    file = Path(path).absolute()
    try:
        file.write_bytes(content)
    except OSError as error:
        raise LaunchError(f"{path}: {error.strerror}", hint="choose another --output") from error
    console.note(f"wrote {file}")
