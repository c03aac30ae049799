"""List the images of docker/images.yaml with their states on this machine: built, outdated or not built."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from launch.containers.images.catalog import LABEL, ImageSpec, recipe_hash
from launch.containers.images.engine_images import EngineImage, find_engine_image, list_labelled
from launch.errors import BackendError

BUILT, EARLIER, ABSENT, SILENT = "built", "outdated", "not built", "unknown"


@dataclass(frozen=True, kw_only=True)
class ListedImage:
    """An image of docker/images.yaml and its state on this machine.

    Attributes:
        spec: The entry of docker/images.yaml.
        state: `built` from the present Dockerfile and locks; `outdated` if built from earlier ones; `not built`;
            `unknown` if an engine that may have the image does not answer.
        held: The newest build; None without a build.
    """

    spec: ImageSpec
    state: str
    held: EngineImage | None


def list_images(
    specs: Mapping[str, ImageSpec], engines: Sequence[str], *, silent: Collection[str] = ()
) -> list[ListedImage]:
    """Return the state of each image; do not ask the engines in `silent`, which did not answer before."""
    answering = [engine for engine in engines if engine not in silent]
    return [_look(spec, answering, is_complete=not silent) for spec in specs.values()]


def newest(spec: ImageSpec, engines: Sequence[str]) -> EngineImage | None:
    """Return the newest build from the present Dockerfile and locks, else the newest earlier build, else None."""
    wanted = recipe_hash(spec)
    builds = [
        held for image in list_labelled("name", spec.name, engines) if (held := find_engine_image(image, engines))
    ]
    return next((held for held in builds if held.labels.get(f"{LABEL}recipe") == wanted), builds[0] if builds else None)


def _look(spec: ImageSpec, engines: Sequence[str], *, is_complete: bool) -> ListedImage:
    try:
        held = newest(spec, engines)
    except BackendError:
        held, is_complete = None, False
    if held is None:
        return ListedImage(spec=spec, state=ABSENT if is_complete else SILENT, held=None)
    today = held.labels.get(f"{LABEL}recipe") == recipe_hash(spec)
    return ListedImage(spec=spec, state=BUILT if today else EARLIER, held=held)
