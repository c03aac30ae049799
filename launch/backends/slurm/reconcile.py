"""Make the records of arrays agree with the queue after an interrupted submission, and update waiting arrays."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from launch.backends.slurm.arrays import (
    Array,
    excluded_nodes,
    finished_uuids,
    live_arrays,
    mark_finished,
    mark_released,
    record_excluded_nodes,
    record_job,
    uuid_in,
)
from launch.backends.slurm.client import ClientError, run_client
from launch.backends.slurm.cluster_identity import own_name
from launch.backends.slurm.job_dependencies import pending_tasks
from launch.backends.slurm.send import release
from launch.backends.slurm.squeue import QueueRow, QueueSnapshot, task_words
from launch.store.files import fault_point


@dataclass(frozen=True, kw_only=True)
class Reconciled:
    """The arrays of a sweep whose records agree with the queue."""

    live: tuple[Array, ...] = ()  # the arrays that are in the queue, each with its job
    adopted: tuple[str, ...] = ()  # jobs of an interrupted submission that were still held and are released now
    removed: tuple[str, ...] = ()  # jobs that were marked as finished but appeared in the queue later; cancelled now
    held: tuple[QueueRow, ...] = ()  # a row of each job that a user or an administrator holds
    hidden: tuple[Array, ...] = ()  # arrays that this queue cannot show: their runs are left alone
    unlaunched: tuple[str, ...] = ()  # jobs that a node could not start; they are released if the user asked


def reconcile(folder: str, listing: QueueSnapshot, *, asked: bool) -> Reconciled:
    """Record and release the jobs that an interrupted submission left in the queue, and mark arrays that are finished.

    Args:
        folder: The sweep's folder.
        listing: The queue, read after this process got the sweep's lock.
        asked: Whether the user asked for it. If not, jobs that a node could not start stay held: each start may take
            another node out of service.

    Raises:
        BackendError: If Slurm does not answer.
    """
    rows: dict[str, list[QueueRow]] = {}
    for row in listing.rows:
        rows.setdefault(row.name, []).append(row)
    live: list[Array] = []
    hidden: list[Array] = []
    adopted: dict[str, str] = {}
    held: list[QueueRow] = []
    unlaunched: dict[str, str] = {}
    for array in live_arrays(folder):
        uuid, own = array.record.uuid, rows.get(array.record.name)
        if listing.hides(array.record):
            hidden.append(array)
            continue
        if own is None:
            mark_finished(folder, uuid)
            fault_point("array.over")
            continue
        job = own[0].job
        if array.job is None:
            record_job(folder, uuid, job)
            fault_point("array.adopted")
        live.append(replace(array, job=job))
        by_person = [row for row in own if row.is_held_by_person]
        if by_person and array.released:
            held.append(by_person[0])
        elif own[0].user == own_name():  # only its user may release it
            _sort_held(folder, array, job, own, adopted, unlaunched)
    with suppress(ClientError):  # a user has released it meanwhile, and it has begun
        release(folder, {**adopted, **(unlaunched if asked else {})})
    removed = _remove(folder, listing.own_rows)
    return Reconciled(
        live=tuple(live),
        adopted=tuple(adopted.values()),
        removed=tuple(removed),
        held=tuple(held),
        hidden=tuple(hidden),
        unlaunched=tuple(unlaunched.values()),
    )


def _sort_held(
    folder: str,
    array: Array,
    job: str,
    rows: Sequence[QueueRow],
    adopted: dict[str, str],
    unlaunched: dict[str, str],
) -> None:
    """Add an array to those that an interrupted submission left held, or that a node could not start, if it is one."""
    uuid = array.record.uuid
    if array.released and any(row.launch_failed for row in rows):
        unlaunched[uuid] = job
    elif any(row.is_held for row in rows):
        # A submission releases its arrays when all are submitted. It was killed before that: release these.
        adopted[uuid] = job
    elif not array.released:  # the launcher was killed after the release, or an older version wrote the array
        mark_released(folder, uuid)


def exclude_failed_nodes(
    folder: str, arrays: Sequence[Array], listing: QueueSnapshot, nodes: Sequence[str], always: str | None
) -> None:
    """Tell Slurm that the waiting tasks of arrays in the queue must avoid nodes on which runs were killed.

    The new list replaces the old one in Slurm, so it also contains `always`, the nodes that the profile excludes.

    Raises:
        BackendError: If Slurm does not answer.
    """
    for array in arrays if nodes else ():
        waiting = list(pending_tasks(array, listing))
        if not waiting or array.job is None or excluded_nodes(folder, array.record.uuid).issuperset(nodes):
            continue
        names = ",".join([*([always] if always else []), *nodes])
        with suppress(ClientError):  # the tasks have begun, or the node has left the cluster
            run_client(["scontrol", "update", f"jobid={task_words(array.job, waiting)}", f"excnodelist={names}"])
        record_excluded_nodes(folder, array.record.uuid, nodes)


def _remove(folder: str, rows: Sequence[QueueRow]) -> list[str]:
    """Cancel arrays that were marked as finished but appeared in the queue later; return their jobs."""
    given_up = finished_uuids(folder)
    jobs = list(dict.fromkeys(row.job for row in rows if uuid_in(row.name) in given_up))
    if jobs:
        with suppress(ClientError):
            run_client(["scancel", *jobs])
    return jobs
