"""Building an image: one command line, made of what images.yaml says and of how this machine reaches the network."""

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
    is_pinned,
    lock_hash,
    recipe_hash,
    tag,
)
from launch.containers.images.engine_images import EngineImage, find_engine_image
from launch.containers.images.package_index import index_secrets
from launch.errors import BackendError, LaunchError

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
_SOURCE = Path(__file__).resolve().parents[3]
_ASK_S = 30.0
_REVISION = "org.opencontainers.image.revision"


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """How an image is to be built.

    Attributes:
        base: What it stands on instead of what images.yaml says.
        builder: `docker` or `podman`; None for the first that is here.
        network: `host`, `none`, or `default` for the engine's own.
        wheels: Where its packages lie; nothing comes from the network then.
        pip_conf: Settings of pip for the build; None for this machine's.
        ca_bundle: Certificates to trust in the build; None for this machine's.
        cache: Whether what earlier builds made may be used.
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
    """Build an image. The engine's own progress goes to stderr as it comes.

    Args:
        spec: The image.
        options: How.
        source: The folder whose code the image gets a copy of.
        say: Told what this adds, a line at a time.

    Returns:
        The image as the engine holds it.

    Raises:
        LaunchError: If it cannot be built.
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
        _run(words, builder, spec)
    held = find_engine_image(tag(pinned), (builder.engine,))
    if held is None:
        raise BackendError(f"{builder.engine} has built {tag(pinned)}, and does not know it", hint="type it again")
    return held


def build_command(spec: ImageSpec, base: str, builder: Builder, network: str, secrets: Mapping[str, Path]) -> list[str]:
    """Return the command line of a build, but for labels and the context. Pure; nothing secret stands in it.

    Args:
        spec: The image, its base by digest.
        base: What its base is called here.
        builder: Who builds.
        network: What its steps may reach.
        secrets: Files to mount while packages are installed.
    """
    # A proxy's address may hold a password: the command line names the variable alone.
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
    """Return what is written on an image: OCI's names, and ours."""
    said = {
        "org.opencontainers.image.base.name": spec.base,
        f"{LABEL}name": spec.name,
        f"{LABEL}platform": spec.platform,
        f"{LABEL}content": content_hash(spec),
        f"{LABEL}recipe": recipe_hash(spec),
        f"{LABEL}lock": lock_hash(spec),
        f"{LABEL}min-driver": "" if spec.min_driver is None else str(spec.min_driver),
        "org.opencontainers.image.source": _origin(source),
        _REVISION: _revision(source),
    }
    return {name: value for name, value in said.items() if value}


def _pin(base: str, builder: Builder, options: BuildOptions, say: Callable[[str], None]) -> str:
    """Return the name of a base that can never name another; fetch the base where it is not here."""
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
            hint=f"`{builder.engine} load` takes one from a file, and --base names another that is here",
        )
    mine = [name for name in held.digests if _repository(name) == _repository(base)]
    found = mine[0] if mine else held.id
    say(f"{base} is {found}")
    return found


def _repository(name: str) -> str:
    """Return the name of an image without its tag and digest, as Docker shortens it."""
    path = re.sub(r":[^:/]*$", "", name.partition("@")[0])
    return path.removeprefix("docker.io/").removeprefix("library/")


def _network(builder: Builder, options: BuildOptions, say: Callable[[str], None]) -> str:
    if options.wheels is not None:
        return "none"
    if options.network == "default" and builder.engine == "docker":
        answer = builder.ask("network", "inspect", "bridge")
        if answer.returncode and "no such network" in answer.stderr.lower():
            say("this engine has no network of its own: the build uses the machine's")
            return "host"
    return options.network


def _run(words: list[str], builder: Builder, spec: ImageSpec) -> None:
    try:
        code = subprocess.run(
            words,
            env={**os.environ, **builder.variables},
            stdin=subprocess.DEVNULL,
            stdout=2,
            check=False,
            cwd=words[-1],
        ).returncode
    except OSError as error:
        raise LaunchError(f"{builder.program} cannot be executed: {error.strerror}") from error
    if code:
        raise LaunchError(
            f"{builder.engine} could not build {spec.name}; what it wrote above says why",
            hint="is it the network? --network host, --pip-conf, --ca-bundle or --wheels: docker/README.md",
        )


def _revision(source: Path) -> str:
    commit = _git(source, "rev-parse", "HEAD")
    return f"{commit}-modified" if commit and _git(source, "status", "--porcelain", "--", "s5", "launch") else commit


def _origin(source: Path) -> str:
    """Return the address of the repository that the code comes from, without whoever's name and password."""
    remote = _git(source, "config", "--get", "remote.origin.url")
    if match := re.fullmatch(r"(https?|ssh)://(?:[^@/]*@)?([^/@]+/.+)", remote):
        return f"{match[1]}://{match[2]}"
    if match := re.fullmatch(r"(?:[^@/:]+@)([^/:@]+):([^/].*)", remote):
        return f"ssh://{match[1]}/{match[2]}"
    return ""  # a folder, which tells others nothing


def _git(source: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(source), *words], capture_output=True, text=True, check=False, timeout=_ASK_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
