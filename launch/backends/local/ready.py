"""Whose turn has come in a queue on this machine: a run's comes with the last success among those before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from launch.store.dependencies import DependencyGraph, Key
from launch.store.manifest import Manifest
from launch.store.state import State
from launch.store.view import RunView


class ReadySet:
    """The runs that wait for others, of one process that feeds a sweep.

    Args:
        manifest: The sweep's.
        look: Returns the view of a run.
    """

    def __init__(self, manifest: Manifest, look: Callable[[str], RunView]) -> None:
        self._look = look
        self._before = DependencyGraph(manifest)
        self._left: dict[Key, set[str]] = {}
        self._held: dict[Key, list[str]] = {}
        self._keys: dict[str, set[Key]] = {}

    def is_ready(self, run_id: str) -> bool:
        """Say whether every run before this one has succeeded; where not, it is named when they have."""
        keys = {key for key in self._before.requirements(run_id) if self._open(key)}
        if keys and run_id not in self._keys:
            self._keys[run_id] = keys
            for key in keys:
                self._held.setdefault(key, []).append(run_id)
        return not keys

    def succeeded(self, run_id: str) -> list[str]:
        """Note the success of a run, and return those whose turn has come by it."""
        come: list[str] = []
        for key in self._before.provided(run_id):
            left = self._left.get(key)
            if left is None or run_id not in left:
                continue
            left.discard(run_id)
            for other in () if left else self._held.pop(key, ()):
                self._keys[other].discard(key)
                if not self._keys[other]:
                    del self._keys[other]
                    come.append(other)
        return come

    def tell(self, views: Sequence[RunView]) -> list[RunView]:
        """Return views in which every run that waits for others says so."""
        if not self._left:
            return list(views)
        return self._before.describe_waiting(views, self._look, fed=[view.run_id for view in views])

    def _open(self, key: Key) -> set[str]:
        """Return the runs that have to succeed still."""
        if key not in self._left:
            runs = self._before.providers(key)
            self._left[key] = {run_id for run_id in runs if self._look(run_id).state is not State.SUCCEEDED}
        return self._left[key]
