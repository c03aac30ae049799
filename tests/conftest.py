"""In continuous integration a test that cannot run is a failure: it stands for a real part that was to be there."""

import itertools
import os
import signal
from collections.abc import Generator

import pytest
import submitit as submitit  # it sets up logging anew, and closes what handlers there are: absl's, and with it pytest's

from tests.engines.docker_fixtures import ENGINE_TESTS, cpu_image, docker, docker_engine
from tests.engines.file_images import apptainer_engine, file_image, file_images
from tests.engines.podman import podman, podman_images
from tests.engines.slurm_fixtures import CLUSTER_TESTS, slurm, slurm_cluster

__all__ = [
    "apptainer_engine",
    "cpu_image",
    "docker",
    "docker_engine",
    "file_image",
    "file_images",
    "podman",
    "podman_images",
    "slurm",
    "slurm_cluster",
]

# One worker each: either half of those who need a cluster, who shares an engine, who looks at the same finished run.
_TOGETHER = (
    tuple(f"{CLUSTER_TESTS}test_{name}.py" for name in ("kill", "several_nodes", "commands", "sites", "containers")),
    (CLUSTER_TESTS,),
    (ENGINE_TESTS,),
    (
        "tests/s5/process/test_distributed.py",
        "tests/s5/test_main.py",
        "tests/s5/training/test_evaluate.py",
        "tests/s5/training/test_wandb_logger.py",
    ),
)
_LONG = (
    *(
        "tests/launch/test_recipes.py",
        "tests/s5/training/test_loop.py",
        "tests/s5/models/test_sequence_model.py",
        "tests/s5/process/test_sharding.py",
    ),
    *(
        "tests/s5/test_recipes.py",
        "tests/s5/ssm/test_scan.py",
        "tests/launch/compose/test_composer.py",
        "tests/s5/models/test_stack.py",
    ),
    *(
        "tests/launch/test_kill.py",
        "tests/s5/ssm/test_s5.py",
        "tests/launch/backends/local/test_local.py",
        "tests/test_house.py",
    ),
)
_FIRST = (*itertools.chain(*_TOGETHER), *_LONG)
_LATER = len(_FIRST)


def pytest_configure() -> None:
    """Hear interrupts and hangups: in the background, or under nohup, they are ignored, by all children too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with what takes longest, so that no worker is left with it alone."""
    items.sort(key=lambda item: next((n for n, start in enumerate(_FIRST) if item.nodeid.startswith(start)), _LATER))
    for item in items:
        if item.nodeid.startswith(ENGINE_TESTS):  # the first of them waits for images to be built and converted
            item.add_marker(pytest.mark.timeout(900))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Keep the tests of a file on one worker, and those that share more than that.

    By their names: pytest-xdist's own groups write the mark's name into a test's id, which pytest 9.2 no longer reads.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return next((group[0] for group in _TOGETHER if file.startswith(group)), file)

    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        why = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"{item.nodeid}: in CI a skip is a failure: {why}"
    return report
