"""The cluster that the tests of a worker share: waiting is most of what they do, so two clusters wait at once."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.packages import missing
from tests.engines.session import locked, shared
from tests.engines.slurm import Slurm

FOLDER_VARIABLE = "LAUNCH_TEST_SLURM"  # a cluster that is up already and stays up, for whoever works on these tests
CLUSTER_TESTS = "tests/slurm/"  # who needs a cluster lies here


@pytest.fixture(scope="session")
def slurm_cluster() -> Iterator[Slurm]:
    """The worker's cluster, started by the first test that wants it and stopped after the last."""
    if absent := missing():
        pytest.skip(f"no Slurm here; type: apt-get install --no-install-recommends {' '.join(absent)}")
    if named := os.environ.get(FOLDER_VARIABLE):
        cluster = Slurm(Path(named))
        cluster.up()
        yield cluster
        return
    own = os.environ.get("PYTEST_XDIST_WORKER", "")
    with shared("slurm", lambda folder: Slurm(folder).up(), lambda folder: Slurm(folder).remove(), part=own) as folder:
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
