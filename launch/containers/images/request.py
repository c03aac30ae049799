"""The request for an image, before it is known which image that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from launch.containers.images.convert import FORMS, Form


@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """A request for the image that runs are to execute in.

    Attributes:
        word: A name of docker/images.yaml, a registry's REPO@sha256:…, a name or id that an engine here knows, or a
            file or folder, a file also with @sha256:…; None for the default: `cuda12` if the runs ask for GPUs, else
            `cpu`.
        runtime: The runtime that is to execute it.
        gpus: Whether the runs ask for GPUs.
        runs_root: The folder of all run directories; converted images lie in its `.images`.
        convert: Whether to convert an image that is not converted yet; otherwise its file is only named.
        here: Whether runs execute on this machine, so that the runtime must be here too.
        say: Called with the progress of a conversion, a line at a time.
    """

    word: str | None
    runtime: str
    gpus: bool
    runs_root: Path
    convert: bool
    here: bool = True
    say: Callable[[str], None] = lambda _: None

    @property
    def name(self) -> str:
        """The word, or the default."""
        return self.word or ("cuda12" if self.gpus else "cpu")

    @property
    def form(self) -> Form | None:
        """The form that the runtime executes; None for an engine's image."""
        return FORMS.get(self.runtime)
