"""`launch data prepare`: checks the raw files of data sets and converts them, before a run does."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from launch.cli.parser import at_least_one
from launch.errors import LaunchError

if TYPE_CHECKING:
    import argparse

    from launch.cli.parser import Parser

EXAMPLES = """
launch data prepare mnist
launch data prepare listops --from ~/Downloads/lra_release.gz
launch data prepare listops_regenerated
launch data prepare walks --plugins docs/examples/walks --root ~/csv
"""


def configure(parser: Parser) -> None:
    """Add the action's arguments."""
    parser.add_argument("names", metavar="DATASET", nargs="+", help="data sets; `launch doctor` lists them")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--from", dest="archive", metavar="PATH", help="the official archive, or a folder of raw files")
    source.add_argument("--download", action="store_true", help="fetch what is missing; goes on where it stopped")
    parser.add_argument(
        "--workers", metavar="N", type=at_least_one, help="processes that convert (default: one per core)"
    )
    parser.add_argument("--root", metavar="DIR", help="where raw files lie (default: $S5_DATA, else ./data)")
    parser.add_argument(
        "--plugins",
        metavar="PLUGIN",
        action="append",
        default=[],
        help="a folder or entry point with own data; several times for several",
    )
    parser.add_argument("--cache", metavar="DIR", help="where converted files go (default: $S5_CACHE, else XDG's)")


def execute(args: argparse.Namespace) -> int:
    """Run `python -m s5.data.prepare` in another process, since the launcher does not import its packages."""
    from launch.compose.plugin_hint import DATA, with_plugins
    from s5.catalog import DataError, dataset_info
    from s5.config.plugins import load_plugins
    from s5.errors import UserError

    try:
        load_plugins(args.plugins)
    except UserError as error:
        raise LaunchError(error.message, hint=error.hint) from error
    for name in args.names:
        try:
            dataset_info(name)
        except DataError as error:
            raise LaunchError(error.message, hint=with_plugins(error.hint, DATA, name)) from error
    words = [sys.executable, "-m", "s5.data.prepare", *args.names]
    options = {"from": args.archive, "workers": args.workers, "root": args.root, "cache": args.cache}
    for option, value in options.items():
        words += [] if value is None else [f"--{option}", str(value)]
    words += ["--download"] * args.download
    words += [word for place in args.plugins for word in ("--plugins", place)]
    return subprocess.run(words, check=False).returncode
