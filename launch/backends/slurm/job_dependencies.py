"""Name the jobs that must end before an array begins, because its runs come after other runs. Pure.

In the record of an array, `UUID_3` is a single run in the queue (the uuid of its array, and its index), and `UUID` all
runs of an array. The options for Slurm are `afterok:12_3` and `afterok:12`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from launch.backends.slurm.arrays import Array
from launch.backends.slurm.squeue import QueueSnapshot

# Slurm limits the dependencies of a job to 128 KiB. With more tasks of one array than this, use the whole array.
_MOST_TASKS = 1000


@dataclass(frozen=True, kw_only=True)
class QueuePosition:
    """The place of a run in the queue: a task of an array."""

    array: str  # the uuid of the array
    index: int  # the index of the task
    size: int  # how many tasks the array has

    @property
    def task(self) -> str:
        """The name of the single run: `UUID_3`."""
        return f"{self.array}_{self.index}"


def find_positions(arrays: Sequence[Array], listing: QueueSnapshot) -> dict[str, QueuePosition]:
    """Return the position of each run that is in the queue, by run id: of two, that of the newest retry."""
    named = {array.record.name: array.record for array in arrays}
    found = [
        (record.tasks[index], QueuePosition(array=record.uuid, index=index, size=len(record.tasks)))
        for row in listing.rows
        if (record := named.get(row.name)) is not None
        for index in row.tasks
        if index < len(record.tasks)
    ]
    return {task.run_id: position for task, position in sorted(found, key=lambda each: each[0].retried)}


def pending_tasks(array: Array, listing: QueueSnapshot) -> dict[int, str]:
    """Return the tasks of an array that wait in the queue: index to run id."""
    rows = [row for row in listing.rows if row.name == array.record.name and not row.runs]
    tasks = array.record.tasks
    return {index: tasks[index].run_id for row in rows for index in row.tasks if index < len(tasks)}


def name_jobs(runs: Iterable[str], positions: Mapping[str, QueuePosition]) -> tuple[str, ...]:
    """Return the names of the arrays and tasks that execute these runs: whole arrays if possible, else single tasks.

    Whole arrays are safer: if task 3 is cancelled before it began, Slurm counts `afterok:12_3` as met.
    """
    by_array: dict[str, dict[str, QueuePosition]] = {}
    for position in (positions[run_id] for run_id in runs):
        by_array.setdefault(position.array, {})[position.task] = position
    names: list[str] = []
    for array, tasks in by_array.items():
        size = next(iter(tasks.values())).size
        names += [array] if len(tasks) == size or len(tasks) > _MOST_TASKS else tasks
    return tuple(names)
