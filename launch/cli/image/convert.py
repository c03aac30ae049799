"""`launch image convert`: writes an image as the file or folder that a runtime without an engine executes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from launch.cli import console
from launch.errors import ExitCode

if TYPE_CHECKING:
    import argparse

    from launch.cli.parser import Parser

EXAMPLES = """
launch image convert cuda12 --to sif             # for apptainer
launch image convert cuda12 --to sqsh            # for pyxis
launch image convert cpu --to dir --runs /scratch/runs   # for charliecloud
"""


def configure(parser: Parser) -> None:
    """Add the action's arguments."""
    parser.add_argument("image", metavar="IMAGE", help="a name of docker/images.yaml, or REPO@sha256:…")
    parser.add_argument(
        "--to",
        metavar="FORM",
        choices=("sif", "sqsh", "dir"),
        required=True,
        help="sif for apptainer, sqsh for pyxis, dir for charliecloud",
    )


def execute(args: argparse.Namespace) -> int:
    """Convert the image, and print the path of the file or folder."""
    from launch.containers.images.convert import FORMS
    from launch.containers.images.request import ImageRequest
    from launch.containers.images.resolve import resolve_image
    from launch.store.store import Store

    runtime = next(name for name, form in FORMS.items() if form == args.to)
    root = Store(None if args.runs is None else Path(args.runs)).root
    request = ImageRequest(
        word=args.image, runtime=runtime, gpus=False, runs_root=root, convert=True, here=False, say=console.note
    )
    image = resolve_image(request)
    console.print_out(str(image.file))
    return ExitCode.OK
