"""From the word that names an image to the image itself, proved to be there before anything is submitted."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from launch.containers.images.catalog import ImageSpec, find_image, load_images, recipe_hash, tag
from launch.containers.images.convert import IMAGES, claim_image, place_of, read_origin
from launch.containers.images.convert import convert as make
from launch.containers.images.engine_images import (
    EngineImage,
    engines_here,
    find_engine_image,
    is_id,
    list_labelled,
)
from launch.containers.images.file_image import image_from_file
from launch.containers.images.request import ImageRequest
from launch.errors import BackendError, LaunchError
from launch.specs.choices import ENGINES
from launch.specs.image import Image
from launch.yaml_file import printable

# The program that must be on the PATH where a runtime executes; of Pyxis nothing is, but Slurm knows its options.
_PROGRAMS = {"apptainer": "apptainer", "charliecloud": "ch-run", "pyxis": "srun"}
_FILES = (".sif", ".sqsh", ".sqfs", ".squashfs", ".img")
_DIGEST = re.compile(r"(?P<repository>[^@\s]+)@(?P<digest>sha256:[0-9a-f]{64})")
_SUM = re.compile(r"[0-9a-f]{64}")


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
        word: A name of docker/images.yaml, a registry's REPO@sha256:…, a name or id that an engine here knows, a file
            or folder, also with @sha256:… and the SHA-256 of the file; None for the default: `cuda12` where the runs
            ask for GPUs, else `cpu`.
        runtime: Who is to execute it.
        gpus: Whether the runs ask for GPUs.
        runs_root: The folder of all run directories; converted images lie in its `.images`.
        convert: Whether to convert one that is not converted yet; else its file is named without being there.
        here: Whether runs execute on this machine, so that the runtime must be here too.
        say: Told about the progress of a conversion, a line at a time.

    Raises:
        LaunchError: If there is no such image, it is not built, it is another than its digest says, the runtime's
            program is missing, or it does not compute on what the runs ask for.
    """
    if word is not None and not word.strip():
        raise LaunchError(
            "the name of the image is empty",
            hint=f"one of {', '.join(load_images())}; without image: the one that fits",
        )
    wish = ImageRequest(
        word=word or ("cuda12" if gpus else "cpu"),
        runtime=runtime,
        gpus=gpus,
        runs_root=runs_root,
        convert=convert,
        here=here,
        say=say,
    )
    _check_word(wish.word)
    _check_runtime(wish)
    image = _find(wish)
    _check_platform(image, wish)
    return image


def _check_runtime(wish: ImageRequest) -> None:
    """Raise where the runtime cannot execute anything here."""
    if not wish.here:
        return
    if wish.runtime == "pyxis":
        raise LaunchError(
            "the runtime pyxis executes job steps of Slurm, and this profile executes on this machine",
            hint="say backend: slurm in the profile, or take docker, podman, apptainer or charliecloud",
        )
    program = _PROGRAMS.get(wish.runtime, wish.runtime)
    if shutil.which(program) is None:
        raise LaunchError(
            f"the runtime {wish.runtime} needs the program {program}, which is not on the PATH",
            hint="`launch doctor` lists what this machine can execute images with",
        )


def _check_word(word: str) -> None:
    """Refuse a word that can name no image, whatever this machine holds."""
    named, at, digest = word.rpartition("@sha256:")
    if at and not _SUM.fullmatch(digest):
        raise LaunchError(
            f"{printable(word)}: a digest is sha256: and 64 hex digits, not {printable(repr(digest))}",
            hint="copy the whole one: `launch image push` prints it, `launch image list` too",
        )
    if not _is_path(named if at else word):
        if at and named in load_images():
            raise LaunchError(
                f"{printable(word)}: {named} is of docker/images.yaml, and a digest belongs to a registry's name",
                hint=f"{named} alone is the newest build here; by digest it is REGISTRY/PATH@sha256:…",
            )
        if not (":" in word or "/" in word or is_id(word)):
            find_image(word)  # says which ones there are


def _is_path(word: str) -> bool:
    return word.startswith(("/", "./", "../", "~")) or word.endswith(_FILES)


def _find(wish: ImageRequest) -> Image:
    named, at, digest = wish.word.rpartition("@sha256:")
    path = named if at else wish.word
    if _is_path(path):
        return image_from_file(path, f"sha256:{digest}" if at else None, wish)
    if match := _DIGEST.fullmatch(wish.word):
        return _pinned(match["digest"], wish)
    if wish.word in load_images():
        return _named(find_image(wish.word), wish)
    return _other(wish)


def _named(spec: ImageSpec, wish: ImageRequest) -> Image:
    """Return the image of a name of docker/images.yaml."""
    recipe = recipe_hash(spec)
    held, silent = _built(spec, recipe, wish)
    if held is None:
        earlier = _converted(spec, recipe, wish)
        if earlier is not None:
            return earlier
        if silent is not None:
            raise BackendError(f"the image {spec.name} is not converted here, and {silent.message}", hint=silent.hint)
        raise LaunchError(
            f"the image {spec.name} is not built here" + (", nor converted" if wish.form else ""),
            hint=f"`launch image build {spec.name}{' --builder podman' if wish.runtime == 'podman' else ''}`",
        )
    return _as_file(replace(_image_of(held, spec.name), platform=spec.platform), wish, recipe)


def _built(spec: ImageSpec, recipe: str, wish: ImageRequest) -> tuple[EngineImage | None, BackendError | None]:
    """Return the newest build of an image as it is described now, or None; and who is silent meanwhile."""
    engines = _engines(wish)
    try:
        held = find_engine_image(tag(spec), engines) if engines else None
        for found in [] if held or not engines else list_labelled("recipe", recipe, engines)[:1]:
            held = find_engine_image(found, engines)
    except BackendError as error:
        if wish.form is None:
            raise
        return None, error  # a converted one may lie here
    return held, None


def _converted(spec: ImageSpec, recipe: str, wish: ImageRequest) -> Image | None:
    """Return what an image was converted to where there was an engine; None if nothing of it lies here."""
    if wish.form is None:
        return None
    try:
        places = sorted(
            (wish.runs_root.absolute() / IMAGES).glob(f"[!.]*.{wish.form}"), key=lambda place: -place.stat().st_mtime
        )
    except OSError:
        return None
    for place in places:
        origin = read_origin(place)
        if origin is not None and origin.image.name == spec.name and origin.recipe == recipe:
            if wish.convert:
                claim_image(place)
            return replace(origin.image, file=str(place))
    return None


def _pinned(digest: str, wish: ImageRequest) -> Image:
    """Return the image of a registry that is named by its digest."""
    engines = _engines(wish)
    held = find_engine_image(wish.word, engines) if engines and wish.form is None else None
    if held is None and wish.form is None:
        raise LaunchError(
            f"{printable(wish.word)}: {wish.runtime} does not hold this image",
            hint=f"`launch image pull {printable(wish.word)}`",
        )
    image = Image(name=wish.word, reference=wish.word) if held is None else _image_of(held, wish.word)
    return _as_file(replace(image, reference=wish.word, digest=digest), wish, None)


def _other(wish: ImageRequest) -> Image:
    """Return an image that an engine here knows by another name, or by its id."""
    engines = _engines(wish)
    held = find_engine_image(wish.word, engines) if engines else None
    if held is None:
        who = wish.runtime if wish.form is None else " or ".join(engines) or "no engine"
        raise LaunchError(
            f"{printable(wish.word)}: {who} holds no such image",
            hint=f"build or pull it; the images of docker/images.yaml are {', '.join(load_images())}",
        )
    return _as_file(_image_of(held, wish.word), wish, None)


def _image_of(held: EngineImage, name: str) -> Image:
    """Return what an engine says of an image that was asked for by a name."""
    return Image(
        name=name,
        reference=held.id,
        content=held.content,
        id=held.id,
        digest=held.digest,
        platform=held.platform,
    )


def _engines(wish: ImageRequest) -> tuple[str, ...]:
    """Return the engines that may hold an image for a runtime."""
    return engines_here(wish.runtime if wish.runtime in ENGINES else None)


def _as_file(image: Image, wish: ImageRequest, recipe: str | None) -> Image:
    """Return an image as its runtime takes it, converted where it must be."""
    if wish.form is None:
        return image
    place = place_of(image, wish.form, wish.runs_root)
    if wish.convert:
        _check_platform(image, wish)
        make(image, wish.form, wish.runs_root, recipe=recipe, say=wish.say)
    origin = read_origin(place)  # of the same dependencies another build may have been converted
    return replace(origin.image if origin else image, name=image.name, file=str(place))


def _check_platform(image: Image, wish: ImageRequest) -> None:
    """Raise where an image does not compute on what the runs ask for."""
    if wish.gpus and image.platform == "cpu":
        raise LaunchError(
            f"the runs ask for GPUs, and the image {image.name} computes on the CPU",
            hint="take cuda12 or cuda13, or gpus_per_node: 0",
        )
