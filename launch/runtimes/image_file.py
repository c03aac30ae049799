"""The image of a command as the file or folder that a runtime without an engine executes. Pure."""

from __future__ import annotations

import re

from launch.errors import LaunchError
from launch.records import Reason
from launch.runtimes.base import Call, Finding


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


def find_refusal(log: str, pattern: str, runtime: str) -> Finding | None:
    """Return why a command was never started, where its runtime has had the last word.

    Args:
        log: The end of the command's log.
        pattern: What the runtime's own errors look like, with what they say in a group.
        runtime: Its name.
    """
    last = next((line for line in reversed(log.splitlines()) if line.strip()), "")
    found = re.fullmatch(pattern, last.strip())
    return None if found is None else Finding(reason=Reason.START, message=f"{runtime}: {found[1]}")
