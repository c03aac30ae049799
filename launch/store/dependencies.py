"""Which runs come before which: what a manifest's tokens mean, and what to say of a run that waits.

A run waits for tokens, and a token for every run that gives it and was submitted together with the one that waits, or
later. Of earlier ones the submission made sure that they had succeeded, or an edit of the sweep file left them behind.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from launch.store.manifest import Manifest
from launch.store.state import State
from launch.store.view import RunView

# A token, and the submission from which on the runs that give it count.
Key = tuple[str, int]
# What only somebody's doing changes.
_ENDED_BADLY = (State.FAILED, State.CANCELLED)


class DependencyGraph:
    """The runs of a sweep that come before others.

    Args:
        manifest: What lists them.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._listed = manifest.listed
        self._runs: dict[Key, tuple[str, ...]] = {}
        self._givers: dict[str, list[str]] = {}
        self._since: dict[str, set[int]] = {}
        for run_id, one in manifest.listed.items():
            for token in one.entry.gives:
                self._givers.setdefault(token, []).append(run_id)
            for token in one.entry.after:
                self._since.setdefault(token, set()).add(one.submitted)

    def requirements(self, run_id: str) -> tuple[Key, ...]:
        """Return what a run waits for."""
        one = self._listed.get(run_id)
        return () if one is None else tuple((token, one.submitted) for token in one.entry.after)

    def providers(self, key: Key) -> tuple[str, ...]:
        """Return the runs that must have succeeded, in the order of the manifest."""
        if key not in self._runs:
            token, since = key
            givers = self._givers.get(token, ())
            self._runs[key] = tuple(run_id for run_id in givers if self._listed[run_id].submitted >= since)
        return self._runs[key]

    def predecessors(self, run_id: str) -> tuple[str, ...]:
        """Return the runs that a run comes after: in the order of what it waits for, then of the manifest."""
        return tuple(dict.fromkeys(other for key in self.requirements(run_id) for other in self.providers(key)))

    def provided(self, run_id: str) -> list[Key]:
        """Return what somebody may wait for that a run gives."""
        one = self._listed[run_id]
        return [
            (token, since)
            for token in one.entry.gives
            for since in self._since.get(token, ())
            if since <= one.submitted
        ]

    def successors(self, run_ids: Iterable[str]) -> set[str]:
        """Return the runs that wait for some, directly or for one another, and were submitted together with them."""
        waiting: dict[Key, list[str]] = {}
        for run_id in self._listed:
            for key in self.requirements(run_id):
                waiting.setdefault(key, []).append(run_id)
        found: set[str] = set()
        left = list(run_ids)
        while left:
            one = self._listed[left.pop()]
            for token in one.entry.gives:
                new = [run_id for run_id in waiting.pop((token, one.submitted), ()) if run_id not in found]
                found.update(new)
                left += new
        return found

    def describe_waiting(
        self, views: Sequence[RunView], look: Callable[[str], RunView], *, fed: Collection[str] = ()
    ) -> list[RunView]:
        """Return views in which every run that has not begun says what it waits for.

        Args:
            views: Views of runs.
            look: Returns the view of any run.
            fed: Runs that a living queue would start: one whose turn cannot come is none of them.
        """
        known = {view.run_id: view for view in views}
        said: dict[Key, tuple[str, bool] | None] = {}

        def state(run_id: str) -> State:
            if run_id not in known:
                known[run_id] = look(run_id)
            return known[run_id].state

        def say(key: Key) -> tuple[str, bool] | None:
            if key not in said:
                said[key] = _words(key[0], {run_id: state(run_id) for run_id in self.providers(key)})
            return said[key]

        told: list[RunView] = []
        for view in views:
            if view.state not in (State.PLANNED, State.PENDING):
                told.append(view)
                continue
            waits = {key[0]: words for key in self.requirements(view.run_id) if (words := say(key)) is not None}
            if waits:
                message, stuck = max(waits.values(), key=lambda one: one[1])
                planned = stuck and view.run_id in fed
                view = replace(
                    view, waits=tuple(waits), message=message, state=State.PLANNED if planned else view.state
                )
            told.append(view)
        return told


def _words(token: str, states: dict[str, State]) -> tuple[str, bool] | None:
    """Return what a run waits for, and whether in vain; None where all of them have succeeded."""
    left = [run_id for run_id, state in states.items() if state is not State.SUCCEEDED]
    if not left:
        return None
    runs = f"of {len(states):,} run{'' if len(states) == 1 else 's'}"
    bad = [run_id for run_id in left if states[run_id] in _ENDED_BADLY]
    if bad:
        same = [run_id for run_id in bad if states[run_id] is states[bad[0]]]
        return f"waits for {token}: {len(same):,} {runs} {states[bad[0]]} ({bad[0]})", True
    return f"waits for {token}: {len(left):,} {runs} left", False
