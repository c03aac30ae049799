"""`launch image check`: executes an image and prints what is found in it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from launch.cli import console
from launch.cli.image.named import add_builder, engine_image
from launch.errors import ExitCode

if TYPE_CHECKING:
    import argparse

    from launch.cli.parser import Parser

EXAMPLES = """
launch image check cpu
launch image check cuda12 --builder podman --json
"""


def configure(parser: Parser) -> None:
    """Add the action's arguments."""
    parser.add_argument("image", metavar="IMAGE", help="a name of docker/images.yaml, or what an engine here holds")
    parser.add_argument("--json", action="store_true", help="one array of objects")
    add_builder(parser)
    parser.epilog = f"{parser.epilog}\n(1 if a check fails)"


def execute(args: argparse.Namespace) -> int:
    """Look into it."""
    from dataclasses import asdict

    from launch.checks.check import Level
    from launch.checks.image import check_image

    checks = list(check_image(engine_image(args.image, args.builder)))
    failed = any(check.level is Level.FAIL for check in checks)
    if args.json:
        console.data(json.dumps([asdict(check) for check in checks], indent=2, ensure_ascii=False))
        return ExitCode.SOME_FAILED if failed else ExitCode.OK
    for check in checks:
        level = console.paint(f"{check.level:<4}", console.STATE_COLOURS[check.level], sys.stdout)
        console.data(f"{level}  {check.name:<10}  {console.printable(check.message)}")
        if check.advice:
            console.data(f"{'':18}→ {console.printable(check.advice)}")
    return ExitCode.SOME_FAILED if failed else ExitCode.OK
