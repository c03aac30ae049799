"""Settings of all tests. In continuous integration, a test that cannot run counts as a failure."""

import os
import signal
from collections.abc import Generator, Iterator

import pytest
import submitit as submitit  # its import sets up logging and closes all handlers: absl's, and with it pytest's

from tests.durations import Durations, LongestFirst
from tests.engines.docker_fixtures import cpu_image, docker, docker_engine
from tests.engines.exfat import exfat
from tests.engines.file_images import apptainer_engine, file_image, file_images
from tests.engines.podman import podman, podman_images
from tests.engines.slurm_fixtures import slurm, slurm_cluster

__all__ = [
    "apptainer_engine",
    "cpu_image",
    "docker",
    "docker_engine",
    "exfat",
    "file_image",
    "file_images",
    "podman",
    "podman_images",
    "slurm",
    "slurm_cluster",
]

# What a fixture says of the tests that use it, directly or through another fixture.
_MARKERS = {
    "slurm_cluster": "cluster",
    "apptainer_engine": "engine",
    "contained": "engine",
    "docker_engine": "engine",
    "podman": "engine",
    "finished_run": "slow",
    "program": "slow",
    "trained_bare": "slow",
}
_ENGINE_TIMEOUT_S = 900  # the first test that uses an engine waits for images to be built and converted


@pytest.fixture(autouse=True)
def platform_as_before() -> Iterator[None]:
    """Restore the variable that a training in this process sets, and that a later test would report as the user's."""
    before = os.environ.get("JAX_PLATFORMS")
    yield
    if before is None:
        os.environ.pop("JAX_PLATFORMS", None)
    else:
        os.environ["JAX_PLATFORMS"] = before


def pytest_configure(config: pytest.Config) -> None:
    """Measure the tests, and handle interrupts and hangups, which background processes and nohup would ignore."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Durations(config))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the fixtures that they use, and start with the longest tests."""
    for item in items:
        names = {_MARKERS[name] for name in getattr(item, "fixturenames", ()) if name in _MARKERS}
        for name in names:
            item.add_marker(name)
        if "engine" in names:
            item.add_marker(pytest.mark.timeout(_ENGINE_TIMEOUT_S))
    order = ("cluster", "engine", "slow")
    items.sort(key=lambda item: next((n for n, name in enumerate(order) if item.get_closest_marker(name)), len(order)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Keep the tests of a file on one worker, also the tests of files that share an engine.

    By their names: pytest-xdist's own groups write the mark's name into a test's id, which pytest 9.2 no longer reads.
    """
    config.option.loadscopereorder = False
    return LongestFirst(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        why = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"{item.nodeid}: in CI a skip is a failure: {why}"
    return report
