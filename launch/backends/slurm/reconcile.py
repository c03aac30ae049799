"""Holds what was written down about arrays against the queue: adopts, removes, and says what is over."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from launch.backends.slurm.arrays import Array, finished_uuids, live_arrays, mark_finished, record_job
from launch.backends.slurm.client import ClientError, run_client
from launch.backends.slurm.job_names import uuid_in
from launch.backends.slurm.send import release
from launch.backends.slurm.squeue import QueueSnapshot
from launch.backends.slurm.squeue_format import QueueRow
from launch.backends.slurm.throttle import Share, share
from launch.store.files import fault_point


@dataclass(frozen=True, kw_only=True)
class Reconciled:
    """What is left after a submission that may have been interrupted.

    Attributes:
        live: The arrays that are in the queue, each with its job.
        lanes: The room that each of them takes up now.
        adopted: Jobs that nobody had written down, or released, and that go on now.
        removed: Jobs that were submitted behind somebody's back, and are gone now.
    """

    live: tuple[Array, ...] = ()
    shares: tuple[Share, ...] = ()
    adopted: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


def reconcile(folder: str, listing: QueueSnapshot) -> Reconciled:
    """Adopt what an interrupted submission left in the queue, and mark what is there no more.

    Args:
        folder: The sweep's folder.
        listing: The queue, asked after the sweep's own became this process's.

    Raises:
        BackendError: Where Slurm does not answer.
    """
    rows: dict[str, list[QueueRow]] = {}
    for row in listing.rows:
        rows.setdefault(row.name, []).append(row)
    live: list[Array] = []
    adopted: list[str] = []
    for array in live_arrays(folder):
        own = rows.get(array.record.name)
        if own is None:
            mark_finished(folder, array.record.uuid)
            fault_point("array.over")
            continue
        if array.job is None:
            record_job(folder, array.record.uuid, own[0].job)
            fault_point("array.adopted")
        live.append(replace(array, job=own[0].job))
        # Arrays are released only when all of a submission are in; it died before, and what is in is right.
        adopted += [row.job for row in own if row.is_held]
    _release(adopted)
    removed = _remove(folder, rows)
    lanes = tuple(_share(array.job or "", rows[array.record.name]) for array in live)
    return Reconciled(live=tuple(live), shares=lanes, adopted=tuple(dict.fromkeys(adopted)), removed=tuple(removed))


def _share(job: str, rows: Sequence[QueueRow]) -> Share:
    """Return the room that an array takes up: what may run of it at once, or what does where nothing waits."""
    waiting = [row for row in rows if not row.runs]
    if waiting:
        return Share(array=job, throttle=next((row.throttle for row in waiting if row.throttle), None))
    return Share(array=job, throttle=sum(max(1, len(row.tasks)) for row in rows))


def throttle(found: Reconciled, most: int | None, listing: QueueSnapshot) -> tuple[Share, ...]:
    """Change how many tasks of the arrays in the queue may run at once, where the sweep says otherwise now.

    Args:
        found: The arrays.
        most: How many runs of the sweep may execute at once; None for no limit.
        listing: The queue.

    Returns:
        The room that they take up then.
    """
    waiting = {row.job: row for row in listing.rows if not row.runs}
    changeable = [lane for lane in found.shares if lane.array in waiting and waiting[lane.array].reason != "Dependency"]
    others = [lane for lane in found.shares if lane not in changeable]
    wanted = {lane.array: lane for lane in share(most, others, [lane.array for lane in changeable])}
    changed: list[Share] = []
    for lane in changeable:
        limit = wanted[lane.array].throttle
        if limit != lane.throttle and wanted[lane.array].behind is None:
            with suppress(ClientError):  # it has ended since
                run_client(["scontrol", "update", f"jobid={lane.array}", f"arraytaskthrottle={limit or 0}"])
            lane = Share(array=lane.array, throttle=limit)
        changed.append(lane)
    return (*others, *changed)


def _release(jobs: Sequence[str]) -> None:
    with suppress(ClientError):  # begun since, by somebody else's hand
        release(dict.fromkeys(jobs))


def _remove(folder: str, rows: dict[str, list[QueueRow]]) -> list[str]:
    """Remove arrays that were given up, and turned up in the queue later."""
    given_up = finished_uuids(folder)
    jobs = list(dict.fromkeys(row.job for name, own in rows.items() if uuid_in(name) in given_up for row in own))
    if jobs:
        with suppress(ClientError):
            run_client(["scancel", *jobs])
    return jobs
