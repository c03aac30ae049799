"""Connect to the Docker engine of this machine, and explain why a connection fails."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from launch.containers.runtimes.docker_host import HOST_VARIABLE, docker_host
from launch.errors import BackendError

if TYPE_CHECKING:
    from docker import DockerClient

# The errors of docker-py and of the docker command line.
_DENIED = ("permission denied", "permissionerror", "errno 13")
_SILENT = ("no such file", "refused", "filenotfound", "cannot connect")


def connect() -> DockerClient:
    """Return a client of the same engine that docker's own command line uses.

    Raises:
        BackendError: If the engine does not answer, or refuses this user.
    """
    try:
        from docker import from_env
    except ImportError as error:
        raise BackendError("the Python package docker is missing", hint="pip install docker") from error
    with answering():
        return from_env()  # it fails if no engine answers, as it asks for the engine's version


@contextmanager
def answering() -> Generator[None]:
    """Turn an error in the `with` block into a BackendError that says why the engine does not answer."""
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    try:
        yield
    except (DockerException, RequestException, OSError) as error:
        raise unreachable(str(error)) from error


def unreachable(said: str) -> BackendError:
    """Return the error for a Docker engine that cannot be used, by the error message of its client."""
    where = docker_host(os.environ)
    if any(word in said.lower() for word in _DENIED):
        return BackendError(
            f"you may not use the Docker engine at {where}: permission denied",
            hint="ask to be added to the group `docker`, or use a runtime without an engine: podman, apptainer",
        )
    if any(word in said.lower() for word in _SILENT):
        return BackendError(
            f"no Docker engine answers at {where}",
            hint=f"start it (`systemctl start docker`), name another with {HOST_VARIABLE}, or use Podman "
            "if it is installed: `--runtime podman`, and `--builder podman` for images",
        )
    return BackendError(f"the Docker engine at {where} cannot be used: {said}", hint=f"see {HOST_VARIABLE}")


def user_of(client: Any) -> str:
    """Return the `uid:gid` in a container whose files belong to this user: 0:0 if the engine runs without root."""
    uid, gid = os.getuid(), os.getgid()
    if uid != 0:
        options: list[Any] = client.info().get("SecurityOptions") or []
        if any("name=rootless" in str(option) for option in options):
            return "0:0"
    return f"{uid}:{gid}"
