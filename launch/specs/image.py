"""Which image an attempt executes in: what was asked for, and every name under which it can be proved the same."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image, resolved before anything is submitted. It holds the dependencies; the code is the snapshot's.

    Attributes:
        name: What was asked for: a name of docker/images.yaml, a reference to a registry, or a path.
        reference: What the runtime is handed: a reference for an engine, a file or a folder for the others.
        content: SHA-256 over the Dockerfile, the lock and the base; None for an image that we did not build.
        id: The engine's identity of it, `sha256:…`; None where no engine has it.
        digest: The registry's, `sha256:…`; None for one that was never pushed or pulled.
        file: The file or folder it was converted to, absolute; None where an engine holds it.
        platform: What its JAX computes on: `cpu` or `cuda`; None where nobody said.
    """

    name: str
    reference: str
    content: str | None = None
    id: str | None = None
    digest: str | None = None
    file: str | None = None
    platform: str | None = None
