"""Find the images in the engines of this machine, with the docker and podman command lines."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from launch.containers.engine.command_line import answer, ask, refusal
from launch.containers.images.catalog import LABEL
from launch.errors import BackendError, LaunchError
from launch.specs.choices import ENGINES

Answer = TypeVar("Answer")
_ID = re.compile(r"(?:sha256:)?[0-9a-f]{12,64}")
_UNKNOWN = ("no such image", "not known", "does not exist", "no such object", "unable to find")


@dataclass(frozen=True, kw_only=True)
class EngineImage:
    """An image of an engine.

    Attributes:
        engine: `docker` or `podman`.
        id: The image's id in the engine, `sha256:…`.
        digests: The image's names in registries, `REPO@sha256:…`.
        labels: The labels that the build wrote.
        variables: The environment variables that the image sets, as `NAME=VALUE`.
        bytes: The unpacked size in bytes.
    """

    engine: str
    id: str
    digests: tuple[str, ...]
    labels: Mapping[str, str]
    variables: tuple[str, ...]
    bytes: int

    @property
    def content(self) -> str | None:
        """The hash of the image's dependencies; None for an image that is not ours."""
        return self.labels.get(f"{LABEL}content")

    @property
    def platform(self) -> str | None:
        """The platform of the image's JAX, `cpu` or `cuda`; None if the image has no such label."""
        return self.labels.get(f"{LABEL}platform")

    @property
    def digest(self) -> str | None:
        """The image's digest in a registry; None if the image was never pushed or pulled."""
        return self.digests[0].rpartition("@")[2] if self.digests else None


def engines_here(wanted: str | None = None) -> tuple[str, ...]:
    """Return the engines on this machine, or only the engine `wanted`; raise if that is not on the PATH."""
    if wanted is not None and shutil.which(wanted) is None:
        raise LaunchError(
            f"the runtime {wanted} needs the program {wanted}, which is not on the PATH",
            hint="`launch doctor` lists what this machine can execute images with",
        )
    return tuple(engine for engine in ENGINES if wanted in (None, engine) and shutil.which(engine))


def is_id(word: str) -> bool:
    """Return whether a word looks like the id of an image in an engine, whole or shortened to 12 digits or more."""
    return _ID.fullmatch(word) is not None


def find_engine_image(reference: str, engines: Sequence[str]) -> EngineImage | None:
    """Return the image from the first engine that has it; None if no engine has it.

    Args:
        reference: A name with a tag, a registry's name with a digest, or an id.
        engines: The engines to ask, in this order.

    Raises:
        BackendError: If an engine does not answer and no other engine has the image.
    """
    return _first(engines, lambda engine: _inspect(engine, reference))


def list_labelled(label: str, value: str, engines: Sequence[str]) -> list[str]:
    """Return the ids of the images with a label, the newest first, from the first engine with such an image.

    Raises:
        BackendError: If an engine does not answer and no other engine has such an image.
    """
    return _first(engines, lambda engine: _list(engine, f"label={LABEL}{label}={value}")) or []


def _first(engines: Sequence[str], question: Callable[[str], Answer | None]) -> Answer | None:
    """Return the first answer that is not empty, or None; without an answer, raise if an engine is silent."""
    silent: BackendError | None = None
    for engine in engines:
        try:
            found = question(engine)
        except BackendError as error:
            silent = silent or error
            continue
        if found:
            return found
    if silent is not None:
        raise silent
    return None


def silent_engines(engines: Sequence[str]) -> dict[str, BackendError]:
    """Return each engine that does not answer, with its error."""
    silent: dict[str, BackendError] = {}
    for engine in engines:
        try:
            _list(engine, f"label={LABEL}name=none")
        except BackendError as error:
            silent[engine] = error
    return silent


def _list(engine: str, wanted: str) -> list[str]:
    return list(dict.fromkeys(answer(engine, "image", "ls", "--no-trunc", "--quiet", "--filter", wanted).split()))


def _inspect(engine: str, reference: str) -> EngineImage | None:
    done = ask(engine, "image", "inspect", "--format", "{{json .}}", reference)
    if done.returncode:
        if any(word in done.stderr.lower() for word in _UNKNOWN):
            return None
        raise refusal(engine, done.stderr)
    said = json.loads(done.stdout)
    said = cast("dict[str, Any]", said[0] if isinstance(said, list) else said)  # Podman prints a list of one
    config = cast("dict[str, Any]", said.get("Config") or {})
    return EngineImage(
        engine=engine,
        id=f"sha256:{said['Id'].removeprefix('sha256:')}",
        # Podman also gives a digest to an image that was never pushed; no registry knows that digest.
        digests=tuple(name for name in said.get("RepoDigests") or () if not name.startswith("localhost/")),
        labels=config.get("Labels") or {},
        variables=tuple(config.get("Env") or ()),
        bytes=int(said.get("Size") or 0),
    )
