"""The engines of this machine, with a small image, for the tests of containers."""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.engines.docker import BASE

ENGINES = ("docker", "podman")


@dataclass(frozen=True)
class Place:
    """A runtime with its image.

    runtime: Its name.
    image: The image in its profile, which contains only Python.
    engine: The engine that can list its containers.
    """

    runtime: str
    image: str
    engine: Any

    def containers(self) -> list[str]:
        """Return all containers, running or not."""
        return self.engine.call("ps", "--all", "--quiet").split()


def place_of(request: pytest.FixtureRequest, runtime: str) -> Place:
    """Return a place for a test, and let the test's process and its child processes find the engine."""
    return Place(runtime, BASE, request.getfixturevalue(runtime))
