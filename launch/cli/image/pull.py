"""`launch image pull`: downloads an image from a registry by its digest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from launch.cli import console
from launch.cli.image.named import add_builder
from launch.errors import ExitCode

if TYPE_CHECKING:
    import argparse

    from launch.cli.parser import Parser

EXAMPLES = """
launch image pull registry.example.org/group/s5@sha256:…
"""


def configure(parser: Parser) -> None:
    """Add the action's arguments."""
    parser.add_argument("digest", metavar="REPO@sha256:…", help="as `launch image push IMAGE REPO` prints it")
    add_builder(parser)


def execute(args: argparse.Namespace) -> int:
    """Pull the image, and print its id in the engine."""
    from launch.containers.images.builder import find_engine
    from launch.containers.images.registry import pull

    console.print_out(pull(args.digest, find_engine(args.builder)).id)
    return ExitCode.OK
