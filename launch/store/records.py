"""The typed records that are stored in run directories.

A record is a frozen dataclass of plain values. `version` is the version of its format; a reader raises if it does not
know the version. `launch.store.record_json` converts records to JSON and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from launch.specs.choices import BackendName, RuntimeName
from launch.specs.container import ContainerSettings
from launch.specs.gpu import Gpu
from launch.specs.image import Image
from launch.specs.mount import Mount
from launch.specs.resources import Resources
from launch.store.state import Reason

FORMAT_VERSION = 1
OMIT_NONE = "omit_none"  # the key in a field's metadata if the field is not written while it is None
JSON_NAME = "json"  # the key in a field's metadata for its name on disk, if that differs


@dataclass(frozen=True, kw_only=True)
class PublishedNumber:
    """A number that a paper printed for one row of a sweep's table.

    Attributes:
        experiment: The experiment of the row.
        settings: The settings of the row; empty for every row of the experiment.
        metric: The name of the metric, such as `test/accuracy`.
        value: The number, in the unit of the metric: accuracies are fractions.
        std: The standard deviation, if the paper prints one.
        source: The paper and its table.
    """

    experiment: str
    settings: dict[str, Any] = field(default_factory=dict)
    metric: str
    value: float
    std: float | None = None
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """`run.json`: the identity of a run, and where the files of its command lie. Immutable.

    Attributes:
        run_id: `<experiment>-<slug>-s<seed>-<hash8>`.
        experiment: The training recipe.
        overrides: Hydra overrides besides experiment and seed, in order; later overrides win.
        settings: The settings that distinguish the run inside its sweep: varied key to value.
        seed: The seed.
        science_version: Version of the list of keys that change the results.
        science_hash: SHA-256 over the canonical JSON of these keys and their values, 64 hex digits.
        command: The command line; None for `python -m s5 train RUN_DIR`.
        parameters: The values, by dotted name, that the command names as `{name}`; None for a run of a recipe, whose
            command is executed as it is.
        folders: The folder in which the user first submitted the run, which is `{cwd}`, and the sweep file's; None for
            a training, and for a command that an older version stored.
        files: The full paths of the files that words of the command named then, by word; None as for `folders`.
        version: Format version.
    """

    run_id: str
    experiment: str
    overrides: tuple[str, ...]
    settings: dict[str, Any]
    seed: int
    science_version: int
    science_hash: str
    command: tuple[str, ...] | None = None
    parameters: dict[str, Any] | None = field(default=None, metadata={OMIT_NONE: True})
    folders: tuple[str, ...] | None = field(default=None, metadata={OMIT_NONE: True})
    files: dict[str, str] | None = field(default=None, metadata={OMIT_NONE: True})
    version: int = FORMAT_VERSION


@dataclass(frozen=True, kw_only=True)
class ManifestEntry:
    """One run in a manifest generation. Its resources are stored here, since they are not a part of its identity.

    Attributes:
        run_id: The id of the run.
        experiment: Its recipe, repeated here so that `status` reads one file for a sweep.
        settings: The settings that distinguish it inside its sweep, and the name of its block, if the block has a name.
        seed: The seed.
        resources: The resources that an attempt asks for.
        provides: The labels of this run that other runs require; `gives` on disk.
        requires: The labels whose runs must succeed before this run starts; `after` on disk.
    """

    run_id: str
    experiment: str
    settings: dict[str, Any]
    seed: int
    resources: Resources
    provides: tuple[str, ...] = field(default=(), metadata={JSON_NAME: "gives"})
    requires: tuple[str, ...] = field(default=(), metadata={JSON_NAME: "after"})


class Trigger(StrEnum):
    """Why a generation was added."""

    SUBMIT = "submit"  # the sweep was submitted
    RETRY = "retry"  # the user asked to try its runs again
    REMOVE = "remove"  # the user deleted its runs: no generation lists them any more, until a later one does


@dataclass(frozen=True, kw_only=True)
class ManifestHeader:
    """The first line of a manifest generation `runs/<sweep>/manifest/NNNN.jsonl`.

    Attributes:
        sweep: Name of the sweep.
        generation: Its number, from 1.
        why: Why the generation was added.
        file: The sweep file as the user named it; None for `launch run`.
        folder: The folder in which the user typed that name; None if an older version wrote the manifest.
        backend: The backend that schedules its runs.
        profile: Name of the profile.
        runtime: The program that wraps the command, such as `docker`, or `bare`.
        snapshot: Hash of the code: the name of its folder under `runs/.snapshots`.
        metric: The metric of the results table.
        retry: How often a run is tried again, for each reason why an attempt ended.
        published: Numbers that papers printed for the rows of the table.
        created: When it was added, seconds since the epoch.
        max_parallel: How many runs of the sweep may run at once; None for as many as fit.
        after: Sweeps whose runs must all have succeeded before a run of this one starts.
        image: The image that runs execute in; None under `bare`.
        mounts: The folders of the host that the runs see besides their own folders and the snapshot.
        container: The settings for the containers of an engine.
        complete: Whether it lists every run of the file; False after `--only`.
        commit: The git commit of the code, with `-dirty` if files differ from it; None without git.
        configurations: Of a removal, hashes of the configurations that the sweep as last submitted still has, although
            the removed runs listed them; None in any other generation, and in a removal by an older version.
        words: What was submitted, as words after `launch sweep FILE` or `launch run`: overrides and options, without
            `--on` and `--runs`; None if an older version wrote the manifest.
        version: Format version.
    """

    sweep: str
    generation: int
    why: Trigger
    file: str | None
    backend: BackendName
    profile: str
    runtime: RuntimeName
    snapshot: str | None
    metric: str
    retry: dict[str, int]
    published: tuple[PublishedNumber, ...]
    created: float
    max_parallel: int | None = None
    after: tuple[str, ...] = ()
    image: Image | None = None
    mounts: tuple[Mount, ...] = ()
    container: ContainerSettings = field(default_factory=ContainerSettings)
    complete: bool = True
    commit: str | None = None
    configurations: tuple[str, ...] | None = field(default=None, metadata={OMIT_NONE: True})
    folder: str | None = None
    words: tuple[str, ...] | None = field(default=None, metadata={OMIT_NONE: True})
    version: int = FORMAT_VERSION


@dataclass(frozen=True, kw_only=True)
class AttemptRecord:
    """`attempt.json`: one execution of a run. Written when the attempt starts, replaced once when it ends.

    Attributes:
        attempt: Its number, from 0.
        generation: The manifest generation that it was started for.
        backend: The backend that scheduled it.
        profile: Name of the profile.
        runtime: The program that wraps the command, such as `docker`, or `bare`.
        image: The image that it executed in; None under `bare`.
        engine: The address of the container engine; None for a runtime without one.
        snapshot: Hash of the code that it ran.
        resources: The resources that it was given.
        command: The command line, without secrets.
        threads: Threads that XLA and BLAS were given; None if a GPU does the work.
        devices: The numbers of the GPUs or cores of its slot; a slice of a GPU has a UUID instead.
        host: Name of the machine.
        boot_id: The id of that machine's boot: after a reboot `pid` means nothing.
        pid: The pid of the supervisor.
        pid_start: The supervisor's start time in clock ticks since boot, to recognize a reused pid.
        job_id: The scheduler's job, such as `12_3` for a task of an array; None under `local`.
        node: The scheduler's name of the machine; None under `local`.
        restarts: How often the scheduler had started the job before.
        started: When it started, seconds since the epoch.
        ended: When it ended, seconds since the epoch; None while it runs.
        reason: Why it ended; None while it runs.
        exit_code: The command's exit code; None if a signal ended it.
        signal: The number of that signal.
        message: One line for the user, such as the last line of a crash.
        retry: Whether the sweep's policy allows the launcher to try the run again by itself.
        config_crc: CRC-32 of the `config.yaml` that it was started with; None if that was not recorded.
        reused_from: For a copy, the `SWEEP/RUN` that was executed; its `generation` is then 0.
        version: Format version.
    """

    attempt: int
    generation: int
    backend: BackendName
    profile: str
    runtime: RuntimeName
    image: Image | None
    snapshot: str | None
    resources: Resources
    command: tuple[str, ...]
    threads: int | None
    devices: tuple[Gpu, ...]
    host: str
    boot_id: str
    pid: int
    pid_start: int
    job_id: str | None
    started: float
    ended: float | None = None
    reason: Reason | None = None
    exit_code: int | None = None
    signal: int | None = None
    message: str | None = None
    retry: bool = False
    node: str | None = None
    restarts: int = 0
    config_crc: int | None = None
    engine: str | None = None
    reused_from: str | None = None
    version: int = FORMAT_VERSION

    @property
    def has_ended(self) -> bool:
        """Whether its supervisor has recorded its end."""
        return self.ended is not None

    @property
    def machine(self) -> str:
        """The machine where it ran: the scheduler's name of it, or without a scheduler the host name."""
        return self.node or self.host


def row_of(experiment: str, settings: Mapping[str, Any]) -> tuple[str, str]:
    """Return a key that is equal for runs of the same row of the results: runs that differ only in their seed."""
    import json  # loaded late: shell completion does not need it and must be fast

    return experiment, json.dumps(settings, sort_keys=True, default=str)
