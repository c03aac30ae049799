"""Ask Slurm how the tasks that left the queue ended: its accounting, and its controller while that remembers them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from launch.backends.slurm.arrays import Array
from launch.backends.slurm.client import run_client
from launch.errors import BackendError

_GOING_ON = ("PENDING", "RUNNING", "REQUEUED", "SUSPENDED", "RESIZING", "COMPLETING", "CONFIGURING")
_SETTING = re.compile(r"(\w+)=(\S+)")


@dataclass(frozen=True)
class JobEnd:
    """How a job ended."""

    state: str  # Slurm's word, such as `FAILED` or `CANCELLED by 0`
    exit_code: str = ""  # the exit code and the signal, such as `127:0`; "" if it is not known
    node: str = ""  # the first node that it ran on


Ends = Mapping[str, JobEnd]  # the job of a task, such as `12_3`, to its end

# The answers about sets of jobs, with their time: `launch watch` would ask every two seconds.
_known: dict[tuple[str, ...], tuple[float, Ends]] = {}


def ask_accounting(arrays: Sequence[Array]) -> Ends:
    """Return how tasks ended, as the accounting database says it.

    One call of `sacct` answers for a sweep. Arrays of a cluster without accounting are missing. The result is empty if
    the accounting database does not answer.
    """
    known = [array for array in arrays if array.record.accounts and array.job is not None]
    if not known:
        return {}
    # Without a start time sacct leaves out jobs that began before midnight.
    since = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(min(array.record.created for array in known) - 60))
    jobs = [array.job for array in known if array.job is not None]
    words = ["sacct", "-n", "-P", "-X", "-D", "-S", since, "-j", ",".join(jobs)]
    words += ["-o", "JobID,State,ExitCode,NodeList"]
    return _ask(("sacct", *jobs), known, lambda: parse_ends(run_client(words)))


def ask_controller(array: Array) -> Ends:
    """Return how the tasks of an array ended, without the tasks that the controller has forgotten (`MinJobAge`)."""
    if array.job is None:
        return {}
    words = ["scontrol", "show", "job", array.job, "-o"]
    return _ask(("scontrol", array.job), [array], lambda: _parse_jobs(run_client(words)))


def parse_ends(text: str) -> dict[str, JobEnd]:
    """Return the newest end of each job in the output of `sacct -n -P -o JobID,State,ExitCode,NodeList`. Pure."""
    rows = (line.strip().split("|") for line in text.splitlines())
    return {job: _end(*rest) for job, *rest in rows if rest and rest[0] and rest[0].split()[0] not in _GOING_ON}


def _end(state: str, exit_code: str = "", nodes: str = "") -> JobEnd:
    match = re.match(r"([^\[,]+)(?:\[(\d+))?", nodes)
    named = "" if match is None or nodes in ("None assigned", "(null)") else match[1] + (match[2] or "")
    return JobEnd(state, exit_code, named)


def _parse_jobs(text: str) -> dict[str, JobEnd]:
    found: dict[str, JobEnd] = {}
    for line in text.splitlines():
        job = dict(_SETTING.findall(line))
        if job.get("JobState") not in (None, *_GOING_ON):
            name = f"{job.get('ArrayJobId')}_{job.get('ArrayTaskId')}"
            found[name] = _end(job["JobState"], job.get("ExitCode", ""), job.get("NodeList", ""))
    return found


def _ask(question: tuple[str, ...], arrays: Sequence[Array], answer: Callable[[], Ends]) -> Ends:
    asked, ends = _known.get(question, (-1.0, {}))
    if asked < 0 or time.monotonic() - asked > min(array.record.poll_s for array in arrays):
        ends = dict[str, JobEnd]()
        with suppress(BackendError):
            ends = answer()
        _known[question] = time.monotonic(), ends
    return ends
