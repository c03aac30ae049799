"""Find the program that builds images: docker with BuildKit, or podman."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field

from launch.containers.engine.command_line import refusal
from launch.containers.programs import run_program
from launch.errors import LaunchError
from launch.specs.choices import ENGINES

_ASK_S = 60.0
_PLUGIN_SINCE = 23  # since this version docker can use BuildKit only through its plugin buildx
_NONE = (
    "`apt-get install docker.io`, or podman; on a cluster build elsewhere, then `launch image convert IMAGE --to sif`"
)


@dataclass(frozen=True, kw_only=True)
class Builder:
    """A program that builds images.

    Attributes:
        engine: `docker` or `podman`, the engine that stores the built image.
        words: The command line of a build, before its options.
        variables: Variables to add to the environment of a build.
    """

    engine: str
    words: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def program(self) -> str:
        """The program of the engine, for other commands than a build."""
        return self.words[0]

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the engine's program with these arguments and return the finished process."""
        return _ask(self.program, *words)


def find_builder(wanted: str | None = None) -> Builder:
    """Return the program that can build on this machine: of the engine `wanted`, or of the first installed engine.

    Raises:
        LaunchError: If no engine can build; the message names the missing program.
        BackendError: If the engine does not answer.
    """
    engine = find_engine(wanted)
    if engine == "podman":
        return Builder(engine=engine, words=("podman", "build"))
    builder = _docker()
    answer = builder.ask("version", "--format", "{{.Server.Version}}")
    if answer.returncode:
        raise refusal("docker", answer.stderr)
    return builder


def find_engine(wanted: str | None = None) -> str:
    """Return the engine `wanted`, or the first installed one; raise if there is no such program on the PATH."""
    engine = wanted or next((name for name in ENGINES if shutil.which(name)), None)
    if engine is None:
        raise LaunchError("neither docker nor podman is on the PATH: there is no engine here", hint=_NONE)
    if shutil.which(engine) is None:
        raise LaunchError(f"{engine} is not on the PATH", hint=_NONE)
    return engine


def _docker() -> Builder:
    """Return the first docker on the PATH that can use BuildKit: by the plugin buildx, or directly if it is old."""
    versions: list[str] = []
    for program in _all_on_path("docker"):
        if _ask(program, "buildx", "version").returncode == 0:
            return Builder(engine="docker", words=(program, "buildx", "build", "--load"))
        version = re.search(r"\d+(?:\.\d+)*", _ask(program, "--version").stdout)
        if version and int(version[0].partition(".")[0]) < _PLUGIN_SINCE:
            return Builder(engine="docker", words=(program, "build"), variables={"DOCKER_BUILDKIT": "1"})
        versions.append(version[0] if version else "of an unknown version")
    raise LaunchError(
        f"docker {', '.join(versions)} cannot build this image: its plugin buildx, which speaks BuildKit, is missing",
        hint="install it (docker-buildx-plugin from Docker, docker-buildx from Debian), or use --builder podman",
    )


def _all_on_path(program: str) -> list[str]:
    """Return every executable with this name in the order of the PATH; links to one file count once."""
    found: dict[str, str] = {}
    for folder in os.get_exec_path():
        path = os.path.join(folder, program)
        if os.path.isfile(path) and os.access(
            path, os.X_OK
        ):  # Path.is_file raises in a folder that may not be searched
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def _ask(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        return run_program(words, timeout_s=_ASK_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(words, 1, "", str(error))
