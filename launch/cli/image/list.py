"""`launch image list`: says where each image of docker/images.yaml stands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from launch.cli import console
from launch.cli.image.named import add_builder
from launch.errors import ExitCode

if TYPE_CHECKING:
    import argparse

    from launch.cli.parser import Parser

EXAMPLES = """
launch image list
launch image list --builder podman
launch image list --json | jq '.[].state'
"""


def configure(parser: Parser) -> None:
    """Add the action's arguments."""
    parser.add_argument("--json", action="store_true", help="one array of objects")
    add_builder(parser)


def execute(args: argparse.Namespace) -> int:
    """Print a line for each."""
    from launch.cli.formatting import size
    from launch.containers.images.catalog import load_images
    from launch.containers.images.engine_images import engines_here, silent_engines
    from launch.containers.images.listing import list_images

    engines = engines_here(args.builder)
    silent = silent_engines(engines)
    for engine, error in silent.items():
        console.warn(f"{engine} does not answer: {error.message}" + (f"; {error.hint}" if error.hint else ""))
    found = list_images(load_images(), engines, silent=silent)
    if args.json:
        facts = [
            {
                "name": each.spec.name,
                "state": each.state,
                "platform": each.spec.platform,
                "min_driver": each.spec.min_driver,
                "engine": each.held and each.held.engine,
                "id": each.held and each.held.id,
                "content": each.held and each.held.content,
                "digest": each.held and each.held.digest,
                "bytes": each.held and each.held.bytes,
            }
            for each in found
        ]
        console.data(json.dumps(facts, indent=2))
        return ExitCode.OK
    rows = [
        [
            each.spec.name,
            each.state,
            each.spec.platform,
            str(each.spec.min_driver or ""),
            size(each.held.bytes) if each.held else "",
            (each.held.content or "")[:12] if each.held else "",
            each.held.id.removeprefix("sha256:")[:12] if each.held else "",
            each.held.digests[0] if each.held and each.held.digests else "",
        ]
        for each in found
    ]
    header = ["image", "state", "platform", "driver", "size", "content", "id", "digest"]
    console.data(console.table(header, rows, right=("size", "driver"), elastic="digest"))
    if not engines:
        console.hint("neither docker nor podman is on the PATH; images are built where one of them is")
    elif silent:
        console.hint("`launch doctor` looks why an engine does not answer")
    return ExitCode.OK
