"""No container: the command executes on the host, with the snapshot of the code first on Python's path."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import final

from launch.containers.runtimes.base import ContainerCall, HostCommand, Runtime


@final
class Bare(Runtime):
    """Runs commands as they are."""

    contained = False
    python = None

    def wrap(self, call: ContainerCall, surroundings: Mapping[str, str]) -> HostCommand:
        """Return the command unchanged, in an environment that finds the snapshot's code before any other."""
        environment = {**surroundings, **call.variables, "PYTHONUNBUFFERED": "1"}
        if call.snapshot is not None:
            # Otherwise Python would put the working folder, or that of a script, before the snapshot.
            environment["PYTHONSAFEPATH"] = "1"
            environment["PYTHONPATH"] = _python_path(call, surroundings.get("PYTHONPATH"))
        return HostCommand(command=call.command, environment=environment)


def _python_path(call: ContainerCall, own: str | None) -> str:
    snapshot = call.snapshot or ""
    if os.pathsep in snapshot:
        # PYTHONPATH cannot hold such a path. Python makes a relative one absolute in its working folder.
        snapshot = os.path.relpath(snapshot, call.folder)
    return os.pathsep.join([snapshot, own] if own else [snapshot])
