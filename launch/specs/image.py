"""The image that an attempt executes in: the name that was asked for, and every identity it has."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image, resolved before anything is submitted. It holds the dependencies; the code is the snapshot's.

    Attributes:
        name: The name that was asked for: from docker/images.yaml, a reference to a registry, or a path.
        reference: The name that the runtime gets: a reference for an engine, a file or a folder for the others.
        content: SHA-256 over the Dockerfile, the lock and the base; None for an image that is not ours.
        id: The engine's identity of it, `sha256:…`; None if no engine has it.
        digest: The registry's identity, `sha256:…`; None if it was never pushed or pulled.
        file: The file or folder it was converted to, absolute; None if an engine holds it.
        platform: What its JAX computes on: `cpu` or `cuda`; None if its label does not say.
    """

    name: str
    reference: str
    content: str | None = None
    id: str | None = None
    digest: str | None = None
    file: str | None = None
    platform: str | None = None
