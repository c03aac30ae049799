"""`launch image list`: shows for each image of docker/images.yaml whether it is built and up to date."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from launch.cli import console
from launch.cli.formatting import size
from launch.cli.image.named import add_builder
from launch.errors import ExitCode

if TYPE_CHECKING:
    import argparse

    from launch.cli.parser import Parser
    from launch.containers.images.listing import ListedImage

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
    """Print one line per image, or a JSON list."""
    from launch.containers.images.catalog import load_images
    from launch.containers.images.engine_images import engines_here, silent_engines
    from launch.containers.images.listing import list_images

    engines = engines_here(args.builder)
    silent = silent_engines(engines)
    for engine, error in silent.items():
        console.warn(f"{engine} does not answer: {error.message}" + (f"; {error.hint}" if error.hint else ""))
    found = list_images(load_images(), engines, silent=silent)
    if args.json:
        console.print_out(json.dumps([_facts(image) for image in found], indent=2))
        return ExitCode.OK
    header = ["image", "state", "platform", "driver", "size", "content", "id", "digest"]
    console.print_out(
        console.table(header, [_cells(image) for image in found], right=("size", "driver"), elastic="digest")
    )
    if not engines:
        console.hint("neither docker nor podman is on the PATH; images are built on a machine that has one of them")
    elif silent:
        console.hint("`launch doctor` finds out why an engine does not answer")
    return ExitCode.OK


def _facts(image: ListedImage) -> dict[str, object]:
    held = image.held
    spec = {"name": image.spec.name, "state": image.state, "platform": image.spec.platform}
    build = {key: getattr(held, key, None) for key in ("engine", "id", "content", "digest", "bytes")}
    return {**spec, "min_driver": image.spec.min_driver, **build}


def _cells(image: ListedImage) -> list[str]:
    spec, held = image.spec, image.held
    cells = [spec.name, image.state, spec.platform, str(spec.min_driver or "")]
    if held is None:
        return [*cells, "", "", "", ""]
    content, identity = (held.content or "")[:12], held.id.removeprefix("sha256:")[:12]
    return [*cells, size(held.bytes), content, identity, held.digests[0] if held.digests else ""]
