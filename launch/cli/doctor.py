"""`launch doctor`: checks this machine, or a cluster from its login node."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from launch.cli import console
from launch.errors import ExitCode

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from launch.checks.check import Check
    from launch.cli.parser import Parser

EXAMPLES = """
launch doctor
launch doctor --on mycluster
launch doctor --json | jq '.[] | select(.level != "ok")'
"""


def configure(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--on", metavar="PROFILE", default="local", help="the cluster to check (default: this machine)")
    parser.add_argument("--json", action="store_true", help="a list of objects instead of lines")
    codes = "1 if a check fails, so that runs cannot succeed there; 3 if the cluster does not answer"
    parser.epilog = f"{parser.epilog}\n({codes})"


def execute(args: argparse.Namespace) -> int:
    """Print the result of each check as soon as it ends."""
    from launch.checks.doctor import examine
    from launch.cli.location import open_location
    from launch.profiles.profile import load_profile

    checks = examine(open_location(args).root, load_profile(args.on))
    return show_checks(checks, width=18, as_json=args.json)


def show_checks(checks: Iterable[Check], *, width: int, as_json: bool) -> int:
    """Print the results of checks, each as soon as it ends, or all as JSON, and return the exit code.

    Args:
        checks: The results.
        width: The width of the column with the names.
        as_json: Whether to print one JSON list of objects.
    """
    from dataclasses import asdict

    found: list[Check] = []
    for check in checks:
        found.append(check)
        if as_json:
            continue
        level = console.paint(f"{check.level:<4}", console.STATE_COLOURS[check.level], sys.stdout)
        lines = [f"{level}  {check.name:<{width}}  {console.printable(check.message)}"]
        if check.advice:
            lines.append(f"{'':{width + 8}}→ {console.completed(console.printable(check.advice))}")
        draws = console.draws_on(sys.stdout)
        console.print_out("\n".join(console.wrapped(line, width + 8) if draws else line for line in lines))
    if as_json:
        console.print_out(json.dumps([asdict(check) for check in found], indent=2, ensure_ascii=False))
    if any(check.unreachable for check in found):
        return ExitCode.UNREACHABLE
    return ExitCode.SOME_FAILED if any(check.level == "fail" for check in found) else ExitCode.OK
