"""Runtimes without an engine, and their images: the tests' base image, converted once per session."""

import os
from collections.abc import Iterator

import pytest

from launch.containers.images.request import ImageRequest
from launch.containers.images.resolve import resolve_image
from launch.errors import LaunchError
from launch.specs.image import Image
from tests.engines.apptainer import Apptainer, missing
from tests.engines.docker import BASE, Docker
from tests.engines.packages import find
from tests.engines.session import engine_of, locked

FILE_RUNTIMES = ("apptainer", "charliecloud")


@pytest.fixture(scope="session")
def apptainer_engine() -> Iterator[Apptainer]:
    """The session's Apptainer; all workers share it."""
    if absent := missing():
        pytest.skip(f"no Apptainer here; type: apt-get install --no-install-recommends {' '.join(absent)}")
    with engine_of("apptainer", Apptainer, Apptainer.up) as engine:
        yield engine


@pytest.fixture(scope="session")
def file_images(docker_engine: Docker, apptainer_engine: Apptainer) -> dict[str, Image]:
    """The base image in the format of each runtime without an engine; the first worker that needs it converts it."""
    if find("ch-run") is None:
        pytest.skip("no Charliecloud here; type: apt-get install --no-install-recommends charliecloud-runtime")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in docker_engine.environment.items():
            patch.setenv(name, value)
        patch.setenv("PATH", f"{apptainer_engine.programs}:{os.environ['PATH']}")
        try:
            return _convert(docker_engine)
        except LaunchError:  # another worker's tests may have killed the engine meanwhile
            with locked(docker_engine.folder / "turn"):
                docker_engine.start()
                return _convert(docker_engine)


def _convert(engine: Docker) -> dict[str, Image]:
    runs = engine.folder / "converted"
    requests = {r: ImageRequest(word=BASE, runtime=r, gpus=False, runs_root=runs, convert=True) for r in FILE_RUNTIMES}
    return {runtime: resolve_image(request) for runtime, request in requests.items()}


@pytest.fixture(params=FILE_RUNTIMES)
def file_image(
    request: pytest.FixtureRequest,
    file_images: dict[str, Image],
    apptainer_engine: Apptainer,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[str, Image]:
    """A runtime without an engine, on the PATH, and an image for it that contains only Python."""
    monkeypatch.setenv("PATH", f"{apptainer_engine.programs}:{os.environ['PATH']}")
    return request.param, file_images[request.param]
