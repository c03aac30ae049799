"""Push and pull images between an engine of this machine and a registry, with the engine's own login."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import suppress

from launch.containers.engine.command_line import ask
from launch.containers.images.engine_images import EngineImage, find_engine_image
from launch.errors import BackendError, LaunchError, printable
from launch.specs.environment import clean_environment

_REPOSITORY = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9.-]*(?::\d+)?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+")
_PINNED = re.compile(r"(?P<repository>[^@\s]+)@(?P<digest>sha256:[0-9a-f]{64})")
_DENIED = ("denied", "unauthorized", "authentication required", "no basic auth")
_ABSENT = ("manifest unknown", "not found", "name unknown", "does not exist")


def push(held: EngineImage, repository: str) -> str:
    """Push an image, and return its name in the registry, `REPO@sha256:…`.

    Args:
        held: The image.
        repository: The target, without a tag, such as `registry.example.org/group/s5`.

    Raises:
        LaunchError: If `repository` is not a valid name, or the registry refuses.
    """
    if not _REPOSITORY.fullmatch(repository):
        raise LaunchError(
            f"{printable(repository)!r} cannot be the name of a repository",
            hint="a registry and a path, without a tag: registry.example.org/group/s5",
        )
    name = f"{repository}:{(held.content or held.id.removeprefix('sha256:'))[:12]}"
    known = find_engine_image(name, (held.engine,))
    _call(held.engine, "tag", held.id, name, about=name)
    try:
        _call(held.engine, "push", name, about=name)
    except BaseException:
        if known is None:
            _untag(held.engine, name)
        raise
    found = find_engine_image(name, (held.engine,))
    pushed = [digest for digest in found.digests if digest.startswith(f"{repository}@")] if found else []
    if not pushed:
        raise BackendError(f"{held.engine} has pushed {name}, and knows no digest of it", hint="type the command again")
    return pushed[0]


def pull(reference: str, engine: str) -> EngineImage:
    """Fetch an image by its digest, `REPO@sha256:…`.

    Raises:
        LaunchError: If the reference has no digest, or the registry has no such image.
    """
    if not _PINNED.fullmatch(reference):
        raise LaunchError(
            f"{printable(reference)}: an image is pulled by its digest, so that every machine has the same",
            hint="REPO@sha256: and 64 digits, as `launch image push IMAGE REPO` prints it",
        )
    _call(engine, "pull", reference, about=reference)
    held = find_engine_image(reference, (engine,))
    if held is None:
        raise BackendError(f"{engine} has pulled {reference}, and does not list it", hint="type the command again")
    return held


def _untag(engine: str, name: str) -> None:
    """Remove the tag of a failed push, unless it is the image's only name: the image would be deleted too."""
    with suppress(BackendError):
        if ask(engine, "image", "inspect", "--format", "{{len .RepoTags}}", name).stdout.strip() not in ("", "0", "1"):
            ask(engine, "image", "rm", name)


def _call(engine: str, *words: str, about: str) -> None:
    """Run a command of the engine, with its progress on stderr; raise with the engine's error if it fails."""
    try:
        with subprocess.Popen(
            [engine, *words],
            stdin=subprocess.DEVNULL,
            stdout=2,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(os.environ),
        ) as process:
            assert process.stderr is not None
            said = process.stderr.read().strip()
    except OSError as error:
        raise BackendError(f"{engine} cannot be executed: {error.strerror}") from error
    if process.returncode == 0:
        return
    last = printable(said.splitlines()[-1]) if said else f"exit code {process.returncode}"
    host = about.partition("/")[0]
    if any(word in said.lower() for word in _DENIED):
        raise LaunchError(f"{about}: the registry refuses: {last}", hint=f"`{engine} login {host}`")
    if any(word in said.lower() for word in _ABSENT):
        raise LaunchError(
            f"{about}: the registry has no such image: {last}", hint="is the digest complete, is the name right?"
        )
    raise BackendError(f"{engine} {words[0]} {about}: {last}", hint=f"does {host} answer, and does the engine work?")
