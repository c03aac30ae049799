"""The cluster that the tests of a worker share. The tests mostly wait, so two clusters at a time are faster."""

import os
from collections.abc import Iterator

import pytest

from tests.engines.packages import missing
from tests.engines.session import engine_of, locked
from tests.engines.slurm import Slurm

CLUSTER_TESTS = "tests/slurm/"  # who needs a cluster lies here


@pytest.fixture(scope="session")
def slurm_cluster() -> Iterator[Slurm]:
    """The worker's cluster: the first test that needs it starts it; it is stopped after the last test."""
    if absent := missing():
        pytest.skip(f"no Slurm here; type: apt-get install --no-install-recommends {' '.join(absent)}")
    with engine_of("slurm", Slurm, Slurm.up, part=os.environ.get("PYTEST_XDIST_WORKER", "")) as cluster:
        yield cluster


@pytest.fixture
def slurm(slurm_cluster: Slurm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    """A cluster without jobs, with its initial settings; every client that the test calls uses it."""
    for name in [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_", "SQUEUE_", "SACCT_"))]:
        monkeypatch.delenv(name)
    for name, value in slurm_cluster.environment.items():
        monkeypatch.setenv(name, value)
    first = slurm_cluster.settings
    with locked(slurm_cluster.folder / "turn"):
        yield slurm_cluster
        if slurm_cluster.settings != first:
            if slurm_cluster.answers:
                slurm_cluster.cancel_all()  # one that starts again may wait long for jobs that it finds completing
            slurm_cluster.configure(first)
        slurm_cluster.start()
        slurm_cluster.resume()
        slurm_cluster.cancel_all()
