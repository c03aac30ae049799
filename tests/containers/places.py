"""Where the tests of containers execute: every runtime that can be had on this machine, with a small image."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.engines.docker import BASE

CONTAINED = ("docker", "podman", "apptainer", "charliecloud")


@dataclass(frozen=True)
class Place:
    """A runtime with its image.

    runtime: Its name.
    image: What a profile says: an image with Python and no more.
    engine: What can be asked for its containers; None where they are processes and nothing else.
    """

    runtime: str
    image: str
    engine: Any = None

    def containers(self) -> list[str]:
        """Return the containers that there are, running or not."""
        return [] if self.engine is None else self.engine.call("ps", "--all", "--quiet").split()


def place_of(request: pytest.FixtureRequest, runtime: str) -> Place:
    """Return a place for a test, and have the test's process, and what it starts, find its programs."""
    if runtime in ("docker", "podman"):
        return Place(runtime, BASE, request.getfixturevalue(runtime))
    files, apptainer = request.getfixturevalue("file_images"), request.getfixturevalue("apptainer_engine")
    patch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    patch.setenv("PATH", f"{apptainer.programs}:{os.environ['PATH']}")
    return Place(runtime, str(Path(files[runtime].file)))
