"""Build an image of docker/images.yaml with docker or podman, with this machine's network settings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from launch.containers.images.build_context import LOCK, context_folder, stage
from launch.containers.images.builder import Builder, find_builder
from launch.containers.images.catalog import (
    LABEL,
    REPOSITORY,
    ImageSpec,
    check_reference,
    content_hash,
    file_hash,
    is_pinned,
    recipe_hash,
    tag,
)
from launch.containers.images.engine_images import EngineImage, find_engine_image
from launch.containers.images.package_index import index_secrets
from launch.containers.programs import run_program
from launch.errors import BackendError, LaunchError
from launch.specs.environment import clean_environment

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
_SOURCE = Path(__file__).resolve().parents[3]
_ASK_S = 30.0


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """The options of a build.

    Attributes:
        base: A base image to use instead of the one in images.yaml; None for that one.
        builder: `docker` or `podman`; None for the first that is installed.
        network: `host`, `none`, or `default` for the engine's own network.
        wheels: A folder with all packages, for a build without network; None to download them.
        pip_conf: Settings of pip for the build; None for this machine's.
        ca_bundle: Certificates to trust in the build; None for this machine's.
        cache: Whether to use the layers of earlier builds.
    """

    base: str | None = None
    builder: str | None = None
    network: str = "default"
    wheels: Path | None = None
    pip_conf: Path | None = None
    ca_bundle: Path | None = None
    cache: bool = True


def build(
    spec: ImageSpec, options: BuildOptions, *, source: Path = _SOURCE, say: Callable[[str], None] = lambda _: None
) -> EngineImage:
    """Build an image and return it. The engine writes its progress to stderr.

    Args:
        spec: The image to build.
        options: The options of the build.
        source: The folder whose code is copied into the image.
        say: Called with each line of progress.

    Raises:
        LaunchError: If the image cannot be built.
        BackendError: If the engine does not answer.
    """
    builder = find_builder(options.builder)
    base = check_reference(options.base or spec.base)
    with (
        context_folder(spec.name, keep=options.wheels is None) as context,
        index_secrets(options.pip_conf, options.ca_bundle) as secrets,
    ):
        for notice in stage(spec, source, context, options.wheels):
            say(notice)
        pinned = replace(spec, base=_pin(base, builder, options, say))
        network = _network(builder, options, say)
        words = [
            *build_command(pinned, base, builder, network, secrets if options.wheels is None else {}),
            *(f"--label={name}={value}" for name, value in labels(pinned, source).items()),
            *([] if options.cache else ["--no-cache"]),
            str(context),
        ]
        try:
            ended = subprocess.run(
                words,
                env={**clean_environment(os.environ), **builder.variables},
                stdin=subprocess.DEVNULL,
                stdout=2,
                check=False,
                cwd=context,
            )
        except OSError as error:
            raise LaunchError(f"{builder.program} cannot be executed: {error.strerror}") from error
    if ended.returncode:
        raise LaunchError(
            f"{builder.engine} could not build {spec.name}; its output above says why",
            hint="is it the network? --network host, --pip-conf, --ca-bundle or --wheels: docker/README.md",
        )
    held = find_engine_image(tag(pinned), (builder.engine,))
    if held is None:
        raise BackendError(
            f"{builder.engine} has built {tag(pinned)}, and does not list it", hint="type the command again"
        )
    return held


def build_command(spec: ImageSpec, base: str, builder: Builder, network: str, secrets: Mapping[str, Path]) -> list[str]:
    """Return the command line of a build, without labels and context. It contains no secrets.

    Args:
        spec: The image, with the digest of its base.
        base: The name of the base in the engine.
        builder: The program that builds.
        network: The network of the build's steps.
        secrets: The files to mount while packages are installed, by the names of the secrets.
    """
    # A proxy's address may contain a password, so the command line contains only the variable's name.
    proxies = [f"--build-arg={name}" for name in _PROXIES if os.environ.get(name) and network != "none"]
    return [
        *builder.words,
        *(["--progress=plain"] if builder.engine == "docker" and not sys.stderr.isatty() else []),
        f"--build-arg=BASE_IMAGE={base}",
        f"--build-arg=LOCK={LOCK}",
        *proxies,
        *(f"--secret=id={name},src={path}" for name, path in secrets.items()),
        *([] if network == "default" else [f"--network={network}"]),
        f"--tag={tag(spec)}",
        f"--tag={REPOSITORY}/{spec.name}:latest",
        "--file=docker/Dockerfile",
    ]


def labels(spec: ImageSpec, source: Path) -> dict[str, str]:
    """Return the labels of an image: the standard ones of OCI, and our own."""
    commit = _git(source, "rev-parse", "HEAD")
    changed = _git(source, "status", "--porcelain", "--", "s5", "launch")
    said = {
        "org.opencontainers.image.base.name": spec.base,
        f"{LABEL}name": spec.name,
        f"{LABEL}platform": spec.platform,
        f"{LABEL}content": content_hash(spec),
        f"{LABEL}recipe": recipe_hash(spec),
        f"{LABEL}lock": file_hash(spec.lock),
        f"{LABEL}min-driver": "" if spec.min_driver is None else str(spec.min_driver),
        "org.opencontainers.image.source": _origin(source),
        "org.opencontainers.image.revision": f"{commit}-modified" if commit and changed else commit,
    }
    return {name: value for name, value in said.items() if value}


def _pin(base: str, builder: Builder, options: BuildOptions, say: Callable[[str], None]) -> str:
    """Return a name with the digest or id of the base, which cannot move; pull the base if the engine lacks it."""
    if is_pinned(base):
        return base
    held = find_engine_image(base, (builder.engine,))
    fetches = options.network != "none" and options.wheels is None
    if held is None and fetches:
        say(f"{base}: fetching it")
        subprocess.run([builder.program, "pull", base], stdout=2, check=False)
        held = find_engine_image(base, (builder.engine,))
    if held is None:
        raise LaunchError(
            f"{builder.engine} does not hold the base {base}" + (", and cannot fetch it" if fetches else ""),
            hint=f"`{builder.engine} load -i FILE` brings it from a file; --base names a base that the engine has",
        )
    mine = [name for name in held.digests if _repository(name) == _repository(base)]
    found = mine[0] if mine else held.id
    say(f"{base} is {found}")
    return found


def _repository(name: str) -> str:
    """Return the name of an image without tag and digest, and without the prefixes that Docker leaves out."""
    path = re.sub(r":[^:/]*$", "", name.partition("@")[0])
    return path.removeprefix("docker.io/").removeprefix("library/")


def _network(builder: Builder, options: BuildOptions, say: Callable[[str], None]) -> str:
    if options.wheels is not None:
        return "none"
    if options.network == "default" and builder.engine == "docker":
        answer = builder.ask("network", "inspect", "bridge")
        if answer.returncode and "no such network" in answer.stderr.lower():
            say("this engine has no network of its own: the build uses this machine's")
            return "host"
    return options.network


def _origin(source: Path) -> str:
    """Return the address of the code's git remote, without user name and password; "" without such an address."""
    remote = _git(source, "config", "--get", "remote.origin.url")
    if match := re.fullmatch(r"(https?|ssh)://(?:[^@/]*@)?([^/@]+/.+)", remote):
        return f"{match[1]}://{match[2]}"
    if match := re.fullmatch(r"(?:[^@/:]+@)([^/:@]+):([^/].*)", remote):
        return f"ssh://{match[1]}/{match[2]}"
    return ""  # the remote is a folder of this machine, which is useless elsewhere


def _git(source: Path, *words: str) -> str:
    try:
        done = run_program(["git", "-C", str(source), *words], timeout_s=_ASK_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
