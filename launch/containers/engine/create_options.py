"""Translate a container request to docker-py's options, and docker-py's errors to errors for the user."""

from __future__ import annotations

from typing import Any

from launch.containers.runtimes.request import ContainerRequest
from launch.errors import LaunchError


def create_options(api: Any, request: ContainerRequest, user: str) -> dict[str, Any]:
    """Return the arguments of docker-py's `create_container` for a request."""
    from docker.types import DeviceRequest, LogConfig, Mount, Ulimit

    devices = None
    if request.gpu_count:
        which: dict[str, Any] = {"device_ids": list(request.gpus)} if request.gpus else {"count": request.gpu_count}
        devices = [DeviceRequest(capabilities=[["gpu"]], **which)]
    mounts = [Mount(m.target, m.source, type="bind", read_only=not m.writable) for m in request.mounts]
    options: dict[str, Any] = {
        "auto_remove": True,
        "init": True,
        "network_mode": request.network,
        "ipc_mode": request.ipc,
        "mounts": mounts,
        "read_only": True,
        "tmpfs": dict.fromkeys(request.tmpfs, "rw,exec,mode=1777"),
        "cpuset_cpus": ",".join(map(str, request.cores)) or None,
        "device_requests": devices,
        "ulimits": [Ulimit(name=name, soft=limit, hard=limit) for name, limit in request.ulimits.items()],
        "log_config": LogConfig(type="none"),  # the attempt has its own log, and the engine's would fill the disk
    }
    if request.ipc != "host":
        options["shm_size"] = request.shm_bytes
    if request.memory_bytes is not None:
        options |= {"mem_limit": request.memory_bytes, "memswap_limit": request.memory_bytes}
    return {
        "image": request.image,
        "entrypoint": [request.command[0]],  # the image's entry point would take the program as an argument
        "command": list(request.command[1:]),
        "environment": dict(request.environment),
        "working_dir": request.folder,
        "user": user,
        "name": request.name,
        "labels": dict(request.labels),
        "stop_signal": request.stop_signal,
        "stdin_open": True,
        "host_config": api.create_host_config(**options),
    }


def explain(error: Exception, request: ContainerRequest) -> LaunchError:
    """Return a LaunchError, with a hint on what to do, for an error that docker-py raised."""
    if isinstance(error, LaunchError):
        return error
    said = str(getattr(error, "explanation", None) or error)
    if "No such image" in said or "no such image" in said:
        return LaunchError(
            f"the engine has no image {request.image}",
            hint="`launch image build IMAGE` makes it, `launch image pull REPO@sha256:…` fetches it",
        )
    if "could not select device driver" in said or "unknown or invalid runtime name: nvidia" in said:
        return LaunchError(
            f"a run asks for {request.gpu_count} GPUs, and the engine cannot give any: {said}",
            hint="install the NVIDIA Container Toolkit, or run with resources.gpus_per_node=0",
        )
    if "executable file not found" in said or ("no such file or directory" in said and request.command[0] in said):
        return LaunchError(
            f"{request.command[0]} cannot be executed in {request.image}",
            hint="the program of a command must be in the image or under a mount",
        )
    return LaunchError(f"the engine refuses: {said}")
