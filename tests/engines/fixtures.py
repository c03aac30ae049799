"""The cluster that the tests of a session share: one, whatever the number of pytest's workers."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.packages import missing
from tests.engines.session import locked, shared
from tests.engines.slurm import Slurm

FOLDER_VARIABLE = "LAUNCH_TEST_SLURM"  # a cluster that is up already and stays up, for whoever works on these tests
CLUSTER_TESTS = "tests/slurm/"  # who shares a cluster lies here, and runs on one worker


@pytest.fixture(scope="session")
def slurm_cluster() -> Iterator[Slurm]:
    """The session's cluster, started by the first worker that wants it and stopped by the last that lets go of it."""
    if absent := missing():
        pytest.skip(f"no Slurm here; type: apt-get install --no-install-recommends {' '.join(absent)}")
    if named := os.environ.get(FOLDER_VARIABLE):
        cluster = Slurm(Path(named))
        cluster.up()
        yield cluster
        return
    with shared("slurm", lambda folder: Slurm(folder).up(), lambda folder: Slurm(folder).remove()) as folder:
        yield Slurm(folder)


@pytest.fixture
def slurm(slurm_cluster: Slurm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    """A cluster without jobs, in its first settings, to which every client that the test calls speaks."""
    for name in [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_", "SQUEUE_", "SACCT_"))]:
        monkeypatch.delenv(name)
    for name, value in slurm_cluster.environment.items():
        monkeypatch.setenv(name, value)
    first = slurm_cluster.settings
    with locked(slurm_cluster.folder / "turn"):
        yield slurm_cluster
        if slurm_cluster.settings != first:
            slurm_cluster.configure(first)
        slurm_cluster.start()
        slurm_cluster.resume()
        slurm_cluster.cancel_all()
