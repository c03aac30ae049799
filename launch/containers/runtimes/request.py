"""The request for a container, the same for Docker and Podman, and its translation to a command line."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from launch.containers.runtimes.base import CommandCall
from launch.containers.runtimes.environment import container_environment
from launch.containers.runtimes.image_file import csv_line
from launch.specs.mount import Mount
from s5.run_dir.result import SUPERVISOR_PIPE_VARIABLE

RUN_LABEL = "launch.run"
ATTEMPT_LABEL = "launch.attempt"
FOLDER_LABEL = "launch.folder"

_GIB = 2**30
# Unused shared memory takes no memory; the engines' own 64 MB are too little for NCCL.
_SHM_GB = 8.0
_NAME_CHARS = 100
_VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, kw_only=True)
class ContainerRequest:
    """A container to start. All fields are plain values, so that the request can be sent to another process.

    Attributes:
        image: The image's id or name in the engine.
        command: The command, which replaces the image's own entry point.
        environment: Every variable besides the image's own.
        mounts: The files and folders of the host that the container sees.
        folder: The working folder of the command.
        user: The command's `uid:gid`.
        name: The container's name.
        labels: The labels by which the container is found.
        network: The container's network.
        ipc: The shared memory that the container uses: `private` or `host`.
        shm_bytes: The size of the private shared memory.
        gpus: The GPUs that the container sees, by number or UUID; empty for any `gpu_count` GPUs.
        gpu_count: The number of GPUs that the container sees.
        cores: The cores that the container may use; empty for all.
        memory_bytes: The most memory that the container may use, without any swap; None for no limit.
        tmpfs: Writable folders in memory; everything else outside the mounts is read-only.
        ulimits: Limits of a process by name, such as `memlock`.
        stop_signal: The signal that asks the command to stop.
    """

    image: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    mounts: tuple[Mount, ...]
    folder: str
    user: str
    name: str
    labels: Mapping[str, str]
    network: str
    ipc: str = "private"
    shm_bytes: int = int(_SHM_GB * _GIB)
    gpus: tuple[str, ...] = ()
    gpu_count: int = 0
    cores: tuple[int, ...] = ()
    memory_bytes: int | None = None
    tmpfs: tuple[str, ...] = ("/tmp",)
    ulimits: Mapping[str, int] = field(default_factory=dict[str, int])
    stop_signal: str = "SIGTERM"


def own_user() -> str:
    """Return the `uid:gid` of this user."""
    return f"{os.getuid()}:{os.getgid()}"


def labels_of(folder: str) -> dict[str, str]:
    """Return the labels of an attempt's container; `folder` is `<sweep>/<run_id>/attempts/K`."""
    sweep, run_id, _, attempt = folder.rsplit(os.sep, 3)
    return {RUN_LABEL: f"{os.path.basename(sweep)}/{run_id}", ATTEMPT_LABEL: attempt, FOLDER_LABEL: folder}


def container_name(labels: Mapping[str, str]) -> str:
    """Return the name of an attempt's container: readable, and different for every attempt."""
    folder = labels.get(FOLDER_LABEL, "")
    run = re.sub(r"[^a-zA-Z0-9_.-]", "-", labels.get(RUN_LABEL, "").rpartition("/")[2])[:_NAME_CHARS]
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]
    return "-".join(["launch", *([run] if run else []), labels.get(ATTEMPT_LABEL, "0"), digest])


def build_request(
    call: CommandCall, surroundings: Mapping[str, str], *, user: str, lifeline: int | None
) -> ContainerRequest:
    """Return the request for a command's container.

    Args:
        call: The command.
        surroundings: The environment of the calling process.
        user: The `uid:gid` that owns the files that the command writes.
        lifeline: The descriptor in the container that closes when the supervisor ends; None without such a descriptor.
    """
    if call.image is None:
        raise ValueError("a container needs an image")
    environment = container_environment(call, surroundings)
    gpus = _gpus(call, surroundings)
    count = call.resources.gpus_per_node
    if count:
        # The engine shows the container only these GPUs, numbered from 0.
        environment.pop(_VISIBLE, None)
        environment["NVIDIA_DRIVER_CAPABILITIES"] = "compute,utility"
    else:
        environment["NVIDIA_VISIBLE_DEVICES"] = "void"  # NVIDIA's own images set it to `all`
    if lifeline is None:
        environment.pop(SUPERVISOR_PIPE_VARIABLE, None)
    else:
        environment[SUPERVISOR_PIPE_VARIABLE] = str(lifeline)
    settings, memory_gb = call.container, call.resources.mem_gb
    several = call.resources.tasks > 1
    return ContainerRequest(
        image=call.image.id or call.image.reference,  # an id always names the same image, a name may move
        command=call.command,
        environment=environment,
        mounts=call.mounts,
        folder=call.folder,
        user=user,
        name=container_name(call.labels),
        labels=call.labels,
        network=settings.network or ("host" if call.needs_network or several else "none"),
        ipc="host" if several else "private",
        shm_bytes=int((settings.shm_gb or _SHM_GB) * _GIB),
        gpus=gpus,
        gpu_count=count,
        cores=call.cores,
        memory_bytes=None if memory_gb is None else math.ceil(memory_gb * _GIB),
        tmpfs=_in_memory(environment.get("HOME"), call.mounts),
        ulimits=settings.ulimits,
    )


def _gpus(call: CommandCall, surroundings: Mapping[str, str]) -> tuple[str, ...]:
    """Return the numbers of a command's GPUs on this machine, which the engine uses too."""
    if not call.resources.gpus_per_node:
        return ()
    if call.gpus:
        return tuple(map(str, call.gpus))
    # If Slurm hides devices, CUDA_VISIBLE_DEVICES numbers the visible ones from 0; SLURM_JOB_GPUS numbers all.
    words = surroundings.get("SLURM_JOB_GPUS") or surroundings.get(_VISIBLE) or ""
    return tuple(word.strip() for word in words.split(",") if word.strip())


def _in_memory(home: str | None, mounts: tuple[Mount, ...]) -> tuple[str, ...]:
    """Return the writable folders in memory, /tmp and the home, unless a mount is there; the image is read-only."""
    wanted = ["/tmp", *([home] if home and os.path.isabs(home) and home != "/" else [])]
    taken = {mount.target for mount in mounts}
    return tuple(folder for folder in dict.fromkeys(wanted) if folder not in taken)


def from_plain(values: dict[str, Any]) -> ContainerRequest:
    """Return the request with these fields, as `dataclasses.asdict` and JSON wrote them."""
    mounts = tuple(Mount(**mount) for mount in values["mounts"])
    lists = ("command", "gpus", "cores", "tmpfs")
    fields: dict[str, Any] = {**values, **{name: tuple(values[name]) for name in lists}, "mounts": mounts}
    return ContainerRequest(**fields)


def run_words(request: ContainerRequest, *, podman: bool) -> list[str]:
    """Return the options, image and command of `docker run`, or of `podman run`, which names GPUs differently."""
    words = ["--rm", f"--name={request.name}", f"--workdir={request.folder}", f"--network={request.network}"]
    words += [f"--label={name}={value}" for name, value in request.labels.items()]
    words += [f"--env={name}={value}" for name, value in request.environment.items()]
    for mount in request.mounts:
        fields = [f"src={mount.source}", f"dst={mount.target}", *([] if mount.writable else ["readonly"])]
        words.append(f"--mount=type=bind,{csv_line(fields)}")
    words += ["--read-only", *(f"--tmpfs={folder}:rw,exec,mode=1777" for folder in request.tmpfs)]
    words += ["--ipc=host"] if request.ipc == "host" else [f"--shm-size={request.shm_bytes}"]
    words += [f"--ulimit={name}={limit}:{limit}" for name, limit in request.ulimits.items()]
    if request.cores:
        words.append(f"--cpuset-cpus={','.join(map(str, request.cores))}")
    if request.memory_bytes is not None:
        words += [f"--memory={request.memory_bytes}", f"--memory-swap={request.memory_bytes}"]
    words += [f"--stop-signal={request.stop_signal}", *_gpu_words(request, podman=podman)]
    program, *rest = request.command
    # An image's own entry point would take the program as an argument. Podman also accepts JSON here, so a name that
    # begins with `[` must be written as JSON.
    entry = f'["{program}"]' if podman and program.startswith("[") else program
    return [*words, f"--entrypoint={entry}", request.image, *rest]


def _gpu_words(request: ContainerRequest, *, podman: bool) -> list[str]:
    if not request.gpu_count:
        return []
    ids = request.gpus or tuple(map(str, range(request.gpu_count)))
    if podman:
        return [f"--device=nvidia.com/gpu={gpu}" for gpu in ids]
    # The value is CSV itself, so the list of devices is quoted.
    return [f'--gpus="device={",".join(request.gpus)}"' if request.gpus else f"--gpus={request.gpu_count}"]
