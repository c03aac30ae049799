"""The images of docker/images.yaml, and the hashes of the files that each image is made from."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.errors import FileError, LaunchError, did_you_mean, printable
from launch.yaml_file import Place, describe, read_yaml

FILE_VARIABLE = "LAUNCH_IMAGES"
REPOSITORY = "s5-launch"  # our images are tagged `s5-launch/NAME:CONTENT`
PLATFORMS = ("cpu", "cuda")
ARCHITECTURES = ("amd64", "arm64")
# The prefix of the labels of our images: `s5-launch.content` and so on.
LABEL = "s5-launch."

_FOLDER = Path(__file__).resolve().parents[3] / "docker"
_KEYS = ("base", "lock", "platform", "min_driver", "architectures")
_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")  # also a part of a tag
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*(?:@sha256:[0-9a-f]{64})?|sha256:[0-9a-f]{64}")
_TAG_DIGITS = 12
_FORMAT = 1  # the version of the hashes; another number changes all of them


@dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """An entry of docker/images.yaml: the parts that an image is made from.

    Attributes:
        name: The name of the image.
        base: The base image, with its digest if it is pinned.
        lock: The lock file with the image's Python packages.
        platform: The platform of the image's JAX: `cpu` or `cuda`.
        min_driver: The oldest NVIDIA driver that the CUDA libraries work with, such as 525; None without CUDA.
        architectures: The CPU architectures for which the lock has wheels, such as `amd64`.
    """

    name: str
    base: str
    lock: Path
    platform: str
    min_driver: int | None = None
    architectures: tuple[str, ...] = ARCHITECTURES

    @property
    def dockerfile(self) -> Path:
        """The Dockerfile, which all images share."""
        return _FOLDER / "Dockerfile"

    @property
    def build_lock(self) -> Path:
        """The lock file of the packages that only the build needs; they do not stay in the image."""
        return _FOLDER / "locks" / "build.txt"


def load_images(file: Path | None = None) -> dict[str, ImageSpec]:
    """Return the images by name, in the order of the file.

    Args:
        file: The file; None for `$LAUNCH_IMAGES`, else docker/images.yaml next to the launcher's code.

    Raises:
        FileError: If the file is missing or not valid.
    """
    said = os.environ.get(FILE_VARIABLE)
    path = file or (Path(said) if said else _FOLDER / "images.yaml")
    place = Place(printable(os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)), kind=FileError)
    if not path.is_file() and path.parent == _FOLDER:
        raise place.error("no such file", "images are built from the repository: git clone it, and pip install -e .")
    values = read_yaml(path, place)
    place.known_keys(values, ("images",))
    images = place.key("images").mapping(values.get("images"))
    return {name: _read(name, said, place.key("images").key(name), path.parent) for name, said in images.items()}


def find_image(name: str, file: Path | None = None) -> ImageSpec:
    """Return the image with this name.

    Raises:
        LaunchError: If docker/images.yaml has no such image.
    """
    images = load_images(file)
    if name in images:
        return images[name]
    message = f"there is no image {printable(name)!r}{did_you_mean(name, images)}"
    raise LaunchError(message, hint=f"the images are {', '.join(images)}")


def recipe_hash(spec: ImageSpec) -> str:
    """Return the hash of an image without its base: SHA-256 over Dockerfile and locks."""
    return _hash(
        {"dockerfile": file_hash(spec.dockerfile), "lock": file_hash(spec.lock), "build": file_hash(spec.build_lock)}
    )


def content_hash(spec: ImageSpec) -> str:
    """Return the hash of an image's dependencies: SHA-256 over Dockerfile, locks and base.

    The hash is exact if the base is named by its digest, as in a build. The base's registry does not matter.
    """
    return _hash({"recipe": recipe_hash(spec), "base": spec.base.rpartition("@")[2] or spec.base})


def tag(spec: ImageSpec) -> str:
    """Return the tag that a build gives the image in its engine, such as `s5-launch/cpu:0123456789ab`."""
    return f"{REPOSITORY}/{spec.name}:{content_hash(spec)[:_TAG_DIGITS]}"


def is_pinned(base: str) -> bool:
    """Return whether the name of a base image has a digest, so that it always names the same image."""
    return "sha256:" in base


def check_reference(base: str) -> str:
    """Return `base`; raise if it cannot be an image's name, since an engine might read it as an option."""
    if not _REFERENCE.fullmatch(base):
        raise LaunchError(
            f"{printable(base)!r} cannot be the name of an image",
            hint="such as python:3.11-slim-bookworm, or NAME@sha256: and 64 digits",
        )
    return base


def _read(name: str, value: Any, place: Place, folder: Path) -> ImageSpec:
    if not _NAME.fullmatch(name):
        raise place.error("cannot be the name of an image", "small letters and digits, with . _ - between")
    said = place.mapping(value)
    place.known_keys(said, _KEYS)
    for key in ("base", "lock", "platform"):
        if said.get(key) is None:
            raise place.key(key).error("missing", f"the keys here are {', '.join(_KEYS)}")
    platform = place.key("platform").choice(said["platform"], PLATFORMS)
    driver, at = said.get("min_driver"), place.key("min_driver")
    if platform == "cpu" and driver is not None:
        raise at.error("an image for the CPU needs no driver", "leave it out, or set platform: cuda")
    if platform == "cuda" and (isinstance(driver, bool) or not isinstance(driver, int) or driver < 1):
        raise at.error(f"{describe(driver)} is not the number of a driver", "such as 525, its first part")
    at = place.key("architectures")
    architectures = at.sequence(said.get("architectures", list(ARCHITECTURES)))
    if not architectures:
        raise at.error("at least one is needed", f"of {', '.join(ARCHITECTURES)}")
    return ImageSpec(
        name=name,
        base=_base(said["base"], place.key("base")),
        lock=folder / place.key("lock").text(said["lock"]),
        platform=platform,
        min_driver=driver,
        architectures=tuple(at.item(i).choice(word, ARCHITECTURES) for i, word in enumerate(architectures)),
    )


def _base(value: Any, place: Place) -> str:
    try:
        return check_reference(place.text(value))
    except FileError:
        raise
    except LaunchError as error:
        raise place.error(error.message, error.hint) from error


def _hash(parts: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps({"format": _FORMAT, **parts}, sort_keys=True).encode()).hexdigest()


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a lock or a Dockerfile.

    Raises:
        LaunchError: If the file cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise LaunchError(
            f"{printable(str(path))}: cannot be read: {error.strerror}",
            hint="images are built from the repository; `make lock` writes the locks",
        ) from error
