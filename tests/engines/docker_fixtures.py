"""The Docker engine and the registry that the tests of a session share."""

import os
from collections.abc import Iterator

import pytest

from launch.containers.images.build import BuildOptions, build
from launch.containers.images.catalog import find_image
from launch.containers.images.engine_images import EngineImage
from tests.engines.docker import BASE, Docker, missing
from tests.engines.session import claim, engine_of, locked

ENGINE_TESTS = "tests/containers/"  # who shares the engine lies here, and runs on one worker


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[Docker]:
    """The session's engine with its base image; all workers share it."""
    if absent := missing():
        pytest.skip(f"no Docker engine here; type: apt-get install --no-install-recommends {' '.join(absent)}")
    if os.getuid() != 0:
        pytest.skip("only root can start a Docker engine")
    with engine_of("docker", Docker, _up) as engine:
        yield engine


def _up(engine: Docker) -> None:
    """Start the engine, but not under a test of another worker that has killed it to see what its runs do."""
    claim(engine.folder, "docker")  # before the lock's file: the folder of an engine begins empty
    with locked(engine.folder / "turn"):
        engine.up()


@pytest.fixture(scope="session")
def cpu_image(docker_engine: Docker) -> EngineImage:
    """The image `cpu`, built from its lock on the tests' base image; a permanent engine keeps it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in docker_engine.environment.items():
            patch.setenv(name, value)
        return build(find_image("cpu"), BuildOptions(base=BASE))


@pytest.fixture
def docker(docker_engine: Docker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Docker]:
    """An engine without containers; every client that the test calls uses it."""
    for name in [name for name in os.environ if name.startswith("DOCKER_")]:
        monkeypatch.delenv(name)
    for name, value in docker_engine.environment.items():
        monkeypatch.setenv(name, value)
    with locked(docker_engine.folder / "turn"):
        docker_engine.start()
        yield docker_engine
        docker_engine.start(gpus=False)
        docker_engine.remove_containers()
