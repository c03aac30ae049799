"""Read the settings of a Slurm cluster: the keys of a profile with the backend `slurm`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from launch.grammar import looks_secret
from launch.yaml_file import Place, describe

GPU_DIRECTIVES = ("gres", "gpus_per_node", "none")

# The options that the launcher sets itself: runs would not start, stop or resume correctly with other values.
_OWN = (
    *("array", "begin", "dependency", "error", "export", "hold", "input", "job-name", "no-requeue", "open-mode"),
    *("output", "parsable", "requeue", "signal", "test-only", "wrap"),
)
# Options with their own key in a profile: the same option in `additional` would silently win over that key.
_KEYS = {
    **{key: key for key in ("account", "comment", "constraint", "exclude", "licenses", "nodelist", "partition", "qos")},
    **{key: key for key in ("reservation", "wckey")},
    **{"gres": "gpu_directive", "mail-type": "mail_type", "mail-user": "mail_user"},
}
_RESOURCES = {
    "cpus-per-task": "cpus_per_task",
    "gpus-per-node": "gpus_per_node",
    "mem": "mem_gb",
    "nodes": "nodes",
    "ntasks-per-node": "tasks_per_node",
    "time": "timeout_min",
}
_MAIL_TYPES = (
    *("NONE", "ALL", "BEGIN", "END", "FAIL", "REQUEUE", "INVALID_DEPEND", "STAGE_OUT"),
    *("TIME_LIMIT", "TIME_LIMIT_90", "TIME_LIMIT_80", "TIME_LIMIT_50", "ARRAY_TASKS"),
)
_OPTION = re.compile(r"[a-z][a-z0-9-]*")


@dataclass(frozen=True, kw_only=True)
class SlurmSettings:
    """The settings of a Slurm cluster.

    Attributes:
        partition: The partition, or several partitions separated by commas.
        account: The account that pays for the jobs.
        qos: The quality of service.
        constraint: The features that nodes must have.
        reservation: The reservation to run in.
        licenses: The licences that a run needs.
        nodelist: Nodes that a run must get.
        exclude: Nodes that a run must not get.
        gpu_directive: How GPUs are requested: `gres`, `gpus_per_node`, or `none` if the partition implies them.
        gpu_type: The type of GPU, as the site names it.
        mail_type: The events for which Slurm sends mail, such as `FAIL,END`.
        mail_user: The recipients of the mail.
        comment: The comment of the job.
        wckey: The workload characterization key, by which some sites do their accounting.
        additional: Further options of sbatch, without the dashes; `true` for an option without a value.
        setup: Lines of shell to execute before a run, such as `module load …`.
        python: The Python interpreter for training, on the PATH after `setup`; None for the launcher's own.
        signal: Whether Slurm sends a signal before the time limit; otherwise the supervisor measures the time itself.
        signal_delay_s: The number of seconds before the time limit at which a run is asked to stop.
        requeue: Whether an interrupted run resumes under the same job; otherwise a new job is submitted.
        sbatch_from_nodes: Whether a run that ends may submit the remaining runs of its sweep from its node.
        accounting: Whether to use sacctmgr and sacct; None to use them if the cluster has accounting.
        max_submit: The most tasks in the queue at once; None for the cluster's own limit.
        poll_interval_s: The age in seconds after which the launcher reads the queue again.
        exclude_after: The number of runs killed on a node after which runs avoid the node; 0 for never.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    reservation: str | None = None
    licenses: str | None = None
    nodelist: str | None = None
    exclude: str | None = None
    gpu_directive: str = "gres"
    gpu_type: str | None = None
    mail_type: str | None = None
    mail_user: str | None = None
    comment: str | None = None
    wckey: str | None = None
    additional: Mapping[str, Any] = field(default_factory=dict[str, Any])
    setup: tuple[str, ...] = ()
    python: str | None = None
    signal: bool = True
    signal_delay_s: float = 120.0
    requeue: bool = True
    sbatch_from_nodes: bool = False
    accounting: bool | None = None
    max_submit: int | None = None
    poll_interval_s: float = 30.0
    exclude_after: int = 2


SLURM_KEYS = tuple(f.name for f in fields(SlurmSettings))


def read_slurm_settings(values: Mapping[str, Any], place: Place) -> SlurmSettings:
    """Return the settings of a cluster from a profile's keys and values; other keys are ignored.

    Raises:
        FileError: If a value is not valid.
    """
    said: dict[str, Any] = {}
    for key in SLURM_KEYS:
        if values.get(key) is not None:
            said[key] = _READERS.get(key, _name)(values[key], place.key(key))
    return SlurmSettings(**said)


def _name(value: Any, place: Place) -> str:
    """Return one name, such as the name of an account; raise if it is a list of names."""
    word = _word(value, place)
    if re.search(r"[\s,]", word):
        raise place.error(f"{describe(value)} is not one name", "it has neither spaces nor commas")
    return word


def _names(value: Any, place: Place) -> str:
    """Return names separated by commas, from such a text or from a list."""
    items = place.sequence(value) if isinstance(value, list) else _word(value, place).split(",")
    for item in items:
        if re.search(r"\s", name := _word(item, place)):
            raise place.error(f"{describe(name)} is not a name: it has a space", "commas between several, or a list")
    return ",".join(map(str, items))


def _mail_type(value: Any, place: Place) -> str:
    words = _names(value, place).upper().split(",")
    return ",".join(place.choice(word, _MAIL_TYPES, "word", "some of") for word in words)


def _word(value: Any, place: Place) -> str:
    return place.text(str(value) if isinstance(value, int) and not isinstance(value, bool) else value)


def _yes_or_no(value: Any, place: Place) -> bool:
    if not isinstance(value, bool):
        raise place.error(f"{describe(value)} is neither true nor false")
    return value


def _seconds(value: Any, place: Place) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e6:
        raise place.error(f"{describe(value)} is not a number of seconds above 0")
    return float(value)


def _setup(value: Any, place: Place) -> tuple[str, ...]:
    lines = place.sequence(value)
    for number, line in enumerate(lines):
        at = place.item(number)
        if not isinstance(line, str) or "\n" in line or "\0" in line:
            raise at.error(f"{describe(line)} is not one line of shell", "put quotes around it; one line each")
        name = line.removeprefix("export ").partition("=")[0].strip()
        if "=" in line and name.isidentifier() and looks_secret(name):
            raise at.error("looks like a secret; do not store one in a profile", "export it where you log in")
        if line.startswith("#SBATCH"):
            raise at.error("sbatch does not read options after its own", "set it under additional")
    return tuple(lines)


def check_no_resources(values: Mapping[str, Any], place: Place) -> None:
    """Raise if a profile has a resource of the runs, by its name in a sweep file or as an option of sbatch."""
    for name in values:
        word = name.replace("_", "-")
        resource = _RESOURCES.get(word) or (name if name in _RESOURCES.values() else None)
        if resource is not None:
            raise place.key(name).error(*_of_the_runs(resource))


def _of_the_runs(resource: str) -> tuple[str, str]:
    return "this is a resource of the runs", f"set it in the sweep: resources.{resource}"


def _additional(value: Any, place: Place) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, said in place.mapping(value).items():
        at, key = place.key(name), name.replace("_", "-")
        if not _OPTION.fullmatch(key):
            raise at.error("not an option of sbatch", "its long name without the dashes, such as `switches`")
        if key in _OWN:
            raise at.error("the launcher sets this itself", "leave it out")
        if key in _KEYS:
            raise at.error("the profile has a key of its own for this", f"set {_KEYS[key]}")
        if key in _RESOURCES:
            raise at.error(*_of_the_runs(_RESOURCES[key]))
        options[key] = True if said is True else _word(said, at)
    return options


_READERS: dict[str, Callable[[Any, Place], Any]] = {
    "comment": _word,
    "constraint": _word,
    "python": _word,
    "mail_type": _mail_type,
    **dict.fromkeys(("partition", "reservation", "licenses", "nodelist", "exclude", "mail_user"), _names),
    "gpu_directive": lambda value, place: place.choice(value, GPU_DIRECTIVES, "directive"),
    "additional": _additional,
    "setup": _setup,
    "signal": _yes_or_no,
    "signal_delay_s": _seconds,
    "requeue": _yes_or_no,
    "sbatch_from_nodes": _yes_or_no,
    "accounting": _yes_or_no,
    "max_submit": lambda value, place: place.whole(value, 1),
    "poll_interval_s": _seconds,
    "exclude_after": lambda value, place: place.whole(value, 0),
}
