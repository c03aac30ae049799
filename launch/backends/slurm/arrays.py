"""The records of a sweep's job arrays, before and after they are submitted.

    runs/<sweep>/.slurm/UUID.json      the runs that the array executes; written before sbatch, never changed
                        UUID.sh        the batch script
                        UUID.job       the number of its job in Slurm
                        UUID.released  exists once the array was released: it is submitted held
                        UUID.avoids    nodes that were excluded for its waiting tasks after the submission
                        UUID.over      exists once no task of it is in the queue any more
                        UUID_K.log     the output of the batch shell of task K; if it is empty, it is deleted at the end
                        UUID_K.early.log  the same, of a task that ended without an attempt and has not failed

A task finds its run by its index in the list. The job's name ends with the uuid: if the launcher was killed before it
could record the job's number, it finds the array in the queue by the name.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from launch.errors import LaunchError, StoreError
from launch.specs.resources import Resources
from launch.store.files import create_file, fault_point, read_bytes, replace_file, store_errors
from launch.store.manifest import Manifest
from launch.store.record_json import read_record, to_json
from launch.store.records import FORMAT_VERSION

FOLDER = ".slurm"  # in a sweep's folder for its arrays, next to the sweeps for the last answer of squeue
POLL_S = 30.0
MARK = "launch: "  # begins the lines of the batch script itself in a task's log
EARLY_S = 65.0  # Slurm checks time limits twice a minute, and its signal may come a minute early
_LEFT = "left"
_JOB_NAME = re.compile(r".+\.(?P<uuid>[0-9a-f]{16})")
_SHOWN_CHARS = 60  # how many characters of the sweep's name a job's name contains


class ArrayTask(NamedTuple):
    """One task of an array. Stored as a list of these three values."""

    run_id: str  # the run it executes
    generation: int  # the manifest generation whose retry policy applies
    retried: int = 0  # the newest generation that lists the run because the user asked to retry; 0 for none

    def counts_in(self, manifest: Manifest) -> bool:
        """Return whether the task would still start its run: the user has not asked for a retry since."""
        listed = manifest.listed.get(self.run_id)
        return listed is not None and self.retried >= listed.retried


@dataclass(frozen=True, kw_only=True)
class ArrayRecord:
    """`UUID.json`: the record of an array. Immutable.

    Attributes:
        uuid: The uuid of the array.
        name: The job's name, which ends with the uuid.
        generation: The manifest generation that it was submitted for.
        profile: Name of the profile.
        resources: The resources of every task; after an attempt out of memory this may be more than its run asks for.
        tasks: The tasks in the order of the array's indices, from 0.
        throttle: How many tasks may run at once; None for no limit.
        signal_delay_s: How many seconds before the time limit a task is asked to stop.
        poll_s: How many seconds old the launcher's copy of the queue may be.
        requeue: Whether the next attempt of an interrupted run uses the same job (`scontrol requeue`).
        feeds: Whether a task that ends may submit the runs that are left.
        accounts: Whether the cluster has accounting, which knows how jobs ended.
        waits: The arrays (`UUID`) and single tasks (`UUID_3`) of the sweep that must succeed before this array begins.
        cluster: The cluster that has the array, `lab@ctl1:6817`; None if an older version submitted it.
        user: The name of the user that submitted it; None if an older version did.
        requeue_exits: Exit codes after which the cluster itself starts a job again: a task ends with others.
        created: When the record was written, seconds since the epoch.
    """

    uuid: str
    name: str
    generation: int
    profile: str
    resources: Resources
    tasks: tuple[ArrayTask, ...]
    throttle: int | None
    signal_delay_s: float
    created: float
    poll_s: float = POLL_S
    requeue: bool = True
    feeds: bool = False
    accounts: bool = False
    waits: tuple[str, ...] = ()
    cluster: str | None = None
    user: str | None = None
    requeue_exits: tuple[int, ...] = ()
    version: int = FORMAT_VERSION


@dataclass(frozen=True, kw_only=True)
class Array:
    """An array and what is recorded about its job."""

    record: ArrayRecord  # the record of the array
    job: str | None  # the number of its job; None if it was not recorded
    released: bool = False  # whether it was released after its submission

    @property
    def place(self) -> str:
        """Its job, user and cluster, for messages about an array that cannot be seen from here."""
        return f"job {self.job or '?'} of {self.record.user} on the cluster {self.record.cluster}"


def job_name(sweep: str, uuid: str) -> str:
    """Return the name of an array's job: it ends with the array's uuid, 16 hexadecimal digits."""
    return f"{sweep[:_SHOWN_CHARS]}.{uuid}"


def uuid_in(name: str) -> str | None:
    """Return the uuid in a job's name; None if the job does not belong to this launcher."""
    match = _JOB_NAME.fullmatch(name)
    return match["uuid"] if match else None


def arrays_folder(sweep: str) -> str:
    """Return the folder of a sweep's arrays."""
    return os.path.join(sweep, FOLDER)


def array_path(sweep: str, uuid: str, kind: str = "json") -> str:
    """Return the path of an array's file of a kind: `json`, `sh`, `job`, `released`, `avoids` or `over`."""
    return os.path.join(sweep, FOLDER, f"{uuid}.{kind}")


def task_log(sweep: str, uuid: str, index: int | str, kind: str = "log") -> str:
    """Return the path of the output of a task's batch shell; the kind `early.log` is for a task that left early."""
    return os.path.join(sweep, FOLDER, f"{uuid}_{index}.{kind}")


def write_array(sweep: str, record: ArrayRecord, script: str) -> None:
    """Write the script and the record of an array before it is submitted: the script first, the record last.

    Raises:
        StoreError: If a file cannot be written.
    """
    with store_errors(f"make {arrays_folder(sweep)}"):
        os.makedirs(arrays_folder(sweep), exist_ok=True)
    replace_file(array_path(sweep, record.uuid, "sh"), script.encode())
    fault_point("array.scripted")
    plain = to_json(record)
    for name in ("waits", "requeue_exits"):
        if not plain[name]:
            del plain[name]
    create_file(array_path(sweep, record.uuid), (json.dumps(plain, sort_keys=True) + "\n").encode())
    fault_point("array.written")


def record_job(sweep: str, uuid: str, job: str) -> None:
    """Record the number of an array's job."""
    create_file(array_path(sweep, uuid, "job"), f"{job}\n".encode())
    fault_point("array.numbered")


def mark_released(sweep: str, uuid: str) -> None:
    """Record that the launcher has released an array: if it is held later, a user holds it."""
    create_file(array_path(sweep, uuid, "released"), b"")


def mark_finished(sweep: str, uuid: str) -> None:
    """Record that no task of an array is in the queue; a task that appears there later must be cancelled."""
    create_file(array_path(sweep, uuid, "over"), b"")


def leave_early(sweep: str, uuid: str, index: int) -> None:
    """Rename the log of a task that ends without an attempt, so that it does not count as a failed start."""
    with suppress(OSError):
        os.rename(task_log(sweep, uuid, index), task_log(sweep, uuid, index, "early.log"))


def remove_empty_logs(sweep: str, uuid: str, index: int) -> None:
    """Delete the logs of a task that ends, if they are empty."""
    for path in (task_log(sweep, uuid, index), task_log(sweep, uuid, index, "early.log")):
        with suppress(OSError):
            if not os.stat(path).st_size:
                os.unlink(path)


def live_arrays(sweep: str) -> list[Array]:
    """Return the arrays that may have tasks in the queue, oldest first."""
    names = _names(sweep)
    uuids = [name[:-5] for name in names if name.endswith(".json") and f"{name[:-5]}.over" not in names]
    found: list[Array] = []
    for uuid in uuids:
        with suppress(StoreError):
            record, released = read_array(array_path(sweep, uuid)), f"{uuid}.released" in names
            found.append(Array(record=record, job=_job(sweep, uuid), released=released))
    return sorted(found, key=lambda array: (array.record.created, array.record.uuid))


def users_of(arrays: Iterable[Array]) -> frozenset[str]:
    """Return the names of the users that submitted some arrays, as far as they are recorded."""
    return frozenset(array.record.user for array in arrays if array.record.user is not None)


def finished_uuids(sweep: str) -> frozenset[str]:
    """Return the uuids of the arrays that must not have tasks in the queue any more."""
    return frozenset(name[:-5] for name in _names(sweep) if name.endswith(".over"))


def record_excluded_nodes(sweep: str, uuid: str, nodes: Sequence[str]) -> None:
    """Record the nodes that are excluded for the waiting tasks of an array."""
    replace_file(array_path(sweep, uuid, "avoids"), (",".join(nodes) + "\n").encode())


def excluded_nodes(sweep: str, uuid: str) -> frozenset[str]:
    """Return the nodes that were excluded for the waiting tasks of an array after its submission."""
    try:
        return frozenset(read_bytes(array_path(sweep, uuid, "avoids")).decode().strip().split(","))
    except (OSError, ValueError):
        return frozenset()


def record_left_queue(sweep: str, left: int) -> None:
    """Record how many runs of a sweep wait for room in the queue: a task that ends checks whether there are any."""
    path = os.path.join(arrays_folder(sweep), _LEFT)
    if left:
        replace_file(path, f"{left}\n".encode())
    else:
        with suppress(FileNotFoundError):
            os.unlink(path)


def has_left_queue(sweep: str) -> bool:
    """Return whether runs of a sweep wait for room in the queue."""
    return os.path.exists(os.path.join(arrays_folder(sweep), _LEFT))


def _names(sweep: str) -> frozenset[str]:
    with store_errors(f"read {arrays_folder(sweep)}"):
        try:
            return frozenset(os.listdir(arrays_folder(sweep)))
        except FileNotFoundError:
            return frozenset()


def _job(sweep: str, uuid: str) -> str | None:
    try:
        return read_bytes(array_path(sweep, uuid, "job")).decode().strip() or None
    except (OSError, ValueError):
        return None


def read_array(file: str) -> ArrayRecord:
    """Return the record of an array.

    Raises:
        StoreError: If the record cannot be read; the message names the file.
    """
    return read_record(ArrayRecord, file)


def find_task(record: ArrayRecord, index: int) -> ArrayTask:
    """Return the task with an index.

    Raises:
        LaunchError: If the array has no such task.
    """
    if 0 <= index < len(record.tasks):
        return record.tasks[index]
    raise LaunchError(f"the array {record.name} has no task {index}")
