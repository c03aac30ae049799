"""End containers whose supervisor is gone; they are found by their labels."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, cast

from launch.containers.runtimes.request import FOLDER_LABEL

# The time that the engine itself may take to remove a container.
_PATIENCE_S = 5.0
_LOOK_S = 0.05


def end_labelled(api: Any, folder: str, grace_s: float) -> bool:
    """End and remove every container whose label is the folder of an attempt.

    Args:
        api: The client of the engine.
        folder: The attempt's folder, absolute.
        grace_s: The number of seconds that the run may take to write a checkpoint.

    Returns:
        Whether all of these containers are gone.
    """
    deadline = time.monotonic() + grace_s
    label = {"label": f"{FOLDER_LABEL}={folder}"}
    found = [cast("str", entry["Id"]) for entry in api.containers(all=True, filters=label)]
    if grace_s > 0:
        for container in found:
            with suppress(Exception):
                api.kill(container, signal="SIGTERM")
    for container in found:
        while time.monotonic() < deadline and api.containers(filters={"id": container}):
            time.sleep(_LOOK_S)
        with suppress(Exception):
            api.remove_container(container, force=True)
    until = time.monotonic() + _PATIENCE_S
    while api.containers(all=True, filters=label):
        if time.monotonic() > until:
            return False
        time.sleep(_LOOK_S)
    return True
