"""In continuous integration a test that cannot run is a failure: it stands for a real part that was to be there."""

import os
import signal
from collections.abc import Generator

import pytest

from tests.engines.docker_fixtures import ENGINE_TESTS, docker, docker_engine
from tests.engines.file_images import apptainer_engine, file_image, file_images
from tests.engines.fixtures import CLUSTER_TESTS, slurm, slurm_cluster

__all__ = [
    "apptainer_engine",
    "docker",
    "docker_engine",
    "file_image",
    "file_images",
    "slurm",
    "slurm_cluster",
]


def pytest_configure() -> None:
    """Hear interrupts: a shell that starts the tests in the background has them ignored, by all their children too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Keep the tests that share a cluster on one worker, and those that share an engine.

    By their folder: pytest-xdist's own groups write the mark's name into a test's id, which pytest 9.2 no longer reads.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFolder(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((folder for folder in (CLUSTER_TESTS, ENGINE_TESTS) if nodeid.startswith(folder)), nodeid)

    return ByFolder(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        why = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"{item.nodeid}: in CI a skip is a failure: {why}"
    return report
