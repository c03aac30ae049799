"""Images that a user names by a file or folder: check that the runtime can execute them, and their checksum."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from launch.containers.images.checksum import file_checksum
from launch.containers.images.convert import FORMS, IMAGES, Form, read_origin
from launch.containers.images.request import ImageRequest
from launch.errors import LaunchError, printable
from launch.specs.image import Image

# The bytes that mark an image file: squashfs at the start; SIF at byte 32; ext3, for Apptainer too, at byte 1080.
_SQUASHFS_MAGIC = b"hsqs"
_SIF_MAGICS = ((32, b"SIF_MAGIC"), (1080, b"\x53\xef"))
_HEAD_BYTES = 1082
_DRIVER = ("usr/lib*/libcuda.so*", "usr/lib*/*/libcuda.so*", "usr/local/lib/libcuda.so*")


def image_from_file(path: str, wanted: str | None, request: ImageRequest) -> Image:
    """Return the image for a file or folder; a file must have the checksum `wanted` (`sha256:…`) if that is given.

    Raises:
        LaunchError: If the runtime cannot execute the image, or the checksum differs.
    """
    file = Path(os.path.expanduser(path)).absolute()
    shown = printable(str(file))
    if request.form is None:
        raise LaunchError(
            f"{shown}: {request.runtime} executes images in its engine, not image files",
            hint=f"name one of docker/images.yaml, or choose another runtime: {', '.join(FORMS)}",
        )
    if not os.path.exists(file):  # Path.exists raises in a folder that may not be searched
        hint = f"`launch image convert IMAGE --to {request.form}` makes one"
        raise LaunchError(f"{shown}: there is no such image", hint=hint)
    _check_form(file, request.form, shown)
    has_driver = request.runtime != "charliecloud" or any(True for place in _DRIVER for _ in file.glob(place))
    if request.gpus and request.here and not has_driver:
        raise LaunchError(
            f"{shown}: runs ask for GPUs, and this image holds no libraries of the NVIDIA driver",
            hint=f"`ch-fromhost --nvidia {shown}` copies this machine's, or use another runtime",
        )
    origin = read_origin(file)
    identity = None
    if not file.is_dir():
        identity = file_checksum(file, request.runs_root / IMAGES)
        if wanted not in (None, identity):
            raise LaunchError(f"{shown}: its SHA-256 is {identity}, not {wanted}", hint="it is not the file you meant")
    elif wanted is not None:
        raise LaunchError(f"{shown}: a folder has no digest", hint="name it without @sha256:…")
    if origin is not None:
        return replace(origin.image, file=str(file))
    return Image(name=shown, reference=shown, id=identity, file=str(file))


def _check_form(file: Path, form: Form, shown: str) -> None:
    """Raise if a file or folder is not an image of the form that the runtime executes."""
    folder = file.is_dir()
    if form is Form.FOLDER and not folder:
        raise LaunchError(
            f"{shown}: charliecloud executes folders here; from a file, signals and exit codes would get lost",
            hint=f"`unsquashfs -d FOLDER {shown}` unpacks one",
        )
    if form is Form.SQUASHFS and folder:
        raise LaunchError(f"{shown}: pyxis executes .sqsh files, not folders", hint="`mksquashfs FOLDER FILE.sqsh`")
    if folder and file.resolve() == Path("/"):
        raise LaunchError(
            f"{shown}: this is the machine itself, not an image", hint="--runtime bare executes without one"
        )
    if folder and not (file / "usr").exists() and not ((file / "bin").exists() and (file / "etc").exists()):
        raise LaunchError(
            f"{shown}: a folder without usr, or bin and etc, is not an image", hint="it must be an unpacked image"
        )
    if not folder and not _begins_as(file, form, shown):
        kind = "neither a .sif file nor a squashfs or ext3 file system"
        raise LaunchError(
            f"{shown}: this is not an image: {kind if form is Form.SIF else 'it has no squashfs file system'}",
            hint=f"is it complete? `sha256sum` tells; `launch image convert IMAGE --to {form}` makes one",
        )


def _begins_as(file: Path, form: Form, shown: str) -> bool:
    """Return whether the first bytes of a file fit the form; the file's name may be wrong."""
    if not file.is_file():
        return False  # reading a device might never end
    try:
        with file.open("rb") as opened:
            head = opened.read(_HEAD_BYTES)
    except OSError as error:
        raise LaunchError(f"{shown}: cannot be read: {error.strerror}", hint="`ls -l` shows who may read it") from error
    squashfs = head.startswith(_SQUASHFS_MAGIC)
    return squashfs or (form is Form.SIF and any(head[at:].startswith(magic) for at, magic in _SIF_MAGICS))
