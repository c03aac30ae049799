"""Build the job arrays for sbatch: tasks of equal resources, split at the cluster's limits. Pure."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from launch.backends.slurm.arrays import (
    EARLY_S,
    ArrayRecord,
    ArrayTask,
    array_path,
    arrays_folder,
    job_name,
    task_log,
)
from launch.backends.slurm.batch_script import command_lines, setup_lines
from launch.backends.slurm.executor import ScriptExecutor
from launch.backends.slurm.job_dependencies import QueuePosition, name_jobs
from launch.backends.slurm.throttle import Share, share_limit
from launch.profiles.profile import Profile
from launch.profiles.slurm import SlurmSettings
from launch.self_command import isolated_command
from launch.specs.resources import Resources
from launch.store.dependencies import OpenRequirements, Requirement
from launch.supervise.arguments import PYTHON_VARIABLE
from s5.run_dir.result import CWD_VARIABLE

TASK_MODULE = "launch.backends.slurm.task"  # what a batch script executes

# The size limit of an array: each task reads the complete record, which takes some milliseconds at this size.
_MOST_TASKS = 10_000
# With more different requirements than this, arrays of equal resources are merged and wait for all requirements.
_MOST_WAITS = 32
# The largest part of its time limit that a run is given to stop.
_MOST_DELAY = 0.25


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of a cluster."""

    array_tasks: int = 1001  # tasks of one array
    submit: int | None = None  # tasks of this user in the queue; None if no limit is known
    accounts: bool = False  # whether it has an accounting database
    job_table: int | None = None  # jobs of all users that the controller remembers (`MaxJobCount`)
    job_age_s: int | None = None  # how long it remembers a job that has ended (`MinJobAge`)
    requeue_exits: tuple[int, ...] = ()  # exit codes after which it starts a job again by itself


@dataclass(frozen=True, kw_only=True)
class SubmissionInput:
    """The runs of a submission, and everything that their arrays depend on.

    Attributes:
        sweep: Name of the sweep.
        folder: The sweep's folder.
        generation: The manifest generation.
        tasks: The runs with their resources, in the order in which they start.
        max_parallel: How many runs of the sweep may execute at once; None for no limit.
        shares: The shares of `max_parallel` that arrays in the queue already have.
        exclude: Nodes to exclude.
        predecessor_jobs: Jobs of other sweeps that must succeed first.
        unmet: The unmet requirements of the runs.
        positions: The positions of the runs that are in the queue already, by run id.
        blocks: Run id to the names of the blocks that contain the run and that other runs wait for.
        cwd: The folder in which the user typed the command.
        now: The time, in seconds since the epoch.
        home: The folder with the code of the supervisors; None for the folder of this launcher's code.
        cluster: The cluster, for the arrays' records; see `ArrayRecord`.
        user: The user, for the arrays' records.
    """

    sweep: str
    folder: str
    generation: int
    tasks: Sequence[tuple[ArrayTask, Resources]]
    max_parallel: int | None = None
    shares: Sequence[Share] = ()
    exclude: Sequence[str] = ()
    predecessor_jobs: Sequence[str] = ()
    unmet: OpenRequirements = field(default_factory=OpenRequirements)
    positions: Mapping[str, QueuePosition] = field(default_factory=dict[str, QueuePosition])
    blocks: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    cwd: str = "/"
    now: float = 0.0
    home: str | None = None
    cluster: str | None = None
    user: str | None = None


@dataclass(frozen=True, kw_only=True)
class SubmitRequest:
    """One array that is to be submitted.

    Attributes:
        record: The record that is written before the array is submitted.
        script: The batch script.
        command: The command line that submits the array held, without its dependencies.
        follows: The arrays that must end before it begins, by uuid or job number.
        predecessor_jobs: Jobs of other sweeps that must succeed first; the record names the arrays of its own sweep.
    """

    record: ArrayRecord
    script: str
    command: tuple[str, ...]
    follows: tuple[str, ...] = ()
    predecessor_jobs: tuple[str, ...] = ()

    def words(self, jobs: Mapping[str, str]) -> list[str]:
        """Return the command line with the option for the array's dependencies.

        Args:
            jobs: The job of every array of the sweep that is in the queue, by uuid.
        """
        names = [name.partition("_") for name in self.record.waits]
        own = [f"{jobs.get(array, array)}{mark}{index}" for array, mark, index in names]
        waits = [f"afterok:{job}" for job in (*self.predecessor_jobs, *own)]
        waits += [f"afterany:{jobs.get(array, array)}" for array in self.follows]
        first, *rest = self.command
        return [first, *([f"--dependency={','.join(waits)}"] if waits else []), *rest]


def build_requests(
    want: SubmissionInput, profile: Profile, limits: Limits, make_uuid: Callable[[], str]
) -> tuple[SubmitRequest, ...]:
    """Return the arrays to submit, in order. Pure except for `make_uuid`, which returns 16 unique hex digits."""
    # An array is submitted after those that it follows: first those that can begin.
    arrays = sorted(_arrays(want, profile, limits, make_uuid), key=lambda array: bool(array.waits))
    parts = [Share(array=array.uuid, tasks=len(array.tasks), waits=bool(array.waits)) for array in arrays]
    shares = share_limit(want.max_parallel, want.shares, parts)
    executor = ScriptExecutor(Path(arrays_folder(want.folder)))
    requests: list[SubmitRequest] = []
    for share, array in zip(shares, arrays, strict=True):
        record = replace(array, throttle=share.throttle)
        # `exec` replaces the shell. The supervisor uses the host's Python, even if the run has a container.
        command = isolated_command(TASK_MODULE, [array_path(want.folder, record.uuid)], want.home)
        script = executor.text(command_lines(command), _parameters(want, record, profile))
        words = executor.command(Path(array_path(want.folder, record.uuid, "sh")))
        request = SubmitRequest(
            record=record,
            script=script,
            command=(words[0], "--hold", *words[1:]),
            follows=share.follows,
            predecessor_jobs=tuple(want.predecessor_jobs),
        )
        requests.append(request)
    return tuple(requests)


def _arrays(
    want: SubmissionInput, profile: Profile, limits: Limits, make_uuid: Callable[[], str]
) -> Iterator[ArrayRecord]:
    """Yield the arrays in the order of their dependencies. A run is left out if a predecessor is not in the queue."""
    known = {task.run_id: (task, resources) for task, resources in want.tasks}
    positions = dict(want.positions)
    most = min(limits.array_tasks, _MOST_TASKS)
    for level in list(want.unmet.levels(known, positions)):
        for resources, requirements, tasks in _groups([known[run_id] for run_id in level], want):
            waits = name_jobs((run_id for one in requirements for run_id in want.unmet.left[one]), positions)
            for start in range(0, len(tasks), most):
                own, uuid = tuple(tasks[start : start + most]), make_uuid()
                yield ArrayRecord(
                    uuid=uuid,
                    name=job_name(want.sweep, uuid),
                    generation=want.generation,
                    profile=profile.name,
                    resources=resources,
                    tasks=own,
                    throttle=None,
                    signal_delay_s=signal_delay(profile.site, resources),
                    created=want.now,
                    poll_s=profile.site.poll_interval_s,
                    requeue=profile.site.requeue,
                    feeds=profile.site.sbatch_from_nodes,
                    accounts=limits.accounts,
                    waits=waits,
                    cluster=want.cluster,
                    user=want.user,
                    requeue_exits=limits.requeue_exits,
                )
                for index, task in enumerate(own):
                    positions[task.run_id] = QueuePosition(array=uuid, index=index, size=len(own))


def _groups(
    tasks: Sequence[tuple[ArrayTask, Resources]], want: SubmissionInput
) -> Iterator[tuple[Resources, tuple[Requirement, ...], list[ArrayTask]]]:
    """Yield groups of tasks that can share an array: their resources, requirements and blocks are equal.

    A block that other runs wait for gets arrays of its own. So a run that waits for the block needs one `afterok` for
    each of these arrays, not one for each run. With more than `_MOST_WAITS` combinations of resources and
    requirements, runs of equal resources share arrays, and wait for the requirements of all of them.
    """
    unmet = want.unmet.of
    if len({(resources, unmet[task.run_id]) for task, resources in tasks if task.run_id in unmet}) > _MOST_WAITS:
        together: dict[Resources, dict[Requirement, None]] = {}
        for task, resources in tasks:
            together.setdefault(resources, {}).update(dict.fromkeys(unmet.get(task.run_id, ())))
        unmet = {task.run_id: tuple(together[resources]) for task, resources in tasks if task.run_id in unmet}
    groups: dict[tuple[Resources, tuple[Requirement, ...], tuple[str, ...]], list[ArrayTask]] = {}
    for task, resources in tasks:
        kind = (resources, unmet.get(task.run_id, ()), want.blocks.get(task.run_id, ()))
        groups.setdefault(kind, []).append(task)
    yield from ((resources, requirements, own) for (resources, requirements, _), own in groups.items())


def signal_delay(site: SlurmSettings, resources: Resources) -> float:
    """Return how many seconds before its time limit a run is asked to stop: at most a quarter of the limit."""
    if resources.timeout_min is None:
        return site.signal_delay_s
    return min(site.signal_delay_s, _MOST_DELAY * 60 * resources.timeout_min)


def _parameters(want: SubmissionInput, record: ArrayRecord, profile: Profile) -> dict[str, Any]:
    """Return an array's options by submitit's parameter names."""
    site, resources = profile.site, record.resources
    variables = {CWD_VARIABLE: want.cwd, PYTHON_VARIABLE: site.python, **profile.variables}
    exports = [f"export {key}={shlex.quote(value)}" for key, value in variables.items() if value is not None]
    named = ("partition", "account", "qos", "constraint", "nodelist", "mail_type", "mail_user", "comment")
    parameters: dict[str, Any] = {key: value for key in named if (value := getattr(site, key)) is not None}
    parameters |= {
        "job_name": record.name,
        "nodes": resources.nodes,
        "tasks_per_node": resources.tasks_per_node,
        "cpus_per_task": resources.cpus_per_task,
        "timeout_min": None if resources.timeout_min is None else math.ceil(resources.timeout_min),
        "wckey": site.wckey,  # submitit would send its own key, which a cluster that checks keys refuses
        "setup": [*exports, *_setup(want, record, site)],  # every run has these variables
        "stderr_to_stdout": True,
        "use_srun": False,
        "additional_parameters": _additional(want, record, site),
    }
    if resources.mem_gb is not None:
        parameters["mem_gb"] = resources.mem_gb
    excluded = [*([site.exclude] if site.exclude else []), *want.exclude]
    if excluded:
        parameters["exclude"] = ",".join(excluded)
    if resources.gpus_per_node and site.gpu_directive != "none":
        kind = f"{site.gpu_type}:" if site.gpu_type else ""
        if site.gpu_directive == "gres":
            parameters["gres"] = f"gpu:{kind}{resources.gpus_per_node}"
        else:
            parameters["gpus_per_node"] = f"{kind}{resources.gpus_per_node}"
    return parameters


def _setup(want: SubmissionInput, record: ArrayRecord, site: SlurmSettings) -> list[str]:
    """Return the shell lines before the command."""
    before, after = (shlex.quote(part) for part in task_log(want.folder, record.uuid, "\n").split("\n"))
    log = f"{before}$SLURM_ARRAY_TASK_ID{after}"
    limit_min = record.resources.timeout_min
    limit_s = None if limit_min is None else 60 * limit_min - record.signal_delay_s - EARLY_S
    return setup_lines(site.setup, log, limit_s, record.requeue_exits)


def _additional(want: SubmissionInput, record: ArrayRecord, site: SlurmSettings) -> dict[str, Any]:
    """Return the options that submitit has no parameter for, or would set differently."""
    last = len(record.tasks) - 1
    log = task_log(want.folder.replace("%", "%%"), record.uuid, "%a")
    options: dict[str, Any] = {
        "array": f"0-{last}" + (f"%{record.throttle}" if record.throttle else ""),
        "output": log,
        # Without `B:` the signal would reach job steps only, and this job has no steps.
        "signal": f"B:USR2@{math.ceil(record.signal_delay_s)}" if site.signal else None,
        "requeue": True,
    }
    for key in ("reservation", "licenses"):
        options[key] = getattr(site, key)
    if want.predecessor_jobs or record.waits:
        options["kill-on-invalid-dep"] = "yes"  # else the job would wait for ever for a job that has failed
    said = {key: value for key, value in options.items() if value is not None or key == "signal"}
    return {**site.additional, **said}
