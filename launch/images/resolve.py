"""From the word that names an image to the image itself, proved to be there before anything is submitted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from launch.errors import LaunchError
from launch.image import Image


def resolve_image(
    word: str | None,
    runtime: str,
    *,
    gpus: bool,
    runs_root: Path,
    convert: bool,
    here: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> Image:
    """Return the image that runs are to execute in.

    Args:
        word: A name of docker/images.yaml, a registry's REPO@sha256:…, a file or folder; None for the default: `cuda12`
            where the runs ask for GPUs, else `cpu`.
        runtime: Who is to execute it.
        gpus: Whether the runs ask for GPUs.
        runs_root: The folder of all run directories; converted images lie in its `.images`.
        convert: Whether to convert one that is not converted yet; else its file is named without being there.
        here: Whether runs execute on this machine, so that the runtime must be here too.
        say: Told about the progress of a conversion, a line at a time.

    Raises:
        LaunchError: Where there is no such image, it is not built, it is another than its digest says, the runtime's
            program is missing, or it does not compute on what the runs ask for.
    """
    del word, gpus, runs_root, convert, here, say
    raise LaunchError(f"images of {runtime} cannot be found yet")
