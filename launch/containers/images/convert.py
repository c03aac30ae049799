"""Convert an engine's image to a file or folder, for runtimes without an engine; once for each image.

The result is `runs/.images/<content, id or digest>.sif`, or `.sqsh`, or a folder `.dir`. A file next to it, the note
`….json`, records its origin. The note is written before the image, and every process that uses the image touches it.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

from launch.containers.images.cleanup_on_signal import cleanup_on_signal
from launch.containers.images.converters import Conversion, make_folder, make_sif, make_squashfs
from launch.containers.images.engine_images import EngineImage, engines_here, find_engine_image
from launch.errors import LaunchError
from launch.specs.image import Image
from launch.store import processes
from launch.store.files import fault_point, replace_file, store_error, sync_file, sync_folder
from launch.store.locks import acquire
from s5.run_dir.json_file import parse_json
from s5.run_dir.regular_file import read_regular

IMAGES = ".images"  # the folder next to the sweeps that holds converted images
_KEY_DIGITS = 32
# The space for the result and for temporary files (an archive and its content), as factors of the unpacked size.
_RESULT, _SCRATCH = 1.1, 2.2
_MIB = 1 << 20


class Form(StrEnum):
    """The forms that images are converted to; the value is the suffix of the file or folder."""

    SIF = "sif"  # Apptainer's own
    SQUASHFS = "sqsh"  # a file system in a file: Pyxis
    FOLDER = "dir"  # Charliecloud


# The form that each runtime executes; the other runtimes use the images in an engine.
FORMS = {"apptainer": Form.SIF, "pyxis": Form.SQUASHFS, "charliecloud": Form.FOLDER}
_MAKERS = {Form.SIF: make_sif, Form.SQUASHFS: make_squashfs, Form.FOLDER: make_folder}


@dataclass(frozen=True, kw_only=True)
class ImageOrigin:
    """The origin of a converted image.

    Attributes:
        image: The image.
        recipe: The hash of its Dockerfile and locks; None for an image that is not ours.
    """

    image: Image
    recipe: str | None = None


def place_of(image: Image, form: Form, runs_root: Path) -> Path:
    """Return the path that the converted image has or will have.

    Raises:
        LaunchError: If the image has no hash, id or digest.
    """
    key = image.content or image.id or image.digest  # the digest last: a push adds one, and the path must stay
    if key is None:
        raise LaunchError(f"the image {image.name} has no identity", hint="build it, or name it by its digest")
    return runs_root.absolute() / IMAGES / f"{key.removeprefix('sha256:')[:_KEY_DIGITS]}.{form}"


def read_origin(place: Path) -> ImageOrigin | None:
    """Return the origin of a converted image; None for a file that launch did not convert."""
    try:
        said: dict[str, Any] = parse_json(read_regular(note_of(place)))
        return ImageOrigin(image=Image(**said["image"]), recipe=said["recipe"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def convert(
    image: Image,
    form: Form,
    runs_root: Path,
    *,
    recipe: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Path:
    """Convert an image from an engine or a registry, unless it is converted already; return the result's path.

    Args:
        image: The image: by `id` in an engine of this machine, or by `digest` and `reference` in a registry.
        form: The form to make.
        runs_root: The folder of all run directories; the result is written to its `.images`.
        recipe: The hash of Dockerfile and locks, by which a machine without an engine finds the file.
        say: Called with each line of progress.

    Raises:
        LaunchError: If a program or the image is missing, or the disk is too full. No partial result is left.
    """
    place = place_of(image, form, runs_root)
    if claim_image(place):
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise store_error(error, f"make {place.parent}") from error
    with cleanup_on_signal(), locked(place, say):
        if not claim_image(place):  # another process may have made it meanwhile
            held = find_engine_image(image.id, engines_here()) if image.id else None
            _make(ImageOrigin(image=replace(image, file=str(place)), recipe=recipe), held, form, place, say)
    return place


@contextmanager
def locked(place: Path, say: Callable[[str], None]) -> Generator[None]:
    """Hold the lock on a converted image's path while it is made or removed; wait if another process has the lock.

    The lock works between the processes of one machine. Some shared file systems have no locks between machines.
    There two machines may convert one image at once: each writes a file of its own name, and then moves it to the path.
    """
    path = str(lock_of(place))
    fd = acquire(path)
    if fd is None:
        say("another process is converting this image; waiting for it to finish")
        fd = acquire(path, wait=True)
    try:
        yield
    finally:
        if fd is not None:
            with suppress(FileNotFoundError):
                os.unlink(path)  # before the lock is released, so that a waiting process sees that the file is gone
            os.close(fd)


def claim_image(place: Path) -> bool:
    """Return whether the converted image exists, and touch its note, so that `launch gc` keeps it for a while."""
    try:
        os.utime(note_of(place))
    except FileNotFoundError:
        return False
    except OSError:  # the note belongs to another user, and only that user can remove the image
        return place.exists() and note_of(place).exists()
    return place.exists()


def note_of(place: Path) -> Path:
    """Return the path of the note, which records the origin of a converted image."""
    return place.with_name(f"{place.name}.json")


def lock_of(place: Path) -> Path:
    """Return the lock file of a converted image."""
    return place.with_name(f".{place.name}.lock")


def growing_of(place: Path) -> Path:
    """Return the path at which this machine writes an image before it moves it to `place`."""
    return place.with_name(f".{place.name}.{processes.host()}.tmp")


def _make(origin: ImageOrigin, held: EngineImage | None, form: Form, place: Path, say: Callable[[str], None]) -> None:
    """Write the converted image next to `place`, then move it to `place`; remove all temporary files."""
    image = origin.image
    if held is None and (image.digest is None or "@" not in image.reference):
        raise LaunchError(
            f"no engine here holds the image {image.name} ({image.id})",
            hint=f"build it on a machine with docker or podman: `launch image build {image.name}`; "
            "then push it to a registry, or copy the converted file to this machine",
        )
    growing, scratch = growing_of(place), scratch_of(place)
    # Fixed names, so that the leftovers of a killed process are found. An image without its note is useless.
    for left in (growing, scratch, *([] if note_of(place).exists() else [place])):
        _remove(left)
    _check_room(held, place, scratch)
    started = time.monotonic()
    try:
        scratch.mkdir(mode=0o700, parents=True)
        maker = Conversion(image=image, held=held, scratch=scratch, say=say, heartbeat=lambda: _touch(growing))
        _MAKERS[form](maker, growing)
        fault_point("convert.made")
        replace_file(str(note_of(place)), (json.dumps(asdict(origin), indent=2) + "\n").encode())
        if form is not Form.FOLDER:
            sync_file(str(growing))
        _move(growing, place)
        sync_folder(str(place.parent))
    except OSError as error:
        raise store_error(error, f"convert the image {image.name} to {place}") from error
    finally:
        for left in (growing, scratch):
            _remove(left)
    say(f"{image.name}: {place} is ready after {time.monotonic() - started:.0f} s")


def _touch(path: Path) -> None:
    """Update the time of an unfinished image, since `launch gc` on any machine deletes old unfinished images."""
    with suppress(FileNotFoundError):
        os.utime(path)


def _move(growing: Path, place: Path) -> None:
    """Move a finished image to `place`, unless another machine's copy exists there already."""
    try:
        os.rename(growing, place)
    except OSError:
        if not (place.exists() and growing.is_dir()):  # a file replaces a file, a folder cannot replace a folder
            raise


def scratch_of(place: Path) -> Path:
    """Return the folder for temporary files: in `$APPTAINER_TMPDIR`, else in `$TMPDIR`, else in this machine's /tmp."""
    base = os.environ.get("APPTAINER_TMPDIR") or tempfile.gettempdir()
    return Path(base) / f"launch-{os.getuid()}-image-{sha256(os.fsencode(place)).hexdigest()[:16]}"


def _check_room(held: EngineImage | None, place: Path, scratch: Path) -> None:
    """Raise if a disk has too little free space for the conversion."""
    if held is None:
        return  # the size of a registry's image is unknown
    result, about = int(held.bytes * _RESULT), int(held.bytes * _SCRATCH)
    above = next(parent for parent in scratch.parents if parent.exists())
    needs = {place.parent: result, above: about}
    if os.stat(place.parent).st_dev == os.stat(above).st_dev:
        needs = {place.parent: result + about}
    for folder, need in needs.items():
        free = shutil.disk_usage(folder).free
        if free < need:
            here = folder == place.parent
            other = "(`launch gc`), or name another folder with --runs" if here else "or in another $APPTAINER_TMPDIR"
            raise LaunchError(
                f"{folder}: too little room to convert an image of {held.bytes // _MIB} MiB: "
                f"{need // _MIB} MiB are needed, {free // _MIB} MiB are free",
                hint=f"free some space there {other}",
            )


def _remove(path: Path) -> None:
    """Remove a file or a folder, even if the folder's modes forbid it."""
    if path.is_dir() and not path.is_symlink():
        for folder, _, _ in os.walk(path):
            with suppress(OSError):
                os.chmod(folder, 0o700)
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(FileNotFoundError):
            path.unlink()
