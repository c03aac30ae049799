"""The runtime without a container: the command executes on the host, with the code's snapshot first on its path."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import final

from launch.containers.runtimes.base import CommandCall, HostCommand, Runtime


@final
class Bare(Runtime):
    """Executes commands on the host, unchanged."""

    contained = False
    python = None

    def wrap(self, call: CommandCall, surroundings: Mapping[str, str]) -> HostCommand:
        """Return the command unchanged, with an environment in which Python finds the snapshot's code first."""
        environment = {**surroundings, **call.variables, "PYTHONUNBUFFERED": "1"}
        if call.snapshot is not None:
            # Otherwise Python would put the working folder, or that of a script, before the snapshot.
            environment["PYTHONSAFEPATH"] = "1"
            environment["PYTHONPATH"] = _python_path(call, surroundings.get("PYTHONPATH"))
        return HostCommand(command=call.command, environment=environment)


def _python_path(call: CommandCall, own: str | None) -> str:
    snapshot = call.snapshot or ""
    if os.pathsep in snapshot:
        # PYTHONPATH cannot contain a path with a colon. Python resolves a relative path in its working folder.
        snapshot = os.path.relpath(snapshot, call.folder)
    return os.pathsep.join([snapshot, own] if own else [snapshot])
