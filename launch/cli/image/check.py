"""`launch image check`: executes an image, and prints the results of the checks in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from launch.cli.doctor import show_checks
from launch.cli.image.named import add_builder, engine_image

if TYPE_CHECKING:
    import argparse

    from launch.cli.parser import Parser

EXAMPLES = """
launch image check cpu
launch image check cuda12 --builder podman --json
"""


def configure(parser: Parser) -> None:
    """Add the action's arguments."""
    parser.add_argument("image", metavar="IMAGE", help="a name of docker/images.yaml, or a name or id in an engine")
    parser.add_argument("--json", action="store_true", help="one array of objects")
    add_builder(parser)
    parser.epilog = f"{parser.epilog}\n(1 if a check fails)"


def execute(args: argparse.Namespace) -> int:
    """Execute the image, and print the results of the checks."""
    from launch.checks.image import check_image

    return show_checks(check_image(engine_image(args.image, args.builder)), width=10, as_json=args.json)
