"""Which arrays wait for which: what of the queue must end well before the turn of a run comes. Pure but for a look.

A tie is an array by its uuid, or one task of it as `UUID_3`, which Slurm is told as `afterok:12` and `afterok:12_3`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from launch.backends.slurm.arrays import Array, ArrayRecord
from launch.backends.slurm.squeue import QueueSnapshot
from launch.store.dependencies import DependencyGraph, Key
from launch.store.state import State

# Of one array more tasks than this are not named one by one: all of it is waited for.
_MOST_TASKS = 32


@dataclass(frozen=True, kw_only=True)
class QueuePosition:
    """The place of a run in the queue.

    Attributes:
        array: The uuid of its array.
        index: Its task there.
        size: How many tasks the array has.
    """

    array: str
    index: int
    size: int

    @property
    def dependency(self) -> str:
        """The run alone."""
        return f"{self.array}_{self.index}"


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """What runs wait for.

    Attributes:
        keys: By run what it waits for still; of a run that waits for nothing, nothing.
        left: For each of those the runs that have not succeeded.
    """

    keys: Mapping[str, tuple[Key, ...]] = field(default_factory=dict[str, tuple[Key, ...]])
    left: Mapping[Key, tuple[str, ...]] = field(default_factory=dict[Key, tuple[str, ...]])

    def levels(self, run_ids: Iterable[str], there: Collection[str]) -> Iterator[list[str]]:
        """Yield runs in lists, each of which comes after those before it; what waits for others still is left out.

        Args:
            run_ids: The runs.
            there: Runs that may be waited for already.
        """
        waiting, placed = list(run_ids), set(there)
        while waiting:
            closed = {key for key, runs in self.left.items() if not placed.issuperset(runs)}
            ready = [run_id for run_id in waiting if closed.isdisjoint(self.keys.get(run_id, ()))]
            if not ready:
                return
            yield ready
            placed.update(ready)
            own = set(ready)
            waiting = [run_id for run_id in waiting if run_id not in own]

    def dependencies(self, keys: Iterable[Key], spots: Mapping[str, QueuePosition]) -> tuple[str, ...]:
        """Return what must end well before runs with these keys begin.

        Args:
            keys: What they wait for.
            spots: Where the runs before them stand.
        """
        found: dict[str, dict[str, QueuePosition]] = {}
        for run_id in (run_id for key in keys for run_id in self.left[key]):
            found.setdefault(spots[run_id].array, {})[run_id] = spots[run_id]
        ties: list[str] = []
        for array, inside in found.items():
            one = next(iter(inside.values()))
            whole = len(inside) == one.size or len(inside) > _MOST_TASKS
            ties += [array] if whole else [spot.dependency for spot in inside.values()]
        return tuple(ties)


def find_requirements(run_ids: Iterable[str], before: DependencyGraph, state: Callable[[str], State]) -> Requirements:
    """Return what runs wait for.

    Args:
        run_ids: The runs.
        before: Which come before which.
        state: Returns where a run stands.
    """
    keys: dict[str, tuple[Key, ...]] = {}
    left: dict[Key, tuple[str, ...]] = {}
    for run_id in run_ids:
        own = before.requirements(run_id)
        for key in own:
            if key not in left:
                left[key] = tuple(other for other in before.providers(key) if state(other) is not State.SUCCEEDED)
        if still := tuple(key for key in own if left[key]):
            keys[run_id] = still
    return Requirements(keys=keys, left={key: runs for key, runs in left.items() if runs})


def find_positions(arrays: Sequence[Array], listing: QueueSnapshot) -> dict[str, QueuePosition]:
    """Return where runs stand in the queue.

    Args:
        arrays: The sweep's arrays that are there.
        listing: The queue.
    """
    named = {array.record.name: array.record for array in arrays}
    spots: dict[str, QueuePosition] = {}
    for row in listing.rows:
        if (record := named.get(row.name)) is None:
            continue
        tasks = record.tasks
        for index in (index for index in row.tasks if index < len(tasks)):
            spots[tasks[index].run_id] = QueuePosition(array=record.uuid, index=index, size=len(tasks))
    return spots


def pending_indices(array: Array, listing: QueueSnapshot) -> list[int]:
    """Return the tasks of an array that wait in the queue."""
    rows = [row for row in listing.rows if row.name == array.record.name and not row.runs]
    return [index for row in rows for index in row.tasks if index < len(array.record.tasks)]


def pending_tasks(array: Array, listing: QueueSnapshot) -> list[str]:
    """Return the runs of an array that wait in the queue."""
    return [array.record.tasks[index].run_id for index in pending_indices(array, listing)]


def is_tied_to_jobs(
    record: ArrayRecord, pending: Sequence[str], needs: Requirements, spots: Mapping[str, QueuePosition]
) -> bool:
    """Say whether an array waits for all that the runs in it wait for, where that stands in the queue now.

    Args:
        record: The array.
        pending: The runs of it that have not begun.
        needs: What they wait for.
        spots: Where runs stand.
    """
    keys = {key for run_id in pending for key in needs.keys.get(run_id, ())}
    own = [spots.get(run_id) for key in keys for run_id in needs.left[key]]
    ties = set(record.waits)
    return all(spot is not None and (spot.array in ties or spot.dependency in ties) for spot in own)


def may_still_succeed(
    tie: str, record: ArrayRecord, spots: Mapping[str, QueuePosition], state: Callable[[str], State]
) -> bool:
    """Say whether what a tie waits for has ended well, or can still.

    Args:
        tie: The tie.
        record: Its array.
        spots: Where runs stand.
        state: Returns where a run stands.
    """
    _, _, index = tie.partition("_")
    for task in [record.tasks[int(index)]] if index else record.tasks:
        spot = spots.get(task.run_id)
        if (spot is None or spot.array != record.uuid) and state(task.run_id) is not State.SUCCEEDED:
            return False
    return True
