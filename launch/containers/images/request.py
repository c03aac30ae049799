"""The request for an image, before the image is looked up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from launch.containers.images.convert import FORMS, Form


@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """A request for the image in which runs will execute.

    Attributes:
        word: The image as the user named it: a name of docker/images.yaml, a registry's REPO@sha256:…, a name or id
            in an engine of this machine, a folder, or a file, also with @sha256:…; None for `cuda12` if the runs ask
            for GPUs, else `cpu`.
        runtime: The runtime that will execute the image.
        gpus: Whether the runs ask for GPUs.
        runs_root: The folder of all run directories; converted images are in its `.images`.
        convert: Whether to convert the image if necessary; otherwise only the path of the file is returned.
        here: Whether runs execute on this machine, so that the runtime must be installed here.
        say: Called with each line of a conversion's progress.
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
        """The image's name, file or id: `word`, or the default."""
        return self.word or ("cuda12" if self.gpus else "cpu")

    @property
    def form(self) -> Form | None:
        """The form of file or folder that the runtime executes; None for a runtime with an engine."""
        return FORMS.get(self.runtime)
