"""A training that is interrupted in a container and resumed in another equals, bit for bit, an uninterrupted one."""

import os
from pathlib import Path

import pytest

from launch.profiles.profile import Profile
from launch.specs.image import Image
from launch.store.state import Reason
from tests.containers.contained import Trained, profile_of, train
from tests.engines.docker import BASE

pytestmark = pytest.mark.engine

_RUNTIMES = ("docker", "podman", "apptainer", "charliecloud")


def place_of(request: pytest.FixtureRequest, runtime: str, folder: Path) -> Profile:
    """Return a profile: for Docker with the image that users build, else with its base and this machine's packages."""
    if runtime == "docker":
        request.getfixturevalue("docker")
        return Profile(name="here", runtime="docker", image=request.getfixturevalue("cpu_image").id)
    if runtime == "podman":
        request.getfixturevalue("podman")
        return profile_of(runtime, Image(name=BASE, reference=BASE), folder)
    programs = request.getfixturevalue("apptainer_engine").programs
    request.getfixturevalue("monkeypatch").setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return profile_of(runtime, request.getfixturevalue("file_images")[runtime], folder)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", _RUNTIMES)
def test_interrupted_in_a_container_it_is_the_same_bit_for_bit(
    runtime: str, request: pytest.FixtureRequest, trained_bare: Trained, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Metrics, scores, parameters and kinds of files; asked to stop half-way by what stops every run."""
    folder = tmp_path_factory.mktemp("train")
    found = train(folder, place_of(request, runtime, folder), interrupt=True)
    assert found.reasons == [Reason.INTERRUPTED, Reason.SUCCESS]
    assert trained_bare.reasons == [Reason.SUCCESS]
    for part in ("metrics", "scores", "parameters", "files"):
        assert getattr(found, part) == getattr(trained_bare, part), part
