"""An image that a person names by its file or folder: what it is, and whether a runtime can execute it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from launch.containers.images.checksum import file_checksum
from launch.containers.images.convert import IMAGES, Form, read_origin
from launch.containers.images.request import ImageRequest
from launch.errors import LaunchError
from launch.specs.image import Image
from launch.yaml_file import printable

# What files begin with, and where: squashfs; SIF after its line for the shell; ext3, which Apptainer also executes.
_SQUASHFS_MAGIC = b"hsqs"
_SIF_MAGICS = ((32, b"SIF_MAGIC"), (1080, b"\x53\xef"))
_HEAD_BYTES = 1082


def image_from_file(path: str, wanted: str | None, wish: ImageRequest) -> Image:
    """Return the image of a file or a folder that a person names.

    Args:
        path: The file or folder.
        wanted: What the file must be, as `sha256:…`; None for any.
        wish: What else is wanted of it.

    Raises:
        LaunchError: If it is none that the runtime executes, or another file than was meant.
    """
    file = Path(os.path.expanduser(path)).absolute()
    shown = printable(str(file))
    if wish.form is None:
        raise LaunchError(
            f"{shown}: {wish.runtime} executes images of its engine, not files",
            hint="name one of docker/images.yaml, or take the runtime apptainer, charliecloud or pyxis",
        )
    if not os.path.exists(file):  # Path.exists raises where one may not look
        raise LaunchError(f"{shown}: there is no such image", hint="`launch image convert` makes one")
    _check_form(file, wish.form, shown)
    if wish.gpus and wish.here and wish.runtime == "charliecloud" and not _has_driver(file):
        raise LaunchError(
            f"{shown}: runs ask for GPUs, and this image holds no libraries of the NVIDIA driver",
            hint=f"ch-run brings none: `ch-fromhost --nvidia {shown}` copies this machine's, or take another runtime",
        )
    origin = read_origin(file)
    if file.is_dir():
        if wanted is not None:
            raise LaunchError(f"{shown}: a folder has no digest", hint="name it without @sha256:…")
        return replace(origin.image, file=str(file)) if origin else Image(name=shown, reference=shown, file=str(file))
    total = file_checksum(file, wish.runs_root / IMAGES)
    if wanted not in (None, total):
        raise LaunchError(
            f"{shown}: its SHA-256 is {total}, not {wanted}", hint="it is another file than the one that was meant"
        )
    if origin is not None:
        return replace(origin.image, file=str(file))
    return Image(name=shown, reference=shown, id=total, file=str(file))


def _check_form(file: Path, form: Form, shown: str) -> None:
    """Raise where a runtime cannot execute a file or folder."""
    folder = file.is_dir()
    if form is Form.FOLDER and not folder:
        raise LaunchError(
            f"{shown}: charliecloud executes folders here; from a file, signals and exit codes would not pass",
            hint=f"`unsquashfs -d FOLDER {shown}` unpacks one",
        )
    if form is Form.SQUASHFS and folder:
        raise LaunchError(f"{shown}: pyxis executes .sqsh files, not folders", hint="`mksquashfs` makes one of it")
    if folder:
        _check_folder(file, shown)
    elif not _begins_as(file, form, shown):
        kind = (
            "neither a .sif file nor a squashfs or ext3 file system" if form is Form.SIF else "no squashfs file system"
        )
        raise LaunchError(
            f"{shown}: this is no image: {kind}",
            hint="is it whole? `sha256sum` says; `launch image convert` makes one",
        )


def _check_folder(folder: Path, shown: str) -> None:
    """Raise where a folder cannot be an unpacked image."""
    if folder.resolve() == Path("/"):
        raise LaunchError(f"{shown}: this is the machine itself, no image", hint="--runtime bare executes without one")
    if not (folder / "usr").exists() and not ((folder / "bin").exists() and (folder / "etc").exists()):
        raise LaunchError(
            f"{shown}: a folder without usr, or bin and etc, is no image", hint="it must be an unpacked image"
        )


def _begins_as(file: Path, form: Form, shown: str) -> bool:
    """Return whether a file begins as those do that a runtime executes; a name says nothing."""
    if not file.is_file():
        return False  # a device would be read for ever
    try:
        with file.open("rb") as opened:
            head = opened.read(_HEAD_BYTES)
    except OSError as error:
        raise LaunchError(f"{shown}: cannot be read: {error.strerror}", hint="may you read it? `ls -l` says") from error
    squashfs = head.startswith(_SQUASHFS_MAGIC)
    return squashfs or (form is Form.SIF and any(head[at:].startswith(magic) for at, magic in _SIF_MAGICS))


def _has_driver(folder: Path) -> bool:
    places = ("usr/lib*/libcuda.so*", "usr/lib*/*/libcuda.so*", "usr/local/lib/libcuda.so*")
    return any(True for place in places for _ in folder.glob(place))
