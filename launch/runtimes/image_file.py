"""The image of a command as the file or folder that a runtime without an engine executes. Pure."""

from __future__ import annotations

from launch.errors import LaunchError
from launch.runtimes.base import Call


def image_file(call: Call) -> str:
    """Return the file or folder of a command's image.

    Raises:
        LaunchError: Where it has none.
    """
    if call.image is None or call.image.file is None:
        name = "no image" if call.image is None else f"the image {call.image.name}, which is not converted"
        raise LaunchError(f"the run has {name}", hint="type the sweep's command again: it finds or converts one")
    return call.image.file


def check_path(path: str, forbidden: str, runtime: str) -> str:
    """Return a path if a runtime's options can say it.

    Raises:
        LaunchError: Where it contains what separates one path from another there.
    """
    found = next((character for character in forbidden if character in path), None)
    if found is not None:
        raise LaunchError(f"{path}: {runtime} cannot mount a path with {found!r} in it", hint="choose another folder")
    return path
