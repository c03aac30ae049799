"""Find the image that the user named, and check that it exists and fits, before anything is submitted."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace

from launch.containers.images.catalog import ImageSpec, find_image, load_images, recipe_hash, tag
from launch.containers.images.convert import IMAGES, claim_image, convert, place_of, read_origin
from launch.containers.images.engine_images import (
    EngineImage,
    engines_here,
    find_engine_image,
    is_id,
    list_labelled,
)
from launch.containers.images.file_image import image_from_file
from launch.containers.images.request import ImageRequest
from launch.errors import BackendError, LaunchError, printable
from launch.specs.choices import ENGINES, PROGRAMS
from launch.specs.image import Image

_FILES = (".sif", ".sqsh", ".sqfs", ".squashfs", ".img")
_SUM = re.compile(r"[0-9a-f]{64}")


def resolve_image(request: ImageRequest) -> Image:
    """Return the image for a request.

    Raises:
        LaunchError: If the image does not exist, is not built, has another digest, or cannot use the GPUs that the
            runs ask for, or if the runtime's program is missing.
    """
    if request.word is not None and not request.word.strip():
        raise LaunchError(
            "the name of the image is empty",
            hint=f"use one of {', '.join(load_images())}, or leave image out: then the launcher chooses",
        )
    named, at, digest = request.name.rpartition("@sha256:")
    path = named if at else request.name
    is_path = path.startswith(("/", "./", "../", "~")) or path.endswith(_FILES)
    _check_word(request.name, named if at else None, digest, is_path=is_path)
    if request.here:
        _check_runtime(request.runtime)
    if is_path:
        image = image_from_file(path, f"sha256:{digest}" if at else None, request)
    elif at:
        image = _pinned(f"sha256:{digest}", request)
    elif request.name in load_images():
        image = _named(find_image(request.name), request)
    else:
        image = _other(request)
    _check_platform(image, request)
    return image


def _check_runtime(runtime: str) -> None:
    """Raise if the runtime is not installed on this machine, or works only under Slurm."""
    if runtime == "pyxis":
        raise LaunchError(
            "the runtime pyxis executes job steps of Slurm, and this profile executes on this machine",
            hint=f"set backend: slurm in the profile, or choose another runtime: {', '.join(PROGRAMS)}",
        )
    program = PROGRAMS[runtime]
    if shutil.which(program) is None:
        raise LaunchError(
            f"the runtime {runtime} needs the program {program}, which is not on the PATH",
            hint="`launch doctor` lists the runtimes that work on this machine",
        )


def _check_word(word: str, named: str | None, digest: str, *, is_path: bool) -> None:
    """Raise if a word cannot name an image on any machine; `named` is the part before `@sha256:`, or None."""
    if named is not None and not (named and _SUM.fullmatch(digest)):
        raise LaunchError(
            f"{printable(word)}: a digest is sha256: and 64 hex digits, not {printable(repr(digest))}",
            hint="copy the whole digest, as `launch image push IMAGE REPO` and `launch image list` print it",
        )
    if is_path:
        return
    if named in load_images():
        raise LaunchError(
            f"{printable(word)}: {named} is a name from docker/images.yaml and takes no digest",
            hint=f"{named} alone is the newest build here; with a digest it is REGISTRY/PATH@sha256:…",
        )
    if not (":" in word or "/" in word or is_id(word)):
        find_image(word)  # if it raises, the message lists the images


def _named(spec: ImageSpec, request: ImageRequest) -> Image:
    """Return the image of a catalog entry, built or converted from the present Dockerfile and locks."""
    recipe = recipe_hash(spec)
    held: EngineImage | None = None
    silent: BackendError | None = None
    try:
        engines = _engines(request)
        held = find_engine_image(tag(spec), engines)
        if held is None and (found := list_labelled("recipe", recipe, engines)):
            held = find_engine_image(found[0], engines)
    except BackendError as error:
        if request.form is None:
            raise
        silent = error  # there may be a converted image
    if held is not None:
        return _as_file(replace(_image_of(held, spec.name), platform=spec.platform), request, recipe)
    if earlier := _converted(spec, recipe, request):
        return earlier
    if silent is not None:
        raise BackendError(f"the image {spec.name} is not converted here, and {silent.message}", hint=silent.hint)
    raise LaunchError(
        f"the image {spec.name} is not built here" + (", nor converted" if request.form else ""),
        hint=f"`launch image build {spec.name}{' --builder podman' if request.runtime == 'podman' else ''}`",
    )


def _converted(spec: ImageSpec, recipe: str, request: ImageRequest) -> Image | None:
    """Return the image if a machine with an engine has converted it to the shared folder; None otherwise."""
    if request.form is None:
        return None
    folder = request.runs_root.absolute() / IMAGES
    try:
        places = sorted(folder.glob(f"[!.]*.{request.form}"), key=lambda place: -place.stat().st_mtime)
    except OSError:
        return None
    for place in places:
        origin = read_origin(place)
        if origin is not None and origin.image.name == spec.name and origin.recipe == recipe:
            if request.convert:
                claim_image(place)
            return replace(origin.image, file=str(place))
    return None


def _pinned(digest: str, request: ImageRequest) -> Image:
    """Return the image that the request names by a registry's digest."""
    image = Image(name=request.name, reference=request.name)
    if request.form is None:
        held = find_engine_image(request.name, _engines(request))
        if held is None:
            raise LaunchError(
                f"{printable(request.name)}: {request.runtime} does not hold this image",
                hint=f"`launch image pull {printable(request.name)}`",
            )
        image = replace(_image_of(held, request.name), reference=request.name)
    return _as_file(replace(image, digest=digest), request, None)


def _other(request: ImageRequest) -> Image:
    """Return an image that is not in docker/images.yaml, by its name or id in an engine."""
    engines = _engines(request)
    held = find_engine_image(request.name, engines)
    if held is None:
        holder = request.runtime if request.form is None else " or ".join(engines) or "no engine"
        raise LaunchError(
            f"{printable(request.name)}: {holder} holds no such image",
            hint=f"build or pull it; the images of docker/images.yaml are {', '.join(load_images())}",
        )
    return _as_file(_image_of(held, request.name), request, None)


def _image_of(held: EngineImage, name: str) -> Image:
    return Image(
        name=name,
        reference=held.id,
        content=held.content,
        id=held.id,
        digest=held.digest,
        platform=held.platform,
    )


def _engines(request: ImageRequest) -> tuple[str, ...]:
    """Return the engines that may have an image for the runtime."""
    return engines_here(request.runtime if request.runtime in ENGINES else None)


def _as_file(image: Image, request: ImageRequest, recipe: str | None) -> Image:
    """Return an image with the file that the runtime executes, if it needs one; convert if the request says so."""
    if request.form is None:
        return image
    if request.convert:
        _check_platform(image, request)
        convert(image, request.form, request.runs_root, recipe=recipe, say=request.say)
    place = place_of(image, request.form, request.runs_root)
    origin = read_origin(place)  # another build of the same dependencies may have been converted
    return replace(origin.image if origin else image, name=image.name, file=str(place))


def _check_platform(image: Image, request: ImageRequest) -> None:
    """Raise if the runs ask for GPUs that the image cannot use."""
    if request.gpus and image.platform == "cpu":
        raise LaunchError(
            f"the runs ask for GPUs, and the image {image.name} computes on the CPU",
            hint="use cuda12 or cuda13, or gpus_per_node: 0",
        )
