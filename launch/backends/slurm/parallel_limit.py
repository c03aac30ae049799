"""Hold `max_parallel` over all arrays of a sweep in the queue: adapt their throttles and what they follow.

runs/<sweep>/.slurm/limit      the number that the arrays in the queue have; `none` without a limit
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from launch.backends.slurm.arrays import Array, arrays_folder
from launch.backends.slurm.client import ClientError, run_client
from launch.backends.slurm.cluster_identity import own_name
from launch.backends.slurm.job_dependencies import pending_tasks
from launch.backends.slurm.squeue import QueueSnapshot, task_words
from launch.backends.slurm.throttle import Share, share_limit
from launch.store.files import read_bytes, replace_file, store_errors
from launch.store.manifest import Manifest

_LIMIT = "limit"
_NO_LIMIT = "none"
# `scontrol` prints a line for the tasks that it has changed and one for those that have ended or begun, and then fails.
_CHANGED = "No error"
_DONE = (_CHANGED, "already finished", "nvalid job id", "no longer pending")
_FOLLOWS = re.compile(r"afterany:(\d+)(_\*)?")


@dataclass(frozen=True, kw_only=True)
class LimitOutcome:
    """What became of the arrays in the queue."""

    shares: tuple[Share, ...] = ()  # the share of `max_parallel` that each of them has
    words: str | None = None  # what the user should know about a number that has changed


@dataclass(kw_only=True)
class _Waiting:
    """An own array that waits in the queue."""

    share: Share
    tasks: str  # its waiting tasks, as `scontrol` names them
    others: list[str] = field(default_factory=list[str])  # what it waits for besides the arrays that it follows


def apply_limit(
    folder: str, arrays: Sequence[Array], manifest: Manifest, limit: int | None, listing: QueueSnapshot
) -> LimitOutcome:
    """Let the arrays in the queue share `max_parallel`, even if it was another number when they were submitted.

    Args:
        folder: The sweep's folder.
        arrays: The sweep's arrays in the queue, each with its job.
        manifest: The sweep's manifest.
        limit: How many runs of the sweep may execute at once; None for no limit.
        listing: The queue.

    Raises:
        BackendError: If Slurm does not answer.
    """
    before = _recorded(folder, arrays, manifest)
    if limit is None and before is None and all(array.record.throttle is None for array in arrays):
        return LimitOutcome()
    fixed, waiting = _read(arrays, listing, manifest)
    wanted = share_limit(limit, fixed, [one.share for one in waiting])
    refused = list(_update(waiting, wanted))
    _record(folder, limit)
    # An array comes after those that it follows: `share_limit` needs this order.
    shares = (*fixed, *(one.share for one in waiting))
    return LimitOutcome(shares=shares, words=_told(before, limit, arrays, listing, refused))


def _read(arrays: Sequence[Array], listing: QueueSnapshot, manifest: Manifest) -> tuple[list[Share], list[_Waiting]]:
    """Return the shares of arrays that stay as they are, and the arrays that can be changed, ordered for `share_limit`.

    An array without a waiting task stays as it is, and so does one of another user. A waiting task whose run was
    cancelled and retried since needs no share: it ends as soon as it begins.
    """
    jobs = {array.job or "": array for array in arrays}
    pending = {job: list(pending_tasks(array, listing)) for job, array in jobs.items()}
    dependencies = _read_dependencies([job for job, tasks in pending.items() if tasks])
    fixed: list[Share] = []
    waiting: list[_Waiting] = []
    for job, array in sorted(jobs.items(), key=lambda each: int(each[0] or 0)):
        rows = [row for row in listing.rows if row.name == array.record.name]
        running = sum(max(1, len(row.tasks)) for row in rows if row.runs)
        useful = sum(array.record.tasks[index].counts_in(manifest) for index in pending[job])
        words = dependencies.get(job, [])
        named = {word: found[1] for word in words if (found := _FOLLOWS.fullmatch(word)) and found[1] in jobs}
        others = [word for word in words if word not in named]
        share = Share(
            array=job,
            tasks=running + useful,
            running=running,
            waits=bool(others),
            throttle=next((row.throttle for row in rows if not row.runs and row.throttle), None),
            follows=tuple(named.values()),
        )
        if not share.tasks:
            continue
        if useful and array.record.user in (None, own_name()):
            waiting.append(_Waiting(share=share, tasks=task_words(job, pending[job]), others=others))
        else:
            fixed.append(share)
    return fixed, sorted(waiting, key=lambda one: (one.share.waits, not one.share.running))


def _read_dependencies(jobs: Sequence[str]) -> Mapping[str, list[str]]:
    """Return the dependencies of arrays, such as `afterok:12_3`, by job."""
    found: dict[str, list[str]] = {}
    try:
        answer = run_client(["squeue", "-h", "-j", ",".join(jobs), "-o", "%F|%E"]) if jobs else ""
    except ClientError:  # they have ended since
        return found
    for line in answer.splitlines():
        job, _, text = line.strip().partition("|")
        words = [re.sub(r"\(.*\)$", "", word) for word in text.split(",")]
        found.setdefault(job, []).extend(word for word in words if ":" in word and word not in found[job])
    return found


def _update(waiting: Sequence[_Waiting], wanted: Sequence[Share]) -> Iterator[str]:
    """Let Slurm change the arrays, and their shares with it; yield what it refused. What takes away comes first."""
    steps: list[tuple[int, _Waiting, Share]] = []
    for one, want in zip(waiting, wanted, strict=True):
        now = one.share
        if want.throttle != now.throttle:
            steps.append((0 if (want.throttle or now.tasks) < (now.throttle or now.tasks) else 2, one, want))
        if set(want.follows) != set(now.follows):
            steps.append((1 if want.follows else 3, one, want))
    for kind, one, want in sorted(steps, key=lambda step: step[0]):
        if kind in (0, 2):
            change = [f"jobid={want.array}", f"arraytaskthrottle={want.throttle or 0}"]
        else:
            words = [*one.others, *(f"afterany:{job}" for job in want.follows)]
            change = [f"jobid={one.tasks}", f"dependency={','.join(words)}"]
        try:
            run_client(["scontrol", "update", *change])
        except ClientError as error:
            if not all(any(word in line for word in _DONE) for line in error.said.splitlines() if line.strip()):
                yield f"job {want.array} stays as it is ({error.message})"
                continue
            if _CHANGED not in error.said:
                continue
        if kind in (0, 2):
            one.share = replace(one.share, throttle=want.throttle)
        else:
            one.share = replace(one.share, follows=want.follows)


def _told(
    before: int | None, limit: int | None, arrays: Sequence[Array], listing: QueueSnapshot, refused: Sequence[str]
) -> str | None:
    """Return the words about a changed number and the arrays in the queue; None if there is nothing to say."""
    if before == limit or not arrays:
        return "; ".join(refused) or None
    was = "not set" if before is None else f"{before:,}"
    words = f"max_parallel is now {limit:,} (was {was})" if limit else f"max_parallel is no longer set (was {was})"
    names = {array.record.name for array in arrays}
    running = sum(max(1, len(row.tasks)) for row in listing.rows if row.name in names and row.runs)
    if limit is not None and running > limit:
        words += f": {running:,} runs execute, and no other begins before {running - limit + 1:,} of them have ended"
    others = {array.record.user: array.job for array in arrays if array.record.user not in (None, own_name())}
    left = (f"job {job} of {user} keeps its number, since only {user} can change it" for user, job in others.items())
    return "; ".join([words, *left, *refused])


def _recorded(folder: str, arrays: Sequence[Array], manifest: Manifest) -> int | None:
    """Return the number that the arrays in the queue have; None without a limit."""
    with suppress(OSError, ValueError):
        text = read_bytes(os.path.join(arrays_folder(folder), _LIMIT)).decode().strip()
        return None if text == _NO_LIMIT else int(text)
    # An older version submitted them.
    newest = max((array.record.generation for array in arrays), default=0)
    header = manifest.headers.get(newest)
    return None if header is None else header.max_parallel


def _record(folder: str, limit: int | None) -> None:
    with store_errors(f"make {arrays_folder(folder)}"):
        os.makedirs(arrays_folder(folder), exist_ok=True)
    replace_file(os.path.join(arrays_folder(folder), _LIMIT), f"{limit or _NO_LIMIT}\n".encode())
