"""Which runs of a queue on this machine may start: those whose predecessors have all succeeded."""

from __future__ import annotations

from typing import final

from launch.store.dependencies import OpenRequirements, Requirement


@final
class ReadySet:
    """Keeps track of the runs that wait for others, while a queue works.

    Args:
        unmet: What the runs of the queue wait for as it begins.
    """

    def __init__(self, unmet: OpenRequirements) -> None:
        self._unmet = {run_id: set(own) for run_id, own in unmet.of.items()}
        self._left = {one: set(runs) for one, runs in unmet.left.items()}
        self._provided: dict[str, list[Requirement]] = {}
        self._waiting: dict[Requirement, list[str]] = {}
        for one, runs in unmet.left.items():
            for run_id in runs:
                self._provided.setdefault(run_id, []).append(one)
        for run_id, own in unmet.of.items():
            for one in own:
                self._waiting.setdefault(one, []).append(run_id)

    def is_ready(self, run_id: str) -> bool:
        """Return whether every run before this one has succeeded."""
        return not self._unmet.get(run_id)

    def succeed(self, run_id: str) -> list[str]:
        """Note the success of a run; return the runs that are ready because of it."""
        ready: list[str] = []
        for one in self._provided.pop(run_id, ()):
            self._left[one].discard(run_id)
            for other in () if self._left[one] else self._waiting[one]:
                self._unmet[other].discard(one)
                ready += [] if self._unmet[other] else [other]
        return ready
