from pathlib import Path

import pytest

from tests.engines.slurm import Slurm
from tests.slurm.project import Project


@pytest.fixture
def project(
    slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Project:
    """A user's folder with access to the cluster, without settings of the user who runs the tests."""
    for name in ("LAUNCH_FAULT", "LAUNCH_GRACE_S", "LAUNCH_CWD", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAUNCH_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("LAUNCH_SLOTS", str(tmp_path / "slots"))
    return Project(tmp_path, slurm, capsys)
