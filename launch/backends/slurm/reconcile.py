"""Holds what was written down about arrays against the queue: adopts, removes, and says what is over."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from launch.backends.slurm.names import uuid_in
from launch.backends.slurm.send import release
from launch.backends.slurm.throttle import Lane
from launch.disk.files import fault
from launch.scheduler.arrays import Array, live_arrays, mark_over, note_job, over_uuids
from launch.scheduler.client import ClientError, call
from launch.scheduler.listing import Row
from launch.scheduler.queue import Listing


@dataclass(frozen=True, kw_only=True)
class Reconciled:
    """What is left after a submission that may have been interrupted.

    Attributes:
        live: The arrays that are in the queue, each with its job.
        adopted: Jobs that nobody had written down, or released, and that go on now.
        removed: Jobs that were submitted behind somebody's back, and are gone now.
    """

    live: tuple[Array, ...] = ()
    adopted: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def lanes(self) -> list[Lane]:
        """Return the room that the arrays take up."""
        return [Lane(array=array.job or "", throttle=array.record.throttle) for array in self.live]


def reconcile(folder: str, listing: Listing) -> Reconciled:
    """Adopt what an interrupted submission left in the queue, and mark what is there no more.

    Args:
        folder: The sweep's folder.
        listing: The queue, asked after the sweep's own became this process's.

    Raises:
        BackendError: Where Slurm does not answer.
    """
    rows: dict[str, list[Row]] = {}
    for row in listing.rows:
        rows.setdefault(row.name, []).append(row)
    live: list[Array] = []
    adopted: list[str] = []
    for array in live_arrays(folder):
        own = rows.get(array.record.name)
        if own is None:
            mark_over(folder, array.record.uuid)
            fault("array.over")
            continue
        if array.job is None:
            note_job(folder, array.record.uuid, own[0].job)
            fault("array.adopted")
        live.append(replace(array, job=own[0].job))
        # Arrays are released only when all of a submission are in; it died before, and what is in is right.
        adopted += [row.job for row in own if row.is_held]
    _release(adopted)
    removed = _remove(folder, rows)
    return Reconciled(live=tuple(live), adopted=tuple(dict.fromkeys(adopted)), removed=tuple(removed))


def _release(jobs: Sequence[str]) -> None:
    with suppress(ClientError):  # begun since, by somebody else's hand
        release(dict.fromkeys(jobs))


def _remove(folder: str, rows: dict[str, list[Row]]) -> list[str]:
    """Remove arrays that were given up, and turned up in the queue later."""
    given_up = over_uuids(folder)
    jobs = list(dict.fromkeys(row.job for name, own in rows.items() if uuid_in(name) in given_up for row in own))
    if jobs:
        with suppress(ClientError):
            call(["scancel", *jobs])
    return jobs
