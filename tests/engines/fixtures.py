"""The cluster that the tests of a session share: one, whatever the number of pytest's workers."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.engines.packages import missing
from tests.engines.slurm import Slurm

FOLDER_VARIABLE = "LAUNCH_TEST_SLURM"  # a cluster that is up already and stays up, for whoever works on these tests
CLUSTER_TESTS = "tests/slurm/"  # who shares a cluster lies here, and runs on one worker
_ROOT = Path("/tmp")  # sockets lie under it: a longer path would not do


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
    own = f"slurm-{os.getuid()}"
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"{os.getpid():08}")[:8]
    users = _ROOT / f"{own}-{session}.users"
    cluster = Slurm(users.with_suffix(""))
    with users.open("w") as used:
        with _locked(_ROOT / f"{own}.lock"):
            fcntl.flock(used, fcntl.LOCK_SH)
            for other in _ROOT.glob(f"{own}-*.users"):
                if other != users:
                    _remove_unused(other)
            cluster.up()
        yield cluster
    with _locked(_ROOT / f"{own}.lock"):
        _remove_unused(users)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_unused(users: Path) -> None:
    """Remove a session's cluster unless a process of the session lives: also one whose session was killed."""
    with users.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        Slurm(users.with_suffix("")).remove()
        users.unlink()


@pytest.fixture
def slurm(slurm_cluster: Slurm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    """A cluster without jobs, in its first settings, to which every client that the test calls speaks."""
    for name in [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_", "SQUEUE_", "SACCT_"))]:
        monkeypatch.delenv(name)
    for name, value in slurm_cluster.environment.items():
        monkeypatch.setenv(name, value)
    first = slurm_cluster.settings
    with _locked(slurm_cluster.folder / "turn"):
        yield slurm_cluster
        if slurm_cluster.settings != first:
            slurm_cluster.configure(first)
        slurm_cluster.start()
        slurm_cluster.resume()
        slurm_cluster.cancel_all()
