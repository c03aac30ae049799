"""The image in which an attempt executes: the name that the user typed, and its hashes, ids and files."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Image:
    """A resolved image. It contains the dependencies of a run; the code comes from the snapshot.

    Attributes:
        name: The name that the user typed: from docker/images.yaml, a reference to a registry, or a path.
        reference: The name by which an engine or a registry finds the image; for an image file its path.
        content: SHA-256 over the Dockerfile, the lock and the base; None for an image that is not ours.
        id: The image's id in an engine, `sha256:…`; None if no engine has it.
        digest: The image's digest in a registry, `sha256:…`; None if it was never pushed or pulled.
        file: The file or folder of the image, absolute; None if the runtime uses an engine.
        platform: The platform of the image's JAX, `cpu` or `cuda`; None without such a label.
    """

    name: str
    reference: str
    content: str | None = None
    id: str | None = None
    digest: str | None = None
    file: str | None = None
    platform: str | None = None
