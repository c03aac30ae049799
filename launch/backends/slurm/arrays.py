"""The records of a sweep's job arrays, before and after they are submitted.

    runs/<sweep>/.slurm/UUID.json      what the array executes; written before sbatch, never changed
                        UUID.sh        what sbatch is given
                        UUID.job       the number that Slurm gave it
                        UUID.released  there once it was released: it is submitted held
                        UUID.avoids    nodes that its waiting tasks were kept from later; there if there are any
                        UUID.over      nothing of it is in the queue any more, or ever will be
                        UUID.log       what its batch shells printed: nothing if all is well

A task finds its run by its place in the list. The job's name ends with the uuid, so that an array whose number could
not be recorded any more is found in the queue by its name.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from launch.errors import LaunchError, StoreError
from launch.specs.resources import Resources
from launch.store.files import create_file, fault_point, read_bytes, replace_file, store_errors
from launch.store.record_json import read_record, to_json
from launch.store.records import FORMAT_VERSION

FOLDER = ".slurm"  # in a sweep's folder for its arrays, next to the sweeps for the last answer of squeue
POLL_S = 30.0
_LEFT = "left"
_JOB_NAME = re.compile(r".+\.(?P<uuid>[0-9a-f]{16})")
_SHOWN_CHARS = 60  # of the sweep's name, in what `squeue` and mails show


class ArrayTask(NamedTuple):
    """One task of an array. Stored as a list of these three."""

    run_id: str  # the run it executes
    generation: int  # the manifest generation to take policy from
    retried: int = 0  # the newest generation that lists the run because the user asked to retry; 0 for none


@dataclass(frozen=True, kw_only=True)
class ArrayRecord:
    """`UUID.json`: what an array executes. Immutable.

    Attributes:
        uuid: Its uuid.
        name: The job's name, which ends with the uuid.
        generation: The manifest generation it was submitted for.
        profile: Name of the profile.
        resources: What every task is given; a task that ran out of memory before may get more than its run asks for.
        tasks: In the order of the array's indices, from 0.
        throttle: How many may run at once; None for no limit.
        signal_delay_s: How long before the time limit a task is asked to stop.
        poll_s: How old the launcher's view of the queue may be.
        requeue: Whether a run that goes on does so under the same job.
        feeds: Whether a task that leaves may submit what is left of the sweep.
        accounts: Whether the cluster keeps accounts that know how jobs ended.
        waits: Arrays of the sweep, by uuid, and single tasks of them as `UUID_3`, that must end well before it begins.
        created: Seconds since the epoch.
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
    version: int = FORMAT_VERSION


@dataclass(frozen=True, kw_only=True)
class Array:
    """An array as the disk knows it."""

    record: ArrayRecord  # what it executes
    job: str | None  # the number that Slurm gave it; None if that was not recorded
    released: bool = False  # whether it was released after its submission


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
    """Return a file of an array: `json`, `sh`, `job`, `released`, `avoids`, `over` or `log`."""
    return os.path.join(sweep, FOLDER, f"{uuid}.{kind}")


def write_array(sweep: str, record: ArrayRecord, script: str) -> None:
    """Record an array that is about to be submitted: the script first, so that an array with a record is whole.

    Raises:
        StoreError: If it cannot be written.
    """
    with store_errors(f"make {arrays_folder(sweep)}"):
        os.makedirs(arrays_folder(sweep), exist_ok=True)
    replace_file(array_path(sweep, record.uuid, "sh"), script.encode())
    fault_point("array.scripted")
    plain = to_json(record)
    if not record.waits:
        del plain["waits"]
    create_file(array_path(sweep, record.uuid), (json.dumps(plain, sort_keys=True) + "\n").encode())
    fault_point("array.written")


def record_job(sweep: str, uuid: str, job: str) -> None:
    """Record the number that Slurm gave an array."""
    create_file(array_path(sweep, uuid, "job"), f"{job}\n".encode())
    fault_point("array.numbered")


def mark_released(sweep: str, uuid: str) -> None:
    """Record that an array was released: if it is held later, a person holds it."""
    create_file(array_path(sweep, uuid, "released"), b"")


def mark_finished(sweep: str, uuid: str) -> None:
    """Record that nothing of an array is in the queue, and that anything of it that appears there later must go."""
    create_file(array_path(sweep, uuid, "over"), b"")


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


def finished_uuids(sweep: str) -> frozenset[str]:
    """Return the uuids of the arrays that may have nothing in the queue any more."""
    return frozenset(name[:-5] for name in _names(sweep) if name.endswith(".over"))


def record_excluded_nodes(sweep: str, uuid: str, nodes: Sequence[str]) -> None:
    """Record the nodes that the waiting tasks of an array are kept from."""
    replace_file(array_path(sweep, uuid, "avoids"), (",".join(nodes) + "\n").encode())


def excluded_nodes(sweep: str, uuid: str) -> frozenset[str]:
    """Return the nodes that the waiting tasks of an array were kept from after its submission."""
    try:
        return frozenset(read_bytes(array_path(sweep, uuid, "avoids")).decode().strip().split(","))
    except (OSError, ValueError):
        return frozenset()


def record_left_queue(sweep: str, left: int) -> None:
    """Record whether runs of a sweep wait for room in the queue: a task that leaves it looks here."""
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
        StoreError: If it cannot be read; the message names the file.
    """
    return read_record(ArrayRecord, file)


def find_task(record: ArrayRecord, index: int) -> ArrayTask:
    """Return the task of an index.

    Raises:
        LaunchError: If the array has no such task.
    """
    if 0 <= index < len(record.tasks):
        return record.tasks[index]
    raise LaunchError(f"the array {record.name} has no task {index}")
