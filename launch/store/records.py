"""The typed records that are stored in run directories: their fields.

A record is a frozen dataclass of plain values. `version` is the version of its format; a reader refuses one that it
does not know. `launch.store.record_json` turns records into JSON and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from launch.specs.choices import BackendName, RuntimeName
from launch.specs.container import ContainerSettings
from launch.specs.image import Image
from launch.specs.mount import Mount
from launch.specs.resources import Resources
from launch.store.state import Reason

FORMAT_VERSION = 1
JSON_NAME = "json"  # in the metadata of a field: its name on disk, if another


@dataclass(frozen=True, kw_only=True)
class PublishedNumber:
    """A number that a paper printed for one row of a sweep's table.

    Attributes:
        experiment: The experiment whose row it belongs to.
        settings: The settings that pick the row; empty matches every row of the experiment.
        metric: Such as `test/accuracy`.
        value: In the metric's own unit: accuracies are fractions.
        std: Its standard deviation, if the paper gives one.
        source: Paper and table.
    """

    experiment: str
    settings: dict[str, Any] = field(default_factory=dict)
    metric: str
    value: float
    std: float | None = None
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """`run.json`: the identity of a run. Immutable; holds only what changes its numbers.

    Attributes:
        run_id: `<experiment>-<slug>-s<seed>-<hash8>`.
        experiment: The training recipe.
        overrides: Hydra overrides besides experiment and seed, in order; a later one wins.
        settings: What distinguishes the run inside its sweep: varied key to value.
        seed: The seed.
        science_version: Version of the declared scientific subset.
        science_hash: SHA-256 over the canonical JSON of that subset, 64 hex digits.
        command: The command line; None for `python -m s5 train RUN_DIR`.
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
    version: int = FORMAT_VERSION


@dataclass(frozen=True, kw_only=True)
class ManifestEntry:
    """One run of a manifest generation, with its resources, which do not belong to its identity.

    Attributes:
        run_id: Which run.
        experiment: Its recipe, repeated here so that status reads one file for a sweep.
        settings: The settings that distinguish it inside its sweep, and the name of its block, if that has one.
        seed: The seed.
        resources: The resources that an attempt asks for.
        provides: The labels that other runs require and to which it belongs; `gives` on disk.
        requires: The labels whose runs must succeed first; `after` on disk.
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


@dataclass(frozen=True, kw_only=True)
class ManifestHeader:
    """The first line of a manifest generation `runs/<sweep>/manifest/NNNN.jsonl`.

    Attributes:
        sweep: Name of the sweep.
        generation: Its number, from 1.
        why: Why it was added.
        file: The sweep file as the user named it; None for `launch run`.
        backend: Who schedules its runs.
        profile: Name of the profile.
        runtime: What wraps the command.
        snapshot: Content hash of the code, the name of its folder under `runs/.snapshots`.
        metric: The metric of the results table.
        retry: How often a run is tried again, for each reason of an attempt's end.
        published: Numbers of the paper.
        created: Seconds since the epoch.
        max_parallel: How many runs of the sweep may run at once; None for as many as fit.
        after: Sweeps whose runs must all have succeeded before a run of this one starts.
        image: The image that runs execute in; None under `bare`.
        mounts: The folders of the host that they see besides their own and the snapshot.
        container: How an engine sets their containers up.
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
    version: int = FORMAT_VERSION


@dataclass(frozen=True, kw_only=True)
class AttemptRecord:
    """`attempt.json`: one execution of a run. Written when it starts, replaced once when it ends.

    Attributes:
        attempt: Its number, from 0.
        generation: The manifest generation it was started for.
        backend: Who scheduled it.
        profile: Name of the profile.
        runtime: What wraps the command.
        image: The image it executed in; None under `bare`.
        engine: The address of the container engine; None for a runtime without one.
        snapshot: Content hash of the code it ran.
        resources: The resources it was given.
        command: The command line, without secrets.
        threads: Threads that XLA and BLAS were given; None if a GPU does the work.
        devices: The GPU or CPU numbers of its slot.
        host: Name of the machine.
        boot_id: Identity of that machine's boot: after a reboot its pids mean nothing.
        pid: The supervisor.
        pid_start: The supervisor's start time in clock ticks since boot: it tells a reused pid.
        job_id: The scheduler's job, a task of an array as `12_3`; None under `local`.
        node: The name the scheduler knows the machine by; None under `local`.
        restarts: How often the scheduler had started the job before.
        started: Seconds since the epoch.
        ended: Seconds since the epoch; None while it runs.
        reason: Why it ended; None while it runs.
        exit_code: The command's exit code; None if a signal ended it.
        signal: The number of that signal.
        message: One line for the user: the last line of a crash.
        retry: Whether the policy lets the run be tried again without being asked.
        config_crc: CRC-32 of the `config.yaml` it was started with; None if that was not recorded.
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
    devices: tuple[int, ...]
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
    version: int = FORMAT_VERSION

    @property
    def has_ended(self) -> bool:
        """Whether its end was recorded: its supervisor saw it through."""
        return self.ended is not None

    @property
    def machine(self) -> str:
        """Where it ran, by the name that its scheduler knows the machine by, if it has one."""
        return self.node or self.host


def row_of(experiment: str, settings: Mapping[str, Any]) -> tuple[str, str]:
    """Return the key that the runs of one row of the results share: all but their seeds."""
    import json  # not while a shell completes a word

    return experiment, json.dumps(settings, sort_keys=True, default=str)
