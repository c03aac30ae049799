"""`launch image push`: uploads an image to a registry, and prints the digest for `launch image pull`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from launch.cli import console
from launch.cli.image.named import add_builder, engine_image
from launch.errors import ExitCode

if TYPE_CHECKING:
    import argparse

    from launch.cli.parser import Parser

EXAMPLES = """
launch image push cuda12 registry.example.org/group/s5
"""


def configure(parser: Parser) -> None:
    """Add the action's arguments."""
    parser.add_argument("image", metavar="IMAGE", help="a name of docker/images.yaml, or a name or id in an engine")
    parser.add_argument("repository", metavar="REPO", help="where to: registry.example.org/group/s5")
    add_builder(parser)


def execute(args: argparse.Namespace) -> int:
    """Push the image, and print its name in the registry."""
    from launch.containers.images.registry import push

    name = push(engine_image(args.image, args.builder), args.repository)
    console.print_out(name)
    console.hint(f"`launch sweep FILE --image {name}` runs in exactly this one")
    return ExitCode.OK
