"""What a submission wants of an image, before it is known which one that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from launch.containers.images.convert import FORMS, Form


@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """What is wanted.

    Attributes:
        word: The image's name: of docker/images.yaml, of a registry or an engine, or a path.
        runtime: Who is to execute it.
        gpus: Whether the runs ask for GPUs.
        runs_root: The folder of all run directories.
        convert: Whether to convert one that is not converted yet.
        here: Whether runs execute on this machine.
        say: Told about the progress of a conversion, a line at a time.
    """

    word: str
    runtime: str
    gpus: bool
    runs_root: Path
    convert: bool
    here: bool
    say: Callable[[str], None]

    @property
    def form(self) -> Form | None:
        """What the runtime executes; None for an engine's image."""
        return FORMS.get(self.runtime)
