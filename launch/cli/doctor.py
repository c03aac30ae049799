"""`launch doctor`: checks this machine, or a cluster from its login node."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from launch.cli import console
from launch.errors import ExitCode

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

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
    codes = "1 if a check fails: runs cannot succeed there as it is; 3 if the cluster does not answer"
    parser.epilog = f"{parser.epilog}\n({codes})"


def execute(args: argparse.Namespace) -> int:
    """Print one line per check, as each ends."""
    from dataclasses import asdict

    from launch.checks.doctor import examine
    from launch.profiles.profile import load_profile

    profile = load_profile(args.on)
    runs = args.runs or profile.runs_dir
    checks = examine(None if runs is None else Path(runs), profile)
    if args.json:
        found = list(checks)
        console.data(json.dumps([asdict(check) for check in found], indent=2, ensure_ascii=False))
        return exit_code(found)
    found: list[Check] = []
    for check in checks:
        found.append(check)
        level = console.paint(f"{check.level:<4}", console.STATE_COLOURS[check.level], sys.stdout)
        console.data(f"{level}  {check.name:<18}  {console.printable(check.message)}")
        if check.advice:
            console.data(f"{'':26}→ {console.printable(check.advice)}")
    return exit_code(found)


def exit_code(found: Sequence[Check]) -> int:
    """Return the exit code for the checks."""
    if any(check.unreachable for check in found):
        return ExitCode.UNREACHABLE
    return ExitCode.SOME_FAILED if any(check.level == "fail" for check in found) else ExitCode.OK
