"""Where the tests of containers execute: the engines of this machine, with a small image."""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.engines.docker import BASE

ENGINES = ("docker", "podman")


@dataclass(frozen=True)
class Place:
    """A runtime with its image.

    runtime: Its name.
    image: What a profile says: an image with Python and no more.
    engine: What can be asked for its containers.
    """

    runtime: str
    image: str
    engine: Any

    def containers(self) -> list[str]:
        """Return the containers that there are, running or not."""
        return self.engine.call("ps", "--all", "--quiet").split()


def place_of(request: pytest.FixtureRequest, runtime: str) -> Place:
    """Return a place for a test, and have the test's process, and what it starts, find its engine."""
    return Place(runtime, BASE, request.getfixturevalue(runtime))
