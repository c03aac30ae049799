"""An engine's image as a file or a folder, made once for its identity: what Apptainer, Pyxis and Charliecloud execute."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from launch.errors import LaunchError
from launch.image import Image

IMAGES = ".images"  # the folder beside the sweeps that holds converted images


class Form(StrEnum):
    """What an image is converted to; the value is the ending of its name."""

    SIF = "sif"  # Apptainer's own
    SQUASHFS = "sqsh"  # a file system in a file: Pyxis, and Charliecloud
    FOLDER = "dir"  # Charliecloud


# What each runtime executes; the others ask an engine.
FORMS = {"apptainer": Form.SIF, "pyxis": Form.SQUASHFS, "charliecloud": Form.FOLDER}


def convert(image: Image, form: Form, runs_root: Path, *, say: Callable[[str], None] = lambda _: None) -> Path:
    """Convert an image that an engine or a registry has, unless that was done: once for its identity, whoever asks.

    Args:
        image: The image; `id` (of an engine here) or `digest` with a registry's `reference` says which.
        form: What it becomes.
        runs_root: The folder of all run directories; the result lies in its `.images`.
        say: Told about progress, a line at a time.

    Returns:
        The file or folder.

    Raises:
        LaunchError: Where a program or the image is missing, or there is too little room: nothing half stays behind.
    """
    del image, form, runs_root, say
    raise LaunchError("images cannot be converted yet")
