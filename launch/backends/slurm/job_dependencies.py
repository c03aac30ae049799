"""Which job arrays wait for which: what sbatch is told about runs that come after others. Pure.

A run in the queue is named by the uuid of its array and its task, `UUID_3`, and all runs of an array by the uuid alone.
Slurm is told `afterok:12_3` and `afterok:12`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from launch.backends.slurm.arrays import Array
from launch.backends.slurm.squeue import QueueSnapshot

# Slurm takes 128 KiB of dependencies for a job. With more tasks of one array than this, the whole array is waited for.
_MOST_TASKS = 1000


@dataclass(frozen=True, kw_only=True)
class QueuePosition:
    """The place of a run in the queue: a task of an array."""

    array: str  # its uuid
    index: int
    size: int  # how many tasks the array has

    @property
    def task(self) -> str:
        """The name of the run alone."""
        return f"{self.array}_{self.index}"


def find_positions(arrays: Sequence[Array], listing: QueueSnapshot) -> dict[str, QueuePosition]:
    """Return where the runs of a sweep's arrays stand in the queue."""
    named = {array.record.name: array.record for array in arrays}
    return {
        record.tasks[index].run_id: QueuePosition(array=record.uuid, index=index, size=len(record.tasks))
        for row in listing.rows
        if (record := named.get(row.name)) is not None
        for index in row.tasks
        if index < len(record.tasks)
    }


def pending_tasks(array: Array, listing: QueueSnapshot) -> dict[int, str]:
    """Return the tasks of an array that wait in the queue, each with its run."""
    rows = [row for row in listing.rows if row.name == array.record.name and not row.runs]
    tasks = array.record.tasks
    return {index: tasks[index].run_id for row in rows for index in row.tasks if index < len(tasks)}


def name_jobs(runs: Iterable[str], positions: Mapping[str, QueuePosition]) -> tuple[str, ...]:
    """Return what must succeed in the queue before these runs have: whole arrays if possible, else single tasks.

    A whole array is safer: if one of its tasks is cancelled before it began, Slurm counts `afterok:12_3` as met.
    """
    by_array: dict[str, dict[str, QueuePosition]] = {}
    for position in (positions[run_id] for run_id in runs):
        by_array.setdefault(position.array, {})[position.task] = position
    names: list[str] = []
    for array, tasks in by_array.items():
        size = next(iter(tasks.values())).size
        names += [array] if len(tasks) == size or len(tasks) > _MOST_TASKS else tasks
    return tuple(names)
