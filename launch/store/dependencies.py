"""The order between the runs of a manifest, and the message for a run that waits for others.

A run requires labels. It waits for the runs that provide such a label and were submitted with it or later. Runs that
were submitted earlier do not count: they had succeeded already, or an edit of the sweep file has replaced them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import NamedTuple, final

from launch.store.manifest import Manifest
from launch.store.records import ManifestEntry
from launch.store.state import State
from launch.store.view import RunView

# A run that waits for a run in one of these states waits until the user does something.
_ENDED_BADLY = (State.FAILED, State.CANCELLED)


class Requirement(NamedTuple):
    """A label that a run waits for: all runs that provide the label and were submitted since a generation."""

    label: str
    since: int


@dataclass(frozen=True, kw_only=True)
class OpenRequirements:
    """The unmet requirements of runs.

    Attributes:
        of: For each run that waits, its unmet requirements.
        left: For each of these requirements, the runs that have not succeeded.
    """

    of: Mapping[str, tuple[Requirement, ...]] = field(default_factory=dict[str, tuple[Requirement, ...]])
    left: Mapping[Requirement, tuple[str, ...]] = field(default_factory=dict[Requirement, tuple[str, ...]])

    def levels(self, run_ids: Iterable[str], present: Collection[str]) -> Iterator[list[str]]:
        """Yield the runs in groups, each group after the runs that it waits for.

        Args:
            run_ids: The runs. A run with a predecessor in neither `run_ids` nor `present` is left out.
            present: Runs that may be waited for besides `run_ids`.
        """
        waiting, placed = list(run_ids), set(present)
        while waiting:
            closed = {one for one, runs in self.left.items() if not placed.issuperset(runs)}
            ready = [run_id for run_id in waiting if closed.isdisjoint(self.of.get(run_id, ()))]
            if not ready:
                return
            yield ready
            placed.update(ready)
            waiting = [run_id for run_id in waiting if run_id not in placed]


def blocks_of(entry: ManifestEntry) -> tuple[str, ...]:
    """Return the names of the blocks that contain a run and that other runs wait for."""
    return tuple(dict.fromkeys(label.partition(" ")[0] for label in entry.provides))


@final
class DependencyGraph:
    """The runs of a sweep and the order between them.

    Args:
        manifest: The manifest that lists the runs.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._listed = manifest.listed
        self._providers: dict[Requirement, tuple[str, ...]] = {}
        self._by_label: dict[str, list[str]] = {}
        for run_id, one in manifest.listed.items():
            for label in one.entry.provides:
                self._by_label.setdefault(label, []).append(run_id)

    def requirements(self, run_id: str) -> tuple[Requirement, ...]:
        """Return the requirements of a run; empty if the manifest does not list it."""
        one = self._listed.get(run_id)
        return () if one is None else tuple(Requirement(label, one.submitted) for label in one.entry.requires)

    def providers(self, requirement: Requirement) -> tuple[str, ...]:
        """Return the runs that must succeed to meet a requirement, in the order of the manifest."""
        if requirement not in self._providers:
            named = self._by_label.get(requirement.label, ())
            self._providers[requirement] = tuple(r for r in named if self._listed[r].submitted >= requirement.since)
        return self._providers[requirement]

    def predecessors(self, run_id: str) -> tuple[str, ...]:
        """Return the runs that must succeed before a run, in the order of its requirements, then of the manifest."""
        return tuple(dict.fromkeys(other for one in self.requirements(run_id) for other in self.providers(one)))

    def dependents(self, run_ids: Iterable[str]) -> set[str]:
        """Return the runs that wait for the given runs, directly or through others, and were submitted with them."""
        given = set(run_ids)
        found = set(given)
        while True:
            open_ = {
                Requirement(label, self._listed[r].submitted) for r in found for label in self._listed[r].entry.provides
            }
            more = {r for r in self._listed if r not in found and not open_.isdisjoint(self.requirements(r))}
            if not more:
                return found - given
            found |= more

    def open_requirements(self, run_ids: Iterable[str], state: Callable[[str], State]) -> OpenRequirements:
        """Return the unmet requirements of runs. `state` is called once for each run that matters."""
        state = cache(state)
        left: dict[Requirement, tuple[str, ...]] = {}
        of: dict[str, tuple[Requirement, ...]] = {}
        for run_id in run_ids:
            own = self.requirements(run_id)
            for one in own:
                if one not in left:
                    left[one] = tuple(other for other in self.providers(one) if state(other) is not State.SUCCEEDED)
            if unmet := tuple(one for one in own if left[one]):
                of[run_id] = unmet
        return OpenRequirements(of=of, left={one: runs for one, runs in left.items() if runs})

    def describe_waiting(
        self, views: Sequence[RunView], look: Callable[[str], RunView], *, fed: Collection[str] = ()
    ) -> list[RunView]:
        """Return the views with the labels that each run waits for, and a message, if the run has not begun.

        Args:
            views: Views of runs.
            look: Returns the view of any other run.
            fed: Runs that a running queue would start. If such a run waits for a failed run, its state is `PLANNED`.
        """
        known, fed = {view.run_id: view.state for view in views}, frozenset(fed)

        @cache
        def state(run_id: str) -> State:
            return known.get(run_id) or look(run_id).state

        waiting = [view.run_id for view in views if view.state in (State.PLANNED, State.PENDING)]
        unmet = self.open_requirements(waiting, state)
        words = {one: self._words(one, runs, state) for one, runs in unmet.left.items()}
        told: list[RunView] = []
        for view in views:
            if own := unmet.of.get(view.run_id):
                message, is_stuck = max((words[one] for one in own), key=lambda said: said[1])
                planned = is_stuck and view.run_id in fed
                labels = tuple(one.label for one in own)
                view = replace(view, waits=labels, message=message, state=State.PLANNED if planned else view.state)
            told.append(view)
        return told

    def _words(self, one: Requirement, left: Sequence[str], state: Callable[[str], State]) -> tuple[str, bool]:
        """Return a requirement in words, and whether it cannot be met before the user does something."""
        count = len(self.providers(one))
        runs = f"of {count:,} run{'' if count == 1 else 's'}"
        bad = [run_id for run_id in left if state(run_id) in _ENDED_BADLY]
        if not bad:
            return f"waits for {one.label}: {len(left):,} {runs} left", False
        same = [run_id for run_id in bad if state(run_id) is state(bad[0])]
        return f"waits for {one.label}: {len(same):,} {runs} {state(bad[0])} ({bad[0]})", True
