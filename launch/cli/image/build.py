"""`launch image build`: builds an image of docker/images.yaml."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from launch.cli import console
from launch.cli.image.named import add_builder
from launch.errors import ExitCode, LaunchError

if TYPE_CHECKING:
    import argparse

    from launch.cli.parser import Parser

EXAMPLES = """
launch image build cpu
launch image build cuda12 --base registry.example.org/python:3.11
launch image build cuda12 --wheels wheels        # without network
"""


def configure(parser: Parser) -> None:
    """Add the action's arguments."""
    parser.add_argument("name", metavar="IMAGE", help="a name of docker/images.yaml")
    parser.add_argument("--base", metavar="REF", help="the base image, instead of the one in images.yaml")
    parser.add_argument("--wheels", metavar="DIR", help="take packages from here, and nothing from the network")
    parser.add_argument("--no-network", action="store_true", help="reach no network; packages come from --wheels")
    parser.add_argument("--network", metavar="NET", choices=("default", "host"), help="the engine's default, or host")
    parser.add_argument("--pip-conf", metavar="FILE", help="pip's settings for the build (default: this machine's)")
    parser.add_argument("--ca-bundle", metavar="FILE", help="certificates to trust (default: this machine's)")
    parser.add_argument("--no-cache", action="store_true", help="do not use the layers of earlier builds")
    add_builder(parser)


def execute(args: argparse.Namespace) -> int:
    """Build the image, and print its id."""
    from launch.cli.formatting import size
    from launch.containers.images.build import BuildOptions, build
    from launch.containers.images.catalog import REPOSITORY, find_image

    if args.no_network and not args.wheels:
        raise LaunchError(
            "--no-network needs --wheels: packages must come from somewhere",
            hint="docker/README.md says how to fetch them on a machine with a network",
        )
    if args.wheels and args.network:
        raise LaunchError("--wheels and --network exclude each other: nothing comes from the network with --wheels")
    options = BuildOptions(
        base=args.base,
        builder=args.builder,
        network=args.network or "default",
        wheels=_path(args.wheels),
        pip_conf=_path(args.pip_conf),
        ca_bundle=_path(args.ca_bundle),
        cache=not args.no_cache,
    )
    spec = find_image(args.name)
    held = build(spec, options, say=console.note)
    console.note(f"{REPOSITORY}/{spec.name}:{(held.content or '')[:12]}, {size(held.bytes)}")
    console.print_out(held.id)
    console.hint(f"`launch image check {spec.name}` tries it; `launch sweep FILE --runtime {held.engine}` runs in it")
    return ExitCode.OK


def _path(word: str | None) -> Path | None:
    return None if word is None else Path(os.path.expanduser(word)).absolute()
