from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from launch.profiles.profile import Profile
from tests.containers.contained import Trained, train
from tests.engines.docker import BASE
from tests.engines.packages import find

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.apptainer import Apptainer
    from tests.engines.docker import Docker


@pytest.fixture(scope="session")
def trained_bare(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The results of a short training without container and interruption, to compare every runtime with."""
    return train(tmp_path_factory.mktemp("train"), Profile(name="here"), interrupt=False)


@pytest.fixture(scope="session")
def folder_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image that contains only bash, made from this machine's files."""
    root = tmp_path_factory.mktemp("image")
    for name in ("bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr", "var/tmp"):
        (root / name).mkdir(parents=True)
    for name in ("passwd", "group", "hosts", "resolv.conf"):
        (root / "etc" / name).touch()
    bash = os.path.realpath(shutil.which("bash") or "/bin/bash")
    needs = subprocess.run(["ldd", bash], capture_output=True, text=True, check=True).stdout
    for source in (bash, *re.findall(r"(/\S+)", needs)):
        target = root / ("bin/bash" if source == bash else source.lstrip("/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    return root


@pytest.fixture(params=["charliecloud", "apptainer", "docker"])
def contained(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """A runtime that is ready, and an image for it that contains bash."""
    if request.param == "docker":
        engine: Docker = request.getfixturevalue("docker")
        assert engine.environment
        return "docker", BASE
    if request.param == "apptainer":
        apptainer: Apptainer = request.getfixturevalue("apptainer_engine")
        monkeypatch.setenv("PATH", f"{apptainer.programs}:{os.environ['PATH']}")
    elif find("ch-run") is None:
        pytest.skip("no Charliecloud here; type: apt-get install --no-install-recommends charliecloud-runtime")
    return request.param, str(request.getfixturevalue("folder_image"))
