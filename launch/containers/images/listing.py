"""Which images of docker/images.yaml are here: built, of an earlier recipe, or not at all."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from launch.containers.images.catalog import LABEL, ImageSpec, recipe_hash
from launch.containers.images.engine_images import EngineImage, find_engine_image, list_labelled
from launch.errors import BackendError

BUILT, EARLIER, ABSENT, SILENT = "built", "outdated", "not built", "unknown"


@dataclass(frozen=True, kw_only=True)
class ListedImage:
    """An image that there can be.

    Attributes:
        spec: What it is made from.
        state: `built` by today's recipe and lock; `outdated`, by earlier ones; `not built`; `unknown`: who may hold
            it does not answer.
        held: The newest build; None if there is none.
    """

    spec: ImageSpec
    state: str
    held: EngineImage | None


def list_images(
    specs: Mapping[str, ImageSpec], engines: Sequence[str], *, silent: Collection[str] = ()
) -> list[ListedImage]:
    """Return where each image stands.

    Args:
        specs: The images that there can be.
        engines: Who may hold them.
        silent: Those of the engines that are known not to answer; they are not asked again.
    """
    answering = [engine for engine in engines if engine not in silent]
    found = [_look(spec, answering) for spec in specs.values()]
    return [replace(each, state=SILENT) if silent and each.held is None else each for each in found]


def newest(spec: ImageSpec, engines: Sequence[str]) -> EngineImage | None:
    """Return the newest build of an image by today's recipe, or else by an earlier one; None if there is none."""
    wanted = recipe_hash(spec)
    builds = [
        held for image in list_labelled("name", spec.name, engines) if (held := find_engine_image(image, engines))
    ]
    return next((held for held in builds if held.labels.get(f"{LABEL}recipe") == wanted), builds[0] if builds else None)


def _look(spec: ImageSpec, engines: Sequence[str]) -> ListedImage:
    try:
        held = newest(spec, engines)
    except BackendError:
        return ListedImage(spec=spec, state=SILENT, held=None)
    if held is None:
        return ListedImage(spec=spec, state=ABSENT, held=None)
    today = held.labels.get(f"{LABEL}recipe") == recipe_hash(spec)
    return ListedImage(spec=spec, state=BUILT if today else EARLIER, held=held)
